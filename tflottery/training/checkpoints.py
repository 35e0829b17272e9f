"""Arrays on disk: weights and optimizer slots as safetensors, never a pickle.

Everything goes through epath, so a folder may be local (`~` is the home folder) or an
address such as gs://.
"""

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy
from etils import epath

from tflottery.core import files, paths

WEIGHTS_FILE = "weights.safetensors"
SLOTS_FILE = "slots.safetensors"

# What safetensors calls the dtypes of numpy and of ml_dtypes. Its own reader for numpy
# knows none of the latter, though its writer does.
_DTYPES = {
    "BOOL": "bool",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
}


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

    Args:
      path: of a file in a folder that exists; replaced if it is there.
      arrays: by name, of any of the dtypes that can be read back.

    Raises:
      ValueError: an array is of another dtype. Nothing is written then.
      OSError: the file cannot be written. What was there stays.

    Changes: the file at `path`.
    """
    files.write(path, _safetensors(arrays))


def holds(path: epath.PathLike, arrays: Mapping[str, np.ndarray]) -> bool:
    """Returns whether a file is what `write_arrays` would make of these arrays."""
    return epath.Path(paths.expanded(path)).read_bytes() == _safetensors(arrays)


def read_arrays(path: epath.PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays of one file by name, in the order of the names.

    Raises:
      FileNotFoundError: there is no such file; lists the folder's files.
      ValueError: the bytes are not whole safetensors, or an array is of a dtype that
        `write_arrays` does not write.
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
        found = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is damaged: {len(data)} bytes that are no whole safetensors file "
            f"({error}). Remove it; it is made again where it came from."
        ) from error
    for name, part in found:
        if part["dtype"] not in _DTYPES:
            raise ValueError(
                f"Array {name!r} of {path} is of dtype {part['dtype']}, which is not "
                f"read: expected one of {', '.join(_DTYPES.values())}."
            )
    # safetensors gives them in another order each time, and sums would round each way.
    return {name: _array(part) for name, part in sorted(found, key=lambda one: one[0])}


def _safetensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Returns arrays as the bytes of a file; refuses dtypes that are not read back."""
    # safetensors writes memory as it lies: transposed arrays would come back wrong.
    arrays = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    for name, value in arrays.items():
        if value.dtype.name not in _DTYPES.values():
            raise ValueError(
                f"Array {name!r} is of dtype {value.dtype}, which cannot be read back. "
                f"Expected one of {', '.join(_DTYPES.values())}."
            )
    return safetensors.numpy.save(arrays)


def _array(part: dict[str, object]) -> np.ndarray:
    """Returns an array from what safetensors says of it."""
    name = _DTYPES[part["dtype"]]
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    return np.frombuffer(part["data"], dtype).reshape(part["shape"])
