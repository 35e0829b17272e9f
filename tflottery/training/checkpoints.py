"""Arrays on disk: weights and optimizer slots as safetensors, never a pickle.

Everything goes through epath, so a folder may be local (`~` is the home folder) or an
address such as gs://.
"""

from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy
from etils import epath

from tflottery.core import paths

WEIGHTS_FILE = "weights.safetensors"
SLOTS_FILE = "slots.safetensors"


def write(
    folder: epath.PathLike,
    weights: Mapping[str, np.ndarray],
    *,
    slots: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes a state: its weights, and its slots where one may go on from it.

    Args:
      folder: made if it is not there.
      weights: arrays by variable path.
      slots: arrays by kind and variable path, or None for a state only measured.

    Changes: `weights.safetensors` and, with slots, `slots.safetensors` in the folder.
    The same arrays give the same bytes.
    """
    folder = epath.Path(paths.expanded(folder))
    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(folder / WEIGHTS_FILE, weights)
    if slots is not None:
        write_arrays(folder / SLOTS_FILE, slots)


def read_weights(folder: epath.PathLike) -> dict[str, np.ndarray]:
    """Returns a state's weights by variable path, as arrays of its own.

    Raises:
      FileNotFoundError: the folder has no weights.
      ValueError: the file is damaged.
    """
    return read_arrays(epath.Path(paths.expanded(folder)) / WEIGHTS_FILE)


def read_slots(folder: epath.PathLike) -> dict[str, np.ndarray]:
    """Returns a state's optimizer slots by kind and variable path.

    Raises:
      FileNotFoundError: the state was kept without slots.
      ValueError: the file is damaged.
    """
    return read_arrays(epath.Path(paths.expanded(folder)) / SLOTS_FILE)


def write_arrays(path: epath.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays into one file that is whole whenever its name is there.

    Changes: the file at `path`; its folder has to exist.
    """
    path = epath.Path(paths.expanded(path))
    # safetensors writes memory as it lies: transposed arrays would come back wrong.
    data = safetensors.numpy.save(
        {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    )
    # A reader, or a kill, between open and close must not meet half a file.
    partial = path.parent / f"{path.name}.partial"
    partial.write_bytes(data)
    partial.replace(path)


def read_arrays(path: epath.PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays of one file, by name.

    Raises:
      FileNotFoundError: there is no such file; lists the folder's files.
      ValueError: the bytes are not whole safetensors.
    """
    path = epath.Path(paths.expanded(path))
    if not path.exists():
        folder = path.parent
        there = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
        raise FileNotFoundError(
            f"There is no {path.name} in {folder}; found there: {there}."
        )
    data = path.read_bytes()
    try:
        return safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is damaged: {len(data)} bytes that are no whole safetensors file "
            f"({error}). Remove it; it is made again where it came from."
        ) from error
