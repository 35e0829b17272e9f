"""Files of `numpy.save` and `numpy.savez`, as users give them."""

import os
import zipfile
import zlib

import numpy as np


def read(path: str | os.PathLike) -> np.ndarray | dict[str, np.ndarray]:
    """Returns the array of a .npy file, or the arrays of an .npz file by their names.

    Raises:
      ValueError: it is neither, is cut off, or holds objects of Python; says why.
    """
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            return dict(found)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(str(error)) from error
