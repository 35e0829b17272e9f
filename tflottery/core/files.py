"""Files that are whole whenever their name is there, and sizes in words."""

import os
import uuid

from etils import epath

from tflottery.core import paths


def write(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file; a reader, or a kill at any moment, never meets half of it.

    Args:
      path: local (`~` is the home folder) or an address such as gs://bucket/name; its
        folder has to exist. What was there is replaced.
      data: all of its bytes.

    Raises:
      OSError: it cannot be written, such as on a full disk. What was there stays, and
        nothing else is left behind.

    Changes: the file, and a hidden one beside it while it is written.
    """
    path = epath.Path(paths.expanded(path))
    draft = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def readable_size(count: int) -> str:
    """Returns a number of bytes in words."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
