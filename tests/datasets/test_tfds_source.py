"""tensorflow-datasets by name: small prepared folders, and what is refused."""

import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tflottery.datasets import source, tfds_source

# Writes prepared folders of made-up datasets; in a process of its own, as it starts
# TensorFlow.
_PROGRAM = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

def store(name, shape, *, splits=("train", "test"), label=None, dtype=np.uint8):
    def examples(split):
        for index in range(7 if split == "train" else 3):
            image = np.full([size or 4 for size in shape], index + 10, dtype)
            yield index, {"image": image, "label": index % 5}
    label = label or tfds.features.ClassLabel(num_classes=5)
    image = (tfds.features.Image(shape=shape) if dtype == np.uint8
             else tfds.features.Tensor(shape=shape, dtype=dtype))
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name, version="1.2.3", data_dir=sys.argv[1],
        features=tfds.features.FeaturesDict({"image": image, "label": label}),
        split_datasets={split: examples(split) for split in splits})

store("little", (4, 4, 3))
store("little_any_shape", (None, None, 3))
store("little_train_only", (4, 4, 3), splits=("train",))
store("little_number", (4, 4, 3), label=tfds.features.Scalar(np.int64))
store("little_float", (4, 4, 3), dtype=np.float32)
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    command = [sys.executable, "-c", _PROGRAM, str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_a_prepared_dataset_is_read_without_network_or_tensorflow(data_dir, tmp_path):
    folders = f"data_dir={str(data_dir)!r}, cache_dir={str(tmp_path)!r}"
    program = (
        "import sys\n"
        "from tflottery.datasets import source\n"
        f"source.load('little', {folders})\n"
        "print('tensorflow' in sys.modules)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout == "False\n"

    little = source.load("little", data_dir=str(data_dir), cache_dir=str(tmp_path))
    assert little.version == "1.2.3"
    assert little.num_classes == 5
    assert little.train.images.shape == (7, 4, 4, 3)
    values = little.train.images[:, 0, 0, 0]
    np.testing.assert_array_equal(np.sort(values), np.arange(10, 17))
    np.testing.assert_array_equal(little.train.labels, (values - 10) % 5)
    np.testing.assert_allclose(little.mean, [13 / 255] * 3, rtol=1e-12)
    np.testing.assert_allclose(little.std, [2 / 255] * 3, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("little_any_shape", r"shape \(None, None, 3\), not a fixed one"),
        ("little_train_only", r"splits are \['train'\], not train and test"),
        ("little_number", "not one of so many classes"),
        ("little_float", "float32, not uint8"),
    ],
)
def test_what_cannot_be_used_is_refused(data_dir, name, reason):
    with pytest.raises(ValueError, match=f"'{name}' cannot be used.*{reason}"):
        tfds_source.read(name, data_dir=str(data_dir))


def test_what_does_not_fit_in_memory_is_refused(data_dir, monkeypatch):
    monkeypatch.setattr(tfds_source, "MAXIMUM_BYTES", 479)
    with pytest.raises(ValueError, match="10 images take.*more than"):
        tfds_source.read("little", data_dir=str(data_dir))


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="'no_such_set'.*cifar10, digits, mnist"):
        source.load(
            "no_such_set", data_dir=str(tmp_path), cache_dir=str(tmp_path / "cache")
        )


def test_an_unknown_version_is_named(tmp_path):
    with pytest.raises(ValueError, match="'mnist:0.0.1' cannot be opened.*0.0.1"):
        tfds_source.read("mnist:0.0.1", data_dir=str(tmp_path))


@pytest.mark.slow
def test_damaged_files_are_named(data_dir, tmp_path):
    shutil.copytree(data_dir / "little", tmp_path / "little")
    for record in (tmp_path / "little").rglob("*tfrecord*"):
        record.write_bytes(b"garbage" * 10)
    with pytest.raises(RuntimeError, match=f"'little' could not be read.*{tmp_path}"):
        tfds_source.read("little", data_dir=str(tmp_path))


def closed_port():
    """Returns an address where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()


def test_not_prepared_and_no_network_says_what_to_do(tmp_path, monkeypatch):
    host, port = closed_port()
    monkeypatch.setenv("https_proxy", f"http://{host}:{port}")
    monkeypatch.setenv("no_proxy", "")
    started = time.monotonic()
    with pytest.raises(FileNotFoundError) as error:
        source.load(
            "mnist", data_dir=str(tmp_path / "none"), cache_dir=str(tmp_path / "cache")
        )
    assert time.monotonic() - started < 15
    for fact in ("'mnist'", str(tmp_path / "none"), "--data_dir", f"{host}:{port}"):
        assert fact in str(error.value)


def test_a_network_that_never_answers_is_given_up_soon(tmp_path):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # One connection fills the queue; the next ones wait for an answer in vain.
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        started = time.monotonic()
        with pytest.raises(FileNotFoundError, match="did not answer"):
            tfds_source.read(
                "mnist",
                data_dir=str(tmp_path),
                probe_address=full.getsockname(),
                probe_timeout_seconds=0.3,
            )
        assert time.monotonic() - started < 10
        for one in waiting:
            one.close()


def test_connected_to_a_host_that_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert tfds_source.connected(server.getsockname(), timeout_seconds=5)
    assert not tfds_source.connected(closed_port(), timeout_seconds=5)


def test_folder_of_prepared_datasets(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/from/environment")
    assert tfds_source.folder(None) == "/from/environment"
    assert tfds_source.folder("/given/") == "/given"
    assert tfds_source.folder("gs://bucket/data") == "gs://bucket/data"
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert tfds_source.folder(None).endswith("/tensorflow_datasets")
