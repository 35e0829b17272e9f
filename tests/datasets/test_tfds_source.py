"""tensorflow-datasets by name: which edition is there, and reading it."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tflottery.datasets import source, tfds_source


@pytest.fixture
def prepared(tmp_path):
    """A folder that looks like prepared datasets."""
    for path in (
        "mnist/3.0.1/dataset_info.json",
        "mnist/3.0.1/mnist-train.tfrecord-00000-of-00001",
        "emnist/.config/metadata.json",
        "emnist/letters/3.1.0/dataset_info.json",
        "emnist/letters/3.1.0/emnist-train.tfrecord-00000-of-00001",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    return tmp_path


def edition(name, folder):
    return tfds_source.edition(name, data_dir=str(folder))


def rewrite(path, text):
    """Writes to a file and puts its time back: its system time still tells."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "a shard, of the same size, with its time put back": lambda mnist: rewrite(
        mnist / "3.0.1" / "mnist-train.tfrecord-00000-of-00001", "x" * 47
    ),
    "the description": lambda mnist: rewrite(
        mnist / "3.0.1" / "dataset_info.json", "{}"
    ),
    "another version": lambda mnist: shutil.copytree(mnist / "3.0.1", mnist / "4.0.0"),
    "another configuration": lambda mnist: shutil.copytree(
        mnist / "3.0.1", mnist / "small" / "3.0.1"
    ),
    "the default configuration": lambda mnist: (
        (mnist / ".config").mkdir(),
        (mnist / ".config" / "metadata.json").write_text("{}"),
    ),
    "one shard fewer": lambda mnist: (
        mnist / "3.0.1" / "mnist-train.tfrecord-00000-of-00001"
    ).unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["mnist", "mnist:3.0.1", "MNIST", "Mnist"])
def test_data_prepared_anew_are_another_edition(prepared, name, change):
    first, other = edition(name, prepared), edition("emnist", prepared)
    assert first and first == edition(name, prepared)
    time.sleep(0.01)
    CHANGES[change](prepared / "mnist")
    assert edition(name, prepared) not in (first, None)
    assert edition("emnist", prepared) == other


def test_what_is_being_prepared_is_no_edition_yet(prepared):
    first = edition("mnist", prepared)
    unfinished = prepared / "mnist" / "incomplete.ABC123_3.0.2"
    unfinished.mkdir()
    (unfinished / "dataset_info.json").write_text("{}")
    assert edition("mnist", prepared) == first
    (prepared / "mnist" / "3.0.1" / "dataset_info.json").unlink()
    assert edition("mnist", prepared) is None


def test_what_is_not_there_has_no_edition(prepared, monkeypatch):
    assert edition("fashion_mnist", prepared) is None
    assert edition("mnist", prepared / "none") is None
    assert edition("emnist/letters", prepared)
    # Where the data of others lie is theirs to know: all counts.
    assert edition("owner:mnist", prepared)
    monkeypatch.setattr(tfds_source.network, "connected", lambda address: False)
    assert edition("mnist", "gs://no-such-bucket/data") is None


def test_folder_of_prepared_datasets(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", "/from/environment")
    assert tfds_source.folder(None) == "/from/environment"
    assert tfds_source.folder("/given/") == "/given"
    assert tfds_source.folder("gs://bucket/data") == "gs://bucket/data"
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tfds_source.folder(None) == f"{tmp_path}/tensorflow_datasets"
    assert tfds_source.folder("~/br[1]*") == f"{tmp_path}/br[1]*"
    monkeypatch.setenv("HOME", "")
    with pytest.raises(ValueError, match="set HOME, or give --data_dir"):
        tfds_source.folder(None)


def test_addresses_of_unknown_kinds_are_refused(tmp_path):
    for name in ("digits", "mnist"):
        with pytest.raises(ValueError, match="'ftp://host/data'.*gs://.*s3://"):
            source.load(name, data_dir="ftp://host/data", cache_dir=str(tmp_path))


def test_a_file_is_no_folder_of_datasets(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("mnist", "digits", "fashion_mnist"):
        with pytest.raises(ValueError, match=f"--data_dir='{tmp_path}/file' is a file"):
            source.load(
                name, data_dir=f"{tmp_path}/file", cache_dir=str(tmp_path / "cache")
            )


def reader(monkeypatch, code, *, popen=subprocess.Popen):
    """Has other code run in place of the program that reads; it sees its arguments."""

    def start(command, **options):
        return popen([sys.executable, "-c", code, *command[3:]], **options)

    monkeypatch.setattr(tfds_source.subprocess, "Popen", start)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.kill(os.getpid(), 7)", r"was killed by SIGBUS\. Short of"),
        ("import os; os.kill(os.getpid(), 9)", r"was killed by SIGKILL\. Short of"),
        ("import sys; sys.exit('last words')", "exit code 1 last words"),
        (
            "import pathlib, sys, os; "
            "pathlib.Path(sys.argv[3], 'error.json').write_text(''); os.abort()",
            "was killed by SIGABRT",
        ),
    ],
)
def test_the_death_of_a_reader_has_a_reason(tmp_path, monkeypatch, code, reason):
    reader(monkeypatch, code)
    expected = f"'mnist' could not be read from '/data': .*{reason}"
    with pytest.raises(RuntimeError, match=expected):
        tfds_source.read("mnist", data_dir="/data", working_dir=tmp_path)


