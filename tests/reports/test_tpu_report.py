"""What a TPU would run: traced by TensorFlow's own strategy for one, and compiled."""

import configparser
import dataclasses
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tflottery
from tflottery import layers
from tflottery.core import tables
from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS
from tflottery.datasets import source as sources
from tflottery.models import weights as model_weights
from tflottery.reports import tpu, tpu_compiler, tpu_programs
from tflottery.reports.tpu_compiler import Compiled
from tflottery.reports.tpu_programs import CoreProgram
from tflottery.training.evaluation import Evaluator
from tflottery.training.trainer import Trainer

_ROOT = pathlib.Path(tflottery.__file__).parents[1]
_SETTINGS = configparser.ConfigParser()
_SETTINGS.read(_ROOT / "setup.cfg")
_UPDATES = 5
# Of weights that move by 0.01 and more in so many updates.
_TOLERANCE = 2e-6
_RECIPE = Recipe(
    optimizer="adam",
    learning_rate=0.01,
    batch_size=16,
    training_iterations=9,
    weight_decay=1e-3,
    augmentation="none",
)
_TOPOLOGY = "v5e:2x2"


def _installed():
    try:
        tpu_compiler.validate_installed()
    except ValueError:
        return False
    return True


_compiles = pytest.mark.skipif(
    not _installed(), reason="the compiler for TPUs is not here: .[tpu-check]"
)


def _deep(*, input_shape, num_classes):
    """Batch norm and dropout, of which each core has its own."""
    images = keras.Input(input_shape, name="images")
    x = layers.MaskedConv2D(4, 3, use_bias=False, name="conv")(images)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


@pytest.fixture
def network(register):
    register(MODELS, "deep", _deep, minimum_image_size=1)
    return {"model_name": "deep", "source": sources.load("digits"), "num_classes": 10}


def _trainer(network, strategy=None, **options):
    return Trainer(recipe=_RECIPE, sparse=True, strategy=strategy, **network, **options)


def _update_program(trainer, strategy):
    size = trainer.recipe.batch_size // strategy.num_replicas_in_sync
    images = tf.TensorSpec((size, 8, 8, 1))
    labels = tf.TensorSpec((size,), tf.int32)
    return CoreProgram(strategy, trainer.replica_update, images, labels)


@pytest.mark.parametrize("num_replicas", [4, pytest.param(8, marks=pytest.mark.slow)])
def test_cores_add_up_gradients_and_statistics_in_static_shapes(num_replicas, network):
    strategy = tpu_programs.strategy_without_tpu(4)
    trainer = _trainer(network, strategy, num_replicas=num_replicas)
    program = _update_program(trainer, strategy)
    # Of kernel, gamma, beta, kernel and bias, and of a mean and a variance.
    assert program.operations["CrossReplicaSum"] == 5 + 2
    # Of how many updates there were, which the first core says.
    assert program.operations["AllToAll"] == 1
    # Making it fails where an operation is unknown to XLA.
    text = program.hlo(as_text=True)
    assert len(re.findall(r'custom_call_target="CrossReplicaSum"', text)) == 7
    assert not re.search(r"\[[^]]*(<=|\?)", text)
    assert ("while" in text) == (num_replicas > 4)


@pytest.mark.slow
def test_what_a_core_runs_trains_as_the_plain_loop(network):
    """One core: the program runs here, as XLA compiles it."""
    plain = _trainer(network)
    strategy = tpu_programs.strategy_without_tpu(1)
    trainer = _trainer(network, strategy)
    program = _update_program(trainer, strategy)
    start = plain.initial_weights(1)
    for one in (plain, trainer):
        one.restore(start, masks={}, slots=None, iteration=0, first_iteration=0)
        one._generators.reseed(5)
    stream = plain.stream(data_order_seed=3, augmentation_seed=4)
    plain.train(stream, _UPDATES, dropout_seed=5)
    batches = stream.batches(0, _UPDATES)
    for indices, bits in zip(batches.indices, batches.bits, strict=True):
        images, labels = plain._input.feed.shown(
            tf.constant(indices), tf.constant(bits)
        )
        program.function(tf.constant(0), images, labels)
    expected, found = plain.state()[0], trainer.state()[0]
    for path, value in found.items():
        np.testing.assert_allclose(value, expected[path], atol=_TOLERANCE, rtol=0)
    moved = max(np.abs(found[path] - start[path]).max() for path in start)
    assert moved > 0.01
    assert int(trainer.optimizer.iterations.numpy()) == _UPDATES


def test_what_a_core_runs_counts_as_an_evaluator(network):
    strategy = tpu_programs.strategy_without_tpu(1)
    plain = Evaluator(**network)
    of_core = Evaluator(**network, strategy=strategy)
    of_core.assign(model_weights.weights(plain.model))
    block = plain.blocks("test")[0]
    given = of_core.counter_arguments("test", block)
    specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, given)
    program = CoreProgram(strategy, of_core.counter("test"), *specs)
    wrong, loss = program.function(tf.constant(0), *tf.nest.flatten(given))
    expected = plain.measure("test", block)
    assert int(wrong) == expected.num_misclassified
    assert float(loss) == pytest.approx(expected.loss, rel=1e-5)


