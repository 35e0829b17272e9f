"""What can go wrong with a store, and what to do about it."""

import contextlib
import errno
import os
from collections.abc import Iterator

CHOOSE = "choose another store with --store or the variable TFLOTTERY_STORE"

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StoreError(Exception):
    """The store cannot do what it was asked to."""


class BucketError(OSError):
    """A bucket does not do what it is asked; says why, and what to do about it."""


class MissingArtifact(StoreError):
    """There is no artifact at the address.

    Attributes:
      address: where none is.
    """

    def __init__(self, address: str, root: str):
        super().__init__(address, root)
        self.address = address
        self._root = root

    def __str__(self) -> str:
        return (
            f"There is no finished artifact {self.address!r} in the store "
            f"{self._root!r}."
        )


class DamagedArtifact(StoreError):
    """An artifact's files are not those its manifest promises; it was set aside.

    Attributes:
      address: where it was, free again.
      reason: what was wrong.
      moved_to: where it lies now; "" if it was gone before it could be moved.
    """

    def __init__(self, address: str, reason: str, moved_to: str = ""):
        super().__init__(address, reason, moved_to)
        self.address = address
        self.reason = reason
        self.moved_to = moved_to

    def __str__(self) -> str:
        moved = f" and was moved to {self.moved_to!r}" if self.moved_to else ""
        return (
            f"The artifact {self.address!r} is damaged ({self.reason}){moved}. It no "
            "longer counts as done: run the same command again to make it anew."
        )


@contextlib.contextmanager
def explained(task: str, root: str, *, folder: str = "") -> Iterator[None]:
    """Says of a failing disk which store it was, why, and what to do.

    Args:
      task: what was tried, such as "write 'runs/a'".
      root: the store's root.
      folder: if given, other people's code runs inside: only a full disk and trouble
        with files below this folder are then the store's.

    Raises:
      StoreError: instead of OSError.
    """
    try:
        yield
    except BucketError as error:
        raise StoreError(f"Cannot {task} in the store {root!r}: {error}.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _NO_ROOM:
            raise StoreError(
                f"Cannot {task}: no room in the store {root!r} ({reason}). Nothing "
                f"half written is left. Free some room or {CHOOSE}."
            ) from error
        if folder and not _names(error).startswith(folder):
            raise
        raise StoreError(
            f"Cannot {task} in the store {root!r}: {reason} "
            f"({_names(error) or 'no file named'}). Make it writable or {CHOOSE}."
        ) from error


def _names(error: OSError) -> str:
    """Returns the file that an error is about, "" if it does not say."""
    return os.fsdecode(error.filename) if error.filename else ""