def test_a_reader_is_ended_with_what_interrupts_the_wait_for_it(tmp_path, monkeypatch):
    waits = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout=None):
            waits.append(self)
            if len(waits) == 1:
                raise KeyboardInterrupt
            return super().wait(timeout)

    reader(monkeypatch, "import time; time.sleep(600)", popen=Interrupted)
    with pytest.raises(KeyboardInterrupt):
        tfds_source.read("mnist", data_dir="/data", working_dir=tmp_path)
    assert waits[0].returncode == -signal.SIGKILL


def test_data_prepared_anew_in_the_same_folder_are_read_anew(
    data_dir, tmp_path, monkeypatch
):
    """Version 2 beside version 1, then other images in version 2's place."""
    read = []

    def run_reader(name, folder, working_dir):
        """Takes the newest version's description for its images."""
        version = sorted(os.listdir(f"{folder}/{name}"))[-1]
        told = pathlib.Path(folder, name, version, "dataset_info.json").read_bytes()
        images = np.frombuffer(told[:100], np.uint8).reshape(25, 2, 2, 1)
        for split in ("train", "test"):
            np.save(working_dir / f"{split}_images.npy", images)
            np.save(working_dir / f"{split}_labels.npy", np.zeros(25, np.int32))
        info = {"version": version, "num_classes": 1}
        info["edition"] = edition(name, folder)
        (working_dir / "info.json").write_text(json.dumps(info))
        read.append(version)

    monkeypatch.setattr(tfds_source, "_run_reader", run_reader)
    folder = tmp_path / "mnist"
    shutil.copytree(data_dir / "little", folder)
    folders = {"data_dir": str(tmp_path), "cache_dir": str(tmp_path / "cache")}

    def loaded():
        return [source.load("mnist", **folders) for _ in range(2)][-1]

    first = loaded()
    shutil.copytree(folder / "1.2.3", folder / "2.0.0")
    second = loaded()
    rewrite(folder / "2.0.0" / "dataset_info.json", "x" * 500)
    third = loaded()
    assert read == ["1.2.3", "2.0.0", "2.0.0"]
    assert (first.version, second.version) == ("1.2.3", "2.0.0")
    assert len({first.digest, second.digest, third.digest}) == 3
    assert (third.test.images == ord("x")).all()
    shutil.rmtree(folder)
    assert loaded().digest == third.digest


@pytest.mark.slow
def test_a_prepared_dataset_is_read_without_network_or_tensorflow(data_dir, tmp_path):
    """From a folder, to a cache, whose names tensorflow-datasets would misread."""
    shutil.copytree(data_dir, tmp_path / "br[1]*")
    folders = {"data_dir": str(tmp_path / "br[1]*"), "cache_dir": str(tmp_path / "[c]")}
    program = (
        "import sys\n"
        "from tflottery.datasets import source\n"
        f"source.load('little', **{folders!r})\n"
        "print('tensorflow' in sys.modules)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout == "False\n"
    assert not list((tmp_path / "[c]").glob("making-*"))

    little = source.load("little", **folders)
    assert little.version == "1.2.3"
    assert little.num_classes == 5
    assert little.train.images.shape == (7, 4, 4, 3)
    values = little.train.images[:, 0, 0, 0]
    np.testing.assert_array_equal(np.sort(values), np.arange(10, 17))
    np.testing.assert_array_equal(little.train.labels, (values - 10) % 5)
    np.testing.assert_allclose(little.mean, [13 / 255] * 3, rtol=1e-12)
    np.testing.assert_allclose(little.std, [2 / 255] * 3, rtol=1e-12)


@pytest.mark.slow
def test_damaged_images_are_named(data_dir, tmp_path):
    shutil.copytree(data_dir / "little", tmp_path / "little")
    (path,) = tmp_path.glob("little/*/little-train*")
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    (tmp_path / "working").mkdir()
    with pytest.raises(ValueError) as error:
        tfds_source.read(
            "little", data_dir=str(tmp_path), working_dir=tmp_path / "working"
        )
    assert re.match(
        "Dataset 'little' is prepared only in part, or its files are damaged: of split "
        f"'train', DataLossError: corrupted record at .* delete '{tmp_path}/little",
        str(error.value),
    )
    assert "\n" not in str(error.value)


def children(pid):
    """Returns the processes that a process started."""
    return [
        int(one)
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
        for one in (task / "children").read_text().split()
    ]


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 1.5, 3.0])
def test_a_kill_while_data_are_read_leaves_nothing(data_dir, tmp_path, seconds):
    cache, temporary = tmp_path / "cache", tmp_path / "temporary"
    temporary.mkdir()
    folders = {"data_dir": str(data_dir), "cache_dir": str(cache)}
    program = (
        f"from tflottery.datasets import source; source.load('little', **{folders!r})"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {"TMPDIR": str(temporary)}
    )
    wait_until(lambda: (cache / "making-little" / "source" / "log.txt").exists())
    wait_until(lambda: children(parent.pid))
    (reading,) = children(parent.pid)
    time.sleep(seconds)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    started = time.monotonic()
    wait_until(lambda: not pathlib.Path(f"/proc/{reading}").exists())
    assert time.monotonic() - started < 10
    assert not list(temporary.iterdir())
    # Whoever uses the cache next clears up, whatever it looks for there.
    source.load("digits", cache_dir=str(cache))
    source.load("digits", cache_dir=str(cache))
    assert not list(cache.glob("making-*"))
