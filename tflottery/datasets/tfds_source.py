"""Image classification data of tensorflow-datasets, as arrays in memory.

Everything is checked here before TensorFlow is needed. Reading and downloading run in a
process of their own, because they start TensorFlow, and a process that has started it
holds the memory of every GPU.
"""

import contextlib
import json
import math
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

import numpy as np

from tflottery.core.registry import DATASETS
from tflottery.datasets.arrays import RawSource

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

MAXIMUM_BYTES = 4 * 2**30
PROBE_TIMEOUT_SECONDS = 5.0
_PROBE_ADDRESS = ("storage.googleapis.com", 443)
_SPLITS = ("train", "test")
_IMAGES_PER_READ = 1024


def folder(data_dir: str | None) -> str:
    """Returns the folder of prepared datasets that `data_dir` stands for."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if "://" in chosen:
        return chosen
    return os.path.abspath(os.path.expanduser(chosen))


def read(
    name: str,
    *,
    data_dir: str | None,
    probe_address: tuple[str, int] | None = None,
    probe_timeout_seconds: float = PROBE_TIMEOUT_SECONDS,
) -> RawSource:
    """Returns a dataset's train and test splits, downloading it if it is not prepared.

    Args:
      name: a name of tensorflow-datasets, such as "fashion_mnist".
      data_dir: folder of prepared datasets; None is tensorflow-datasets' default.
      probe_address: host and port that tell whether there is a network. None: the
        proxy of the environment if it names one, else the datasets' own server.
      probe_timeout_seconds: how long to wait for it.

    Raises:
      ValueError: there is no such dataset, or not one shape of uint8 images with
        labels, in splits train and test, of at most 4 GiB.
      FileNotFoundError: it is not prepared and there is no network.
      RuntimeError: reading or downloading failed.
    """
    data_dir = folder(data_dir)
    builder = _builder(name, data_dir)
    _check_features(name, builder)
    prepared = builder.is_prepared()
    if prepared:
        _check_splits(name, builder)
    else:
        address = probe_address or _download_address()
        if not connected(address, timeout_seconds=probe_timeout_seconds):
            raise FileNotFoundError(
                f"Dataset {name!r} is not prepared in {data_dir!r}, and there is no "
                f"network to download it ({address[0]}:{address[1]} did not answer). "
                f"Point --data_dir at a folder that holds {name!r} prepared by "
                "tensorflow-datasets, or run once where there is a network."
            )
    with tempfile.TemporaryDirectory(prefix="tflottery-") as working:
        _run_reader(name, data_dir, pathlib.Path(working), quiet=prepared)
        return _raw_source(pathlib.Path(working))


def connected(address: tuple[str, int], *, timeout_seconds: float) -> bool:
    """Returns whether a host answers within the time, name look-up included."""
    answered = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError):
            socket.create_connection(address, timeout=timeout_seconds).close()
            answered.set()

    # In a thread because looking up a name knows no time limit.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    return answered.is_set()


def _download_address() -> tuple[str, int]:
    """Returns the first host a download talks to: the proxy, if there is one."""
    proxy = urllib.request.getproxies().get("https")
    if not proxy or urllib.request.proxy_bypass(_PROBE_ADDRESS[0]):
        return _PROBE_ADDRESS
    url = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return url.hostname or _PROBE_ADDRESS[0], url.port or 80


def _builder(name: str, data_dir: str) -> "tfds.core.DatasetBuilder":
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(
            f"There is no dataset {name!r}. Known: {', '.join(DATASETS.names())}, and "
            "the image classification names of tensorflow-datasets, such as "
            "'fashion_mnist' or 'cifar100'."
        ) from error
    except (AssertionError, ValueError) as error:
        # A version or configuration that tensorflow-datasets does not have.
        raise ValueError(f"Dataset {name!r} cannot be opened: {error}") from error


def _check_features(name: str, builder: "tfds.core.DatasetBuilder") -> None:
    """Raises ValueError unless examples are a uint8 image of one shape and a label."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    names = sorted(features) if isinstance(features, tfds.features.FeaturesDict) else []
    if not {"image", "label"} <= set(names):
        raise _refusal(name, f"its examples have {names}, not an image and a label")
    image, label = features["image"], features["label"]
    if not isinstance(label, tfds.features.ClassLabel) or not label.num_classes:
        raise _refusal(name, f"its label is {label!r}, not one of so many classes")
    if image.shape is None or len(image.shape) != 3 or None in image.shape:
        raise _refusal(
            name, f"its images have the shape {image.shape}, not a fixed one"
        )
    if np.dtype(image.np_dtype) != np.uint8:
        raise _refusal(name, f"its images are {np.dtype(image.np_dtype)}, not uint8")


