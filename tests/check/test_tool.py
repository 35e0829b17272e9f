"""`python -m tflottery.check`: what breaks a contract is named, with what to do."""

import subprocess
import sys

import pytest

import tflottery.check.__main__ as tool
from tflottery.core.registry import (
    CRITERIA,
    DATASETS,
    MODELS,
    PERTURBATIONS,
    PRETEXTS,
)

# A mistake in each kind.
_BROKEN = """
import dataclasses
import numpy as np
from tflottery.core.registry import (
    CRITERIA, DATASETS, MODELS, PERTURBATIONS, PRETEXTS
)
from tflottery.datasets.arrays import RawSource
from tflottery.studies import config

RECIPE = MODELS["lenet"]["recipes"]["standard"]

@MODELS.register(
    "bare", recipes={"standard": RECIPE}, dataset="noise", minimum_image_size=1
)
def bare(*, input_shape, num_classes):
    import keras
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    outputs = keras.layers.Dense(5, name="head")(x)
    return keras.Model(images, outputs, name="bare")

@DATASETS.register("noise", adapt_recipe=lambda recipe: None, version=1)
def noise(*, data_dir, minimum_image_size, working_dir):
    images = np.random.default_rng().integers(0, 256, (8, 4, 4, 1), np.uint8)
    labels = np.zeros(8, np.int32)
    return RawSource(
        version="1", train_images=images, train_labels=labels,
        test_images=images[:4], test_labels=labels[:4], num_classes=2,
    )

@PRETEXTS.register("first", num_outputs=2, version=1, seeded=True)
def first(images, labels, *, bits, indices, seed, num_classes):
    import tensorflow as tf
    ranks = tf.argsort(tf.argsort(indices))
    return images, tf.cast(ranks % 2, tf.int32)

@PRETEXTS.register("chance", num_outputs=2, version=1, seeded=False)
def chance(images, labels, *, bits, indices, seed, num_classes):
    import tensorflow as tf
    return images, tf.random.uniform(tf.shape(labels), maxval=2, dtype=tf.int32)

@PERTURBATIONS.register("double", version=1, options={"factor": (2.0,)})
def double(kernels, masks, *, initial, initializers, seed, factor):
    for kernel in kernels.values():
        kernel *= np.float32(factor)
    return kernels

@CRITERIA.register("noisy", version=1, scored_weights="trained", seeded=False)
def noisy(weights, *, shapes, seed):
    generator = np.random.default_rng(seed)
    return {path: generator.random(shape) for path, shape in shapes.items()}

@dataclasses.dataclass(frozen=True)
class Row:
    values: list

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.Config):
    @classmethod
    def tiny(cls):
        return cls(dataset="digits", training_iterations=10, rewind_iterations=(0,))

TABLES = {"rows": Row}

def plan(study):
    return []

def rows(study, results):
    return {}
"""
_FOUND = {
    "model bare: kernels can be pruned": ("head/kernel", "MaskedDense", "unpruned="),
    "model bare: outputs a float32": ("(4, 5)", "(4, 10)", "num_classes units"),
    "dataset noise: declares a version": ("None", "a recipe"),
    "dataset noise: is the same each time": ("another train_images", "generator"),
    "dataset noise: splits are apart": ("classes [1]", "num_classes"),
    "pretext first: shows an example": ("another batch", "bits and indices"),
    "pretext first: reads the seed": ("seeded=True", "declare seeded=False"),
    "pretext chance: is the same eagerly": ("other targets", "no random numbers but"),
    "pretext chance: reads the seed": ("for the same seed", "bits and indices"),
    "perturbation double: leaves its arguments": ("has changed", "factor"),
    "pruning criterion noisy: reads the seed": ("differ", "declare seeded=True"),
    "experiment broken_plugins: has typed rows": ("'rows' of Row", "['values']"),
    "experiment broken_plugins: plans the same": ("0 goals", "list of artifacts"),
    "experiment broken_plugins: tables what": ("tables []", "['rows']"),
}


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A module by that name; what it registers goes with the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for one in (MODELS, DATASETS, PRETEXTS, PERTURBATIONS, CRITERIA):
        one.names()
        monkeypatch.setattr(one, "_entries", dict(one._entries))

    def write(text, name="broken_plugins"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def test_every_mistake_is_named(plugins):
    found = list(tool.verdicts([plugins(_BROKEN)]))
    failed = [verdict.line for verdict in found if not verdict.holds]
    for line in failed:
        assert line.startswith("FAILED  ")
        for part in ("; came: ", "; expected: ", "; to do: "):
            assert part in line
    for what, facts in _FOUND.items():
        [line] = [line for line in failed if what in line]
        assert all(fact in line for fact in facts), line
    # What holds beside it is told as such.
    fine = [verdict.line for verdict in found if verdict.holds]
    assert "ok      model bare: recipes are whole (standard)" in fine
    assert any("noisy: scores every kernel the same" in line for line in fine)


def test_what_raises_is_told_and_the_rest_goes_on(plugins):
    text = """
from tflottery.core.registry import CRITERIA

@CRITERIA.register("raising", version=1, scored_weights="none", seeded=False)
def raising(weights, *, shapes, seed):
    raise KeyError("kernel\\nmissing")
"""
    found = list(tool.verdicts([plugins(text, "raising_plugins")]))
    assert [verdict.holds for verdict in found] == [True, False, False, False]
    assert "came: KeyError: " in found[1].line and "\n" not in found[1].line


def test_a_module_that_registers_nothing_is_refused(plugins):
    with pytest.raises(ValueError, match="empty_plugins registers nothing.*extending"):
        list(tool.verdicts([plugins("", "empty_plugins")]))
    with pytest.raises(ValueError, match="no module 'no_such_plugins'") as refused:
        list(tool.verdicts(["no_such_plugins"]))
    # Nobody typed that.
    assert "--plugins" not in str(refused.value)


def test_a_module_of_the_package_can_be_checked_too():
    lines = [one.line for one in tool.verdicts(["tflottery.pruning.criteria.random"])]
    assert len(lines) == 4 and all("criterion random: " in line for line in lines)


@pytest.mark.slow
def test_exit_codes_and_lines(tmp_path):
    (tmp_path / "broken_plugins.py").write_text(_BROKEN)
    for names, code in ((["broken_plugins"], 1), ([], 2), (["no_such_module"], 2)):
        ended = subprocess.run(
            [sys.executable, "-m", "tflottery.check", *names],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == code, ended.stderr
        assert ("checks, " in ended.stdout) == (code == 1)