def test_calls_of_collectives_become_collectives():
    text = (
        "%9 = stablehlo.custom_call @CrossReplicaSum(%8) {has_side_effect = true} : "
        "(tensor<3x2xf32>) -> tensor<3x2xf32> loc(#loc1)\n"
        '%11 = stablehlo.custom_call @AllToAll(%10) {backend_config = ""} : '
        "(tensor<2xi64>) -> tensor<2xi64>\n"
        "%12 = stablehlo.custom_call @CrossReplicaSum(%4#6) {api_version = 3 : i32} : "
        "(tensor<5xf32>) -> tensor<5xf32>\n"
        "%13 = stablehlo.custom_call @Else(%12) {} : (tensor<f32>) -> tensor<f32>\n"
    )
    found = tpu_compiler.with_collectives(text, num_chips=2)
    assert '%9 = "stablehlo.all_reduce"(%8)' in found
    assert "stablehlo.add %l9, %r9 : tensor<f32>" in found
    assert "dense<[[0, 1]]> : tensor<1x2xi64>} : (tensor<3x2xf32>)" in found
    # One of several results, as of the loop over a batch's parts.
    assert '%12 = "stablehlo.all_reduce"(%4#6)' in found
    assert '%11 = "stablehlo.all_to_all"(%10)' in found and "split_count = 2" in found
    assert found.endswith(text.splitlines()[-1] + "\n")


def test_what_is_pinned_is_what_the_extra_installs():
    extra = _SETTINGS["options.extras_require"]["tpu-check"].split()
    assert extra == [
        f"{one}=={version}" for one, version in tpu_compiler.PINNED.items()
    ]


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(tpu_compiler.PINNED, "libtpu", "9.9")
    with pytest.raises(ValueError, match=r"libtpu 9.9; found .* '\.\[tpu-check\]'"):
        tpu_compiler.validate_installed()


@pytest.mark.parametrize(
    ("topologies", "fact"),
    [
        (["v5e"], "names 'v5e': expected .* such as v5e:2x2"),
        (["v5e:2x2", "v6e:4x4"], "'v5e:2x2': 4, 'v6e:4x4': 16"),
        ([], "one at least"),
    ],
)
def test_topologies_that_cannot_be_are_refused(topologies, fact):
    with pytest.raises(ValueError, match=fact):
        tpu.num_chips(topologies)
    assert tpu.num_chips(["v5e:2x4", "v6e:8"]) == 8


_SMALL = Compiled(9.96, 2**30, 2**20, 1, 2, 0)
_WRONG = {
    "large": dataclasses.replace(_SMALL, memory_bytes=17 * 2**30),
    "refused": Compiled(1.0, fault="RESOURCE_EXHAUSTED: hbm"),
}


@pytest.fixture
def compiled(monkeypatch):
    """What is asked of the compiler, which answers that all fits but on a v6e."""
    asked = []

    def answer(hlo, topology):
        asked.append(topology)
        assert hlo
        return _WRONG["refused"] if topology.startswith("v6e") else _SMALL

    monkeypatch.setattr(tpu_compiler, "compiled", answer)
    return asked


@pytest.mark.slow
def test_rows_of_both_steps_and_all_topologies(compiled, tmp_path):
    found = list(tpu.rows(["lenet"], topologies=[_TOPOLOGY, "v6e:2x2"]))
    assert compiled == [_TOPOLOGY, "v6e:2x2"] * 2
    assert [one.step for one in found] == ["training"] * 2 + ["measuring"] * 2
    assert [one.fits for one in found] == [True, False] * 2
    training = found[0]
    assert (training.batch_size, training.chip_images) == (60, 15)
    assert training.available_bytes == 16 * 2**30
    assert str(training).endswith(
        "v5e:2x2  15 images a chip: fits, 1,024 of 16,384 MiB, 1 all-reduces, "
        "0 host transfers (10 s)"
    )
    assert "does NOT compile (RESOURCE_EXHAUSTED: hbm)" in str(found[1])
    assert tpu.summary(found) == "v5e:2x2: lenet fit\nv6e:2x2: none fit; not lenet"
    tables.write(found, tmp_path / "tpu.csv")
    assert len(tables.read(tmp_path / "tpu.csv")) == 4


def test_a_batch_that_chips_cannot_share_is_told(compiled):
    row = next(tpu.rows(["resnet20"], topologies=["v5e:1x3"]))
    assert not row.fits and "A batch of 128 cannot be shared by 3 replicas" in row.fault
    assert not compiled


def test_what_needs_more_than_a_chip_has_does_not_fit():
    said = {"model": "m", "variant": "v", "precision": "p", "step": "training"}
    sizes = {"batch_size": 8, "chip_images": 2, "chip_parts": 2}
    row = tpu._row(_WRONG["large"], topology=_TOPOLOGY, **said, **sizes)
    assert "2 images a chip in 2 parts: does NOT fit, 17,408 of 16,384 MiB" in str(row)
    row = tpu._row(_WRONG["large"], topology="v9x:1", **said, **sizes)
    assert row.fits and row.available_bytes is None


@_compiles
def test_lenet_compiles_for_a_tpu():
    for row in tpu.rows(["lenet"], topologies=[_TOPOLOGY]):
        assert row.fits, row
        assert row.num_host_transfers == 0
        # The compiler makes one sum of all gradients'.
        assert row.num_all_reduces == (1 if row.step == tpu.TRAINING else 0)
        assert row.memory_bytes < 2**28


@_compiles
@pytest.mark.tpu
@pytest.mark.parametrize("model", [one for one in MODELS.names() if one != "lenet"])
def test_every_network_compiles_for_a_tpu(model):
    for row in tpu.rows([model], topologies=["v5e:2x2", "v6e:2x2"]):
        assert row.fits, row
        assert row.num_host_transfers == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--models=lenet5"], "no model 'lenet5'"),
        (["--output=tpu.txt"], "--output='tpu.txt' has to end in .csv"),
        (["--precision=float64"], "--precision='float64' has to be one of float32"),
    ],
)
def test_the_program_refuses(arguments, text, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "tflottery.reports.tpu", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 2, ran.stderr
    assert text in ran.stderr and "Traceback" not in ran.stderr
