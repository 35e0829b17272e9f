"""Exports open without the package, and have the outputs that were measured."""

import dataclasses
import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import safetensors
import tensorflow as tf

import tflottery
from tflottery.core.identities import Data
from tflottery.core.registry import MODELS
from tflottery.datasets import pipeline
from tflottery.datasets import source as sources
from tflottery.export import __main__ as program
from tflottery.export import formats, resolving, stored_networks, tflite
from tflottery.export.networks import ExportError
from tflottery.models import weights as model_weights
from tflottery.store.origins import Reference
from tflottery.training import checkpoints

from .conftest import small_convolutions


@pytest.fixture(scope="module")
def network(stored):
    found = resolving.resolve(stored.table, row="2", store=stored.root)
    return stored_networks.open_network(found)


@pytest.fixture(scope="module")
def measured(stored):
    """The first test images as the data set gives them, and the network's outputs."""
    source = sources.load("digits")
    load = pipeline.loader(source, split="test", augmentation="none")
    images, _ = load(np.arange(32, dtype=np.int32), np.zeros(32, np.int32))
    model = small_convolutions(input_shape=(8, 8, 1), num_classes=10)
    model_weights.assign(model, stored.final)
    pixels = np.asarray(source.test.images[:32]).astype(np.float32)
    return pixels, np.asarray(model(images))


def _written(network, form, path):
    return formats.export(network, formats.FORMATS[form], path)


def test_a_network_of_a_row_is_one_of_keras_that_takes_pixels(
    network, measured, stored
):
    pixels, outputs = measured
    np.testing.assert_array_equal(network.examples, pixels)
    np.testing.assert_allclose(network.model(pixels), outputs, atol=1e-5)
    modules = {type(one).__module__.split(".")[0] for one in network.model.layers}
    assert modules == {"keras"}
    for path, mask in network.masks.items():
        assert not network.weights[path][mask == 0].any()
        np.testing.assert_array_equal(mask, stored.masks[path])
    for path, value in stored.rewound.items():
        np.testing.assert_array_equal(network.rewound[path], value)
    told = network.description
    assert told["density"] == 20 / (36 + 144 + 40) and told["num_survivors"] == 20
    assert told["accuracy"] == {"test_error": 0.25}
    assert (told["rewind_iteration"], told["iteration"]) == (3, 9)
    assert [one["address"] for one in told["lineage"]][0] == stored.ticket
    assert len(told["lineage"]) == 4 and told["data"]["digest"] == stored.data["digest"]
    json.dumps(told)


