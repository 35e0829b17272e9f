"""What there is of a dataset that is not prepared where it was looked for.

People name the folder of one dataset in place of that of all, or the one above; have an
older version than this tensorflow-datasets makes; or have not fetched by hand what
nobody may download for them.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tflottery.datasets import tfds_source

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# Folders above the named one that are looked at: of a version, of a configuration.
_LEVELS_ABOVE = 3
_MANUAL = "downloads/manual"


def prepared_version(builder: "tfds.core.DatasetBuilder") -> str | None:
    """Returns the newest version that is prepared beside a builder's own, if any is."""
    names = [path.name for path in _versions(pathlib.Path(builder.data_path).parent)]
    versions = [name for name in names if re.fullmatch(r"\d+\.\d+\.\d+", name)]
    return max(versions, key=lambda name: [*map(int, name.split("."))], default=None)


def elsewhere(name: str, data_dir: str) -> str | None:
    """Returns a folder near the named one below which a dataset is prepared."""
    parents = list(pathlib.Path(data_dir).parents)[:_LEVELS_ABOVE]
    children = []
    with contextlib.suppress(OSError):
        children = sorted(one.path for one in os.scandir(data_dir) if one.is_dir())
    below = tfds_source.top_folder(name)
    for folder in (*map(os.fspath, parents), *children) if below else ():
        top = pathlib.Path(folder, below)
        # Of a dataset, or of each of its configurations.
        with contextlib.suppress(OSError):
            if any(_versions(top)) or any(map(any, map(_versions, top.glob("*")))):
                return folder
    return None


def _versions(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the folders in one that hold a prepared dataset."""
    return (path.parent for path in folder.glob(f"*/{tfds_source.INFO_FILE}"))


def missing_by_hand(builder: "tfds.core.DatasetBuilder", data_dir: str) -> str | None:
    """Returns what has to be fetched by hand before a dataset can be prepared.

    None where nothing is, or something was put where that is expected.

    Args:
      builder: of the dataset.
      data_dir: folder of prepared datasets, or its address.
    """
    from etils import epath

    told = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    folder = epath.Path(data_dir, _MANUAL)
    if not told or (folder.is_dir() and any(folder.iterdir())):
        return None
    return (
        f"tensorflow-datasets makes it of files that have to be fetched by hand into "
        f"{os.fspath(folder)!r}, and there are none: {' '.join(told.split())}"
    )


def unfinished(builder: "tfds.core.DatasetBuilder") -> str | None:
    """Returns the folder of a preparation that is not done, or was broken off."""
    above = pathlib.Path(builder.data_path).parent
    return next(map(os.fspath, above.glob(f"{tfds_source.UNFINISHED}*")), None)
