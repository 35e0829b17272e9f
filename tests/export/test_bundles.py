"""A bundle is read with json and safetensors alone, and exported from again."""

import json
import pathlib
import shutil
import zipfile

import keras
import numpy as np
import pytest
import safetensors.numpy

from tflottery.export import __main__ as program
from tflottery.export import (
    bundles,
    costs,
    formats,
    networks,
    resolving,
    stored_networks,
    tflite,
)


@pytest.fixture(scope="module")
def bundle(stored, nothing_measured, tmp_path_factory):
    """A bundle of the ticket, as a zip file and as a folder."""
    folder = tmp_path_factory.mktemp("bundles")
    found = resolving.resolve(stored.ticket, store=stored.root)
    network = stored_networks.open_network(found)
    path = folder / "ticket.zip"
    written = formats.export(network, formats.FORMATS["bundle"], path)
    shutil.unpack_archive(path, folder / "ticket")
    return network, written, path, folder / "ticket"


def test_a_bundle_is_read_without_the_package(bundle, stored):
    _, written, _, folder = bundle
    told = json.loads((folder / "bundle.json").read_text())
    assert told["format"] == "tflottery ticket bundle"
    assert told["recipe"]["learning_rate"] == 0.1
    assert told["seeds"]["data_order_seed"] == 5
    assert (told["rewind_iteration"], told["iteration"]) == (3, 9)
    assert told["data"]["name"] == "digits" and told["num_survivors"] == 20
    assert told["accuracy"] == {"test_error": 0.25}
    assert told["report"] == list(written.notes[: len(told["report"])])
    assert told["lineage"][0]["made_from"]["mask"] == stored.mask
    assert told["files"].keys() == {one.name for one in folder.iterdir()} - {
        "bundle.json"
    }
    arrays = {
        name: safetensors.numpy.load_file(folder / f"{name}.safetensors")
        for name in ("mask", "rewind", "final", "examples")
    }
    for name, expected in (
        ("mask", stored.masks),
        ("rewind", stored.rewound),
        ("final", stored.final),
    ):
        assert arrays[name].keys() == expected.keys()
        for path, value in expected.items():
            np.testing.assert_array_equal(arrays[name][path], value)
    # Keras alone makes the network of it.
    model = keras.models.model_from_json((folder / "model.json").read_text())
    model.set_weights([arrays["final"][path] for path in told["variables"]])
    examples = arrays["examples"]
    np.testing.assert_allclose(
        model(examples["input/0"]), examples["output/0"], atol=1e-5
    )


@pytest.mark.slow
def test_costs_are_bytes_operations_and_times(bundle):
    network, *_ = bundle
    found = costs.measured(network)
    # 36 + 144 weights at 64 positions and 40 at one, and those of them that are left.
    assert found.dense_flops == 2 * (64 * 180 + 40)
    left = {path: int(one.sum()) for path, one in network.masks.items()}
    convolutions = left["stem/kernel"] + left["conv/kernel"]
    assert found.flops == 2 * (64 * convolutions + left["head/kernel"])
    assert found.weights.raw == found.dense_weights.raw
    assert found.weights.gzip < found.dense_weights.gzip
    assert found.tflite.raw <= found.dense_tflite.raw
    told = [line.split(":")[0].split(" ")[0] for line in found.told]
    assert told[:4] == ["weights", "TFLite", "operations", "TensorFlow"]
    told = [line.split(":")[0] for line in found.told]
    assert told[4:] == list(tflite.interpreters())


@pytest.mark.slow
def test_costs_do_without_tflite_where_it_cannot_hold_a_network():
    inputs = keras.Input((5, 3))
    x = keras.layers.LSTM(4, name="memory")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
    network = networks.ExportedNetwork(
        name="memory",
        model=model,
        examples=np.ones((2, 5, 3), np.float32),
        expected=None,
        masks={"head/kernel": np.eye(4, 2, dtype=np.uint8)},
        rewound=None,
        flops={"head/kernel": 16},
        description={},
    )
    found = costs.measured(network)
    assert found.tflite is None and list(found.microseconds) == ["TensorFlow"]
    assert found.told[1].startswith("TFLite: none. TFLite cannot hold this network")
    assert found.told[2].endswith("in layers with masks: 4 of 16 with none pruned")


def test_it_says_when_zeros_do_not_run_faster(bundle):
    described = json.loads((bundle[-1] / "bundle.json").read_text())
    told, times = described["report"], described["costs"]["microseconds"]
    assert times["TFLite"] == {"own": 100, "dense": 300}
    *_, flops, slow, fast = told
    assert "not known" in flops
    assert slow.startswith("TensorFlow: zeros do not run faster: 99 microseconds")
    assert fast.startswith("TFLite: 3.0 times as fast: 100 microseconds")


def test_a_bundle_is_exported_from_again(bundle, nothing_measured, tmp_path):
    network, _, path, folder = bundle
    found = resolving.resolve(str(folder))
    program.exported(found, "keras", tmp_path / "again.keras")
    model = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_allclose(model(network.examples), network.expected, atol=1e-5)
    program.exported(resolving.resolve(str(path)), "bundle", tmp_path / "again")
    one, other = (
        json.loads((where / "bundle.json").read_text())
        for where in (folder, tmp_path / "again")
    )
    for name in ("files", "lineage", "recipe", "flops", "variables", "accuracy"):
        assert one[name] == other[name]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "mask.safetensors").unlink(), "missing .'mask.safe"),
        (lambda folder: (folder / "bundle.json").write_text("{"), "no whole bundle"),
        (lambda folder: (folder / "bundle.json").write_text("{}"), "of format None"),
        (lambda folder: (folder / "bundle.json").write_text("[]"), "no whole bundle"),
        (
            lambda folder: (folder / "final.safetensors").write_bytes(b"1" * 99),
            "final.safetensors was changed",
        ),
    ],
)
def test_a_damaged_bundle_is_refused(bundle, tmp_path, damage, told):
    folder = shutil.copytree(bundle[-1], tmp_path / "ticket")
    damage(folder)
    with pytest.raises(ValueError, match=told):
        bundles.opened(folder)


def test_what_is_no_zip_file_is_refused(bundle, tmp_path):
    half = tmp_path / "half.zip"
    half.write_bytes(pathlib.Path(bundle[2]).read_bytes()[:-100])
    with pytest.raises(ValueError, match="no whole bundle"):
        bundles.opened(half)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(ValueError, match="no whole bundle: 'bundle.json'"):
        bundles.opened(tmp_path / "other.zip")