def _check_splits(name: str, builder: "tfds.core.DatasetBuilder") -> None:
    """Raises ValueError unless there are train and test, and they fit in memory."""
    splits = builder.info.splits
    if not set(_SPLITS) <= set(splits):
        raise _refusal(name, f"its splits are {sorted(splits)}, not train and test")
    num_examples = sum(splits[split].num_examples for split in _SPLITS)
    size = num_examples * math.prod(builder.info.features["image"].shape)
    if size > MAXIMUM_BYTES:
        raise _refusal(
            name,
            f"its {num_examples:,} images take {size / 2**30:.1f} GiB, more than the "
            f"{MAXIMUM_BYTES / 2**30:.0f} GiB held in memory",
        )


def _refusal(name: str, reason: str) -> ValueError:
    return ValueError(
        f"Dataset {name!r} cannot be used: {reason}. Expected image classification: "
        "uint8 images of one shape, labels, and the splits train and test."
    )


def _run_reader(
    name: str, data_dir: str, working: pathlib.Path, *, quiet: bool
) -> None:
    """Runs this module as a program; raises RuntimeError with what it says.

    Args:
      name: the dataset.
      data_dir: folder of prepared datasets.
      working: where the program writes arrays, or error.txt.
      quiet: False shows the progress of a download.
    """
    package_folder = str(pathlib.Path(__file__).parents[2])
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(
            [package_folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    command = [sys.executable, "-m", __name__, name, data_dir, str(working)]
    errors = subprocess.PIPE if quiet else None
    ended = subprocess.run(command, env=environment, stderr=errors, text=True)
    if ended.returncode:
        message = working / "error.txt"
        tail = (ended.stderr or "")[-2000:].strip() or f"exit code {ended.returncode}"
        raise RuntimeError(
            f"Dataset {name!r} could not be read from {data_dir!r}: "
            f"{message.read_text() if message.exists() else tail}"
        )


def _raw_source(working: pathlib.Path) -> RawSource:
    """Returns the arrays the program wrote; they outlive their folder's removal."""
    info = json.loads((working / "info.json").read_text())
    arrays = {
        f"{split}_{part}": np.load(working / f"{split}_{part}.npy", mmap_mode="r")
        for split in _SPLITS
        for part in ("images", "labels")
    }
    return RawSource(**info, **arrays)


def _write(name: str, data_dir: str, working: pathlib.Path) -> None:
    """Downloads the dataset if need be and writes its arrays; starts TensorFlow."""
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        builder.download_and_prepare()
        _check_splits(name, builder)
    # One shard after the other, so that the order of the examples is their own.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    shape = builder.info.features["image"].shape
    for split in _SPLITS:
        count = builder.info.splits[split].num_examples
        images = np.lib.format.open_memmap(
            working / f"{split}_images.npy", "w+", dtype=np.uint8, shape=(count, *shape)
        )
        labels = np.empty(count, np.int32)
        examples = builder.as_dataset(split=split, read_config=config)
        done = 0
        for batch in tfds.as_numpy(examples.batch(_IMAGES_PER_READ)):
            some = slice(done, done + len(batch["label"]))
            images[some], labels[some] = batch["image"], batch["label"]
            done = some.stop
        if done != count:
            raise ValueError(f"split {split!r} has {done} examples, not {count}")
        np.save(working / f"{split}_labels.npy", labels)
    classes = builder.info.features["label"].num_classes
    info = {"version": str(builder.version), "num_classes": classes}
    (working / "info.json").write_text(json.dumps(info))


if __name__ == "__main__":
    try:
        _write(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]))
    except Exception as error:
        # What reaches the user is this text; the calling process raises it.
        text = f"{type(error).__name__}: {error}"
        (pathlib.Path(sys.argv[3]) / "error.txt").write_text(text)
        raise
