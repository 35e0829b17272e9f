"""Image classification data of tensorflow-datasets, as arrays or where they lie.

Data are read in a process of their own (`tfds_reader`), because reading starts
TensorFlow, and a process that has started it holds the memory of every GPU. That
process ends with the one that started it. Which edition of the data a folder holds is
told from names, sizes and times of its files alone, in milliseconds.
"""

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from tflottery.core import environment, paths
from tflottery.core.fingerprints import fingerprint
from tflottery.datasets import cache, encoded, network, remote_folders
from tflottery.datasets.arrays import RawSource
from tflottery.datasets.remote_folders import RemoteFile

INFO_FILE = "dataset_info.json"
SPLITS = ("train", "test")
# Those of `etils.epath`.
_ADDRESSES = ("gs://", "s3://", "az://", "hf://")
_LOG = logging.getLogger(__name__)
_LOG_FILE = "log.txt"
# What the program that reads has to tell the user meanwhile, a line each.
NOTES_FILE = "notes.txt"
_POLL_SECONDS = 1.0
# What tensorflow-datasets prepares is <name>[/<configuration>]/<version>/<file>; below
# a folder that begins so, it is at work.
_DEPTH = 4
UNFINISHED = "incomplete."


def folder(data_dir: str | None) -> str:
    """Returns the folder of prepared datasets that `data_dir` stands for.

    Raises:
      ValueError: it is a file, an address of a kind that is not read, or begins with
        ~ where no home folder is known.
    """
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if "://" in chosen:
        if not chosen.startswith(_ADDRESSES):
            raise ValueError(
                f"--data_dir={chosen!r} is an address of a kind that is not read. "
                f"Known: {', '.join(_ADDRESSES)}."
            )
        return chosen
    otherwise = "give --data_dir, or set TFDS_DATA_DIR"
    found = os.path.abspath(paths.expanded(chosen, otherwise=otherwise))
    if os.path.exists(found) and not os.path.isdir(found):
        raise ValueError(
            f"--data_dir={chosen!r} is a file: expected a folder of datasets prepared "
            "by tensorflow-datasets, such as one that holds mnist/3.0.1/."
        )
    return found


def edition(name: str, *, data_dir: str | None) -> str | None:
    """Returns what tells the data prepared under a name from any others.

    It changes whenever a file of any version or configuration of the dataset is added,
    removed or written to.

    Args:
      name: a name of tensorflow-datasets, such as "emnist/letters:3.1.0".
      data_dir: folder of prepared datasets; None is tensorflow-datasets' default.

    Returns:
      A fingerprint; None if nothing is prepared there, or it cannot be reached.

    Raises:
      ValueError: as `folder`.
      OSError: a folder cannot be read.
    """
    root = folder(data_dir)
    below = top_folder(name)
    if "://" in root:
        files = _reachable_files(name, root)
    else:
        files = list(_files(os.path.join(root, below), depth=_DEPTH))
    prepared = any(path.rsplit("/", 1)[-1] == INFO_FILE for path, *_ in files)
    return fingerprint(sorted(files)) if prepared else None


def descriptions(name: str, *, data_dir: str) -> list[str]:
    """Returns the paths of what describes the data prepared under a name here."""
    below = top_folder(name)
    files = _files(os.path.join(data_dir, below), depth=_DEPTH) if below else ()
    names = (INFO_FILE, "features.json")
    return [path for path, *_ in files if os.path.basename(path) in names]


def remote_files(name: str, *, data_dir: str) -> list[RemoteFile]:
    """Returns the files of what is prepared under a name in a bucket.

    Raises:
      Exception: of a kind that depends on the file system and on who serves it.
    """
    url = f"{data_dir.rstrip('/')}/{top_folder(name)}"
    return remote_folders.files(url, depth=_DEPTH, skipped=UNFINISHED)


def mirrors() -> str:
    """Returns the folder, in the cache of this machine, of copies of remote ones."""
    return os.fspath(cache.default_folder() / "mirrors")