@pytest.mark.parametrize("form", ["keras", "savedmodel", "tflite", "safetensors"])
def test_every_format_has_the_outputs_that_were_measured(
    network, measured, stored, form, tmp_path
):
    pixels, outputs = measured
    path = tmp_path / f"ticket{program._ENDINGS[form][0]}"
    written = _written(network, form, path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert written.difference < 1e-4
    if form == "keras":
        with zipfile.ZipFile(path) as archive:
            assert b"tflottery" not in archive.read("config.json")
        found = keras.models.load_model(path)(pixels)
    elif form == "savedmodel":
        opened = tf.saved_model.load(str(path))
        found = opened.serve(pixels)
    elif form == "tflite":
        found = tflite.run(path, pixels)["TensorFlow Lite"]
    else:
        with safetensors.safe_open(path, "numpy") as file:
            description = json.loads(file.metadata()["description"])
            for name in network.weights:
                np.testing.assert_array_equal(file.get_tensor(name), stored.final[name])
        assert description == network.description
        return
    np.testing.assert_allclose(found, outputs, atol=1e-4)


def test_what_has_other_outputs_leaves_no_file(network, tmp_path, monkeypatch):
    for wrong in (network.expected + 0.01, network.expected * np.nan):
        form = formats.FORMATS["keras"]
        changed = formats.dataclasses.replace(form, run=lambda *_, w=wrong: {"K": w})
        with pytest.raises(ExportError, match="ticket.keras was not kept. .* differ"):
            formats.export(network, changed, tmp_path / "ticket.keras")
    fewer = formats.dataclasses.replace(form, run=lambda *_: {"K": wrong[:3]})
    with pytest.raises(ExportError, match=r"shapes \[\(3, 10\)\], those of .*\(32"):
        formats.export(network, fewer, tmp_path / "ticket.keras")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_told_and_what_came_meanwhile_stays(
    network, tmp_path
):
    path = tmp_path / "ticket"

    def full(network, draft):
        draft.mkdir()
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    form = formats.dataclasses.replace(formats.FORMATS["savedmodel"], write=full)
    with pytest.raises(OSError, match="ticket' cannot be written .No space left"):
        formats.export(network, form, path)
    assert list(tmp_path.iterdir()) == []

    def beside_another(network, draft):
        draft.write_text("mine")
        path.write_text("theirs")
        return ()

    form = formats.Format(beside_another, lambda *_: {"K": network.expected})
    with pytest.raises(ExportError, match="written meanwhile: it stays"):
        formats.export(network, form, path)
    assert [one.read_text() for one in tmp_path.iterdir()] == ["theirs"]


def test_a_stop_while_sizes_are_read_leaves_no_file(network, tmp_path, monkeypatch):
    def stop(path):
        raise KeyboardInterrupt

    def write(network, draft):
        draft.write_text("mine")
        return ()

    monkeypatch.setattr(formats.sizes, "of_files", stop)
    form = formats.Format(write, lambda *_: {"K": network.expected})
    with pytest.raises(KeyboardInterrupt):
        formats.export(network, form, tmp_path / "ticket")
    assert list(tmp_path.iterdir()) == []


def test_auxiliary_heads_are_left_out(stored, tmp_path, monkeypatch):
    def with_another_head(**options):
        model = small_convolutions(**options)
        other = keras.layers.Dense(10, name="other")(model.get_layer("average").output)
        return keras.Model(model.input, [model.output, other], name=model.name)

    read = checkpoints.read_weights
    others = {"other/kernel": np.ones((4, 10), np.float32), "other/bias": np.ones(10)}
    monkeypatch.setattr(checkpoints, "read_weights", lambda one: read(one) | others)
    entry = MODELS["small_convolutions"]
    changed = dataclasses.replace(entry, function=with_another_head)
    monkeypatch.setitem(MODELS._entries, "small_convolutions", changed)
    found = resolving.resolve(stored.ticket, store=stored.root)
    fields = found.origins.fields(stored.ticket) | {"network.architecture": ""}
    monkeypatch.setattr(found.origins, "fields", lambda _: fields)
    network = stored_networks.open_network(found)
    assert network.expected.shape == (32, 10)
    assert not any("other" in path for path in (*network.weights, *network.rewound))
    _written(network, "keras", tmp_path / "ticket.keras")


def test_outputs_are_described_as_what_they_are(stored):
    for changed, told in (
        ({}, "one logit for each class, before softmax"),
        ({"pretext": "exemplar"}, "the pretext task 'exemplar' asks for"),
        ({"subset": "classes:0.5"}, "of the subset classes:0.5, in its own numbering"),
    ):
        assert told in stored_networks._outputs_told(Data(**stored.data | changed))


def test_k_is_not_made_up_where_the_weights_at_k_are_gone(stored, monkeypatch):
    found = resolving.resolve(stored.ticket, store=stored.root)
    fields = found.origins.fields(stored.ticket) | {"initial": Reference("0", None)}
    # A schedule that goes on tells k, one that began anew does not.
    for first, expected in ((3, 3), (0, None)):
        changed = fields | {"first_iteration": first}
        monkeypatch.setattr(found.origins, "fields", lambda _, c=changed: c)
        network = stored_networks.open_network(found, inputs="normalized")
        assert network.description["rewind_iteration"] == expected
        assert network.rewound is None


def test_a_dense_network_and_one_of_normalized_images(stored, tmp_path):
    found = resolving.resolve(stored.dense, store=stored.root)
    lines = program.exported(
        found, "keras", tmp_path / "dense.keras", inputs="normalized"
    )
    assert "bytes" in lines[0] and "run by Keras" in lines[1]
    assert "on 32 inputs differ by" in lines[-1]
    model = keras.models.load_model(tmp_path / "dense.keras")
    assert "scaling" not in [one.name for one in model.layers]


def test_another_data_set_and_another_model_are_refused(stored, monkeypatch):
    found = resolving.resolve(stored.ticket, store=stored.root)
    fields = found.origins.fields(stored.ticket)
    for name, value, told in (
        ("data.digest", "0123", "not the one that the network was trained on"),
        ("network.model", "gone", "'gone', which is not registered .*--plugins"),
        ("network.architecture", "0123", "another network now .*expected 0123"),
    ):
        changed = fields | {name: value}
        monkeypatch.setattr(found.origins, "fields", lambda _, c=changed: c)
        with pytest.raises(ValueError, match=told):
            stored_networks.open_network(found)


_OPENED = """
import sys
import keras, numpy
images = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], keras.models.load_model(sys.argv[1])(images))
assert not any(name.startswith("tflottery") for name in sys.modules)
"""


@pytest.mark.slow
def test_a_process_without_the_package_opens_it(network, measured, tmp_path):
    _written(network, "keras", tmp_path / "ticket.keras")
    np.save(tmp_path / "pixels.npy", measured[0])
    files = [tmp_path / name for name in ("ticket.keras", "pixels.npy", "out.npy")]
    subprocess.run([sys.executable, "-c", _OPENED, *map(str, files)], check=True)
    np.testing.assert_allclose(np.load(files[-1]), measured[1], atol=1e-5)


@pytest.mark.slow
def test_plugins_that_import_keras_find_it_set_up(stored, tmp_path):
    (tmp_path / "own_plugin.py").write_text("import keras\nraise ValueError('ours')")
    command = [sys.executable, "-m", "tflottery.export", stored.ticket]
    command += [f"--store={stored.root}", "--format=keras", "--plugins=own_plugin"]
    folder = os.path.dirname(os.path.dirname(tflottery.__file__))
    env = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": folder}
    found = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2 and found.stderr.startswith("error: ")
    assert "ours" in found.stderr and "backend" not in found.stderr
