"""What epath cannot do in a bucket: fsspec's file system can."""

import fsspec
from etils.epath import backend

from tflottery.store.errors import StoreError


def file_system(url: str) -> fsspec.AbstractFileSystem:
    """Returns the file system of a URL, the one that epath would use.

    Raises:
      StoreError: the package for it is not installed.
    """
    try:
        return backend.fsspec_backend.fs(url)
    except ImportError as error:
        raise StoreError(
            f"A store in {url!r} takes a package that is not installed, also where it "
            f"is only read: {error}. For gs:// it is gcsfs (pip install "
            "'tflottery[gcs]'), which lists it as a whole and makes a file only where "
            "there is none."
        ) from error