def read(name: str, *, data_dir: str | None, working_dir: pathlib.Path) -> RawSource:
    """Returns a dataset's train and test splits, downloading it if it is not prepared.

    Args:
      name: a name of tensorflow-datasets, such as "fashion_mnist".
      data_dir: folder of prepared datasets; None is tensorflow-datasets' default.
      working_dir: an empty folder of this machine for what is read; the arrays stay
        there, memory-mapped.

    Raises:
      ValueError: there is no such dataset, or no uint8 images with labels, in splits
        train and test, or images of one shape of more than 4 GiB.
      FileNotFoundError: it is not prepared and there is no network.
      RuntimeError: reading or downloading failed.
    """
    data_dir = folder(data_dir)
    _LOG.info("Reading dataset %r from %s, for the first time.", name, data_dir)
    _run_reader(name, data_dir, working_dir)
    info = json.loads((working_dir / "info.json").read_text())
    paths, form = info.pop("records", {}), info.pop("record_format", None)
    arrays = {
        f"{split}_{part}": np.load(working_dir / f"{split}_{part}.npy", mmap_mode="r")
        for split in SPLITS
        for part in ("images", "labels")
    }
    for split, files in paths.items():
        key = f"{split}_images"
        arrays[key] = encoded.in_files(files, arrays[key], form=form)
    return RawSource(**info, **arrays)


def top_folder(name: str) -> str:
    """Returns the folder below which all that goes by a name is; "" if that is unclear.

    Names are dataset[/configuration][:version], the first in snake or camel case; data
    sets of others go by owner:dataset, and where they lie is theirs to know.
    """
    parts = re.fullmatch(r"([A-Za-z]\w*)(/[^:]*)?(:[\d.*]+)?(/.*)?", name)
    if parts is None:
        return ""
    words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", parts[1])
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words).lower()


def _files(path: str, *, depth: int) -> Iterator[tuple[str | int, ...]]:
    """Yields (path, bytes, time written, time changed) of each file below a folder."""
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir():
            if depth > 1 and not entry.name.startswith(UNFINISHED):
                yield from _files(entry.path, depth=depth - 1)
        else:
            found = os.stat(entry.path)
            yield entry.path, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _reachable_files(name: str, url: str) -> list[tuple[str | int, ...]]:
    """Returns (path, bytes, time written) of each file of a dataset in a bucket.

    None of them if it cannot be reached: `read` says why.
    """
    if url.startswith("gs://") and not network.connected(network.download_address()):
        return []
    try:
        found = remote_files(name, data_dir=url)
    except Exception:
        # Of which kind depends on the file system and on who serves it.
        return []
    return [dataclasses.astuple(one) for one in found]


def _run_reader(name: str, data_dir: str, working_dir: pathlib.Path) -> None:
    """Runs `tfds_reader` as a program; raises what it says."""
    package_folder = str(pathlib.Path(__file__).parents[2])
    folders = [package_folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = environment.cleaned(
        {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": os.pathsep.join(folders)}
    )
    module = f"{__package__}.tfds_reader"
    command = [sys.executable, "-m", module, name, data_dir, str(working_dir)]
    if "://" in data_dir:
        command.append(mirrors())
    told = working_dir / NOTES_FILE
    told.touch()
    # It ends when its standard input does, so with this process; signals to a
    # terminal's or a scheduler's group are this process's to answer.
    with (
        open(working_dir / _LOG_FILE, "wb") as log,
        open(told) as notes,
        subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as reader,
    ):
        try:
            code = None
            while code is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = reader.wait(timeout=_POLL_SECONDS)
                for note in notes:
                    _LOG.info("%s", note.rstrip())
        except BaseException:
            reader.kill()
            raise
    if code:
        raise _failure(name, data_dir, working_dir, code)


def _failure(
    name: str, data_dir: str, working_dir: pathlib.Path, code: int
) -> Exception:
    """Returns the error of a reader that ended with a code."""
    # Absent where the reader was killed, cut where the disk is full.
    with contextlib.suppress(OSError, ValueError):
        error = json.loads((working_dir / "error.json").read_text())
        kinds = {kind.__name__: kind for kind in (ValueError, FileNotFoundError)}
        return kinds.get(error["kind"], RuntimeError)(error["text"])
    ended = f"ended with exit code {code}"
    if code < 0:
        ended = (
            f"was killed by {signal.Signals(-code).name}. Short of memory, or of room "
            f"in {str(working_dir.parent)!r}?"
        )
    words = (working_dir / _LOG_FILE).read_text(errors="replace")[-2000:]
    return RuntimeError(
        f"Dataset {name!r} could not be read from {data_dir!r}: the process that reads "
        f"it {ended} {words.strip()}".strip()
    )
