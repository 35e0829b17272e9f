"""Whether a store can be where it is said to be: found out before any work."""

import errno
import os
import shutil

from tflottery.core.files import readable_size
from tflottery.core.timed_calls import Call
from tflottery.datasets import network
from tflottery.store import addresses, buckets
from tflottery.store.errors import CHOOSE, BucketError, StoreError

# A folder that disks have of themselves.
_RECOVERED = "lost+found"
# Those that etils' epath knows too, which reads and writes there.
_SCHEMES = ("gs", "s3", "az")
# With what libraries take to be imported on a busy machine.
_LOOK_SECONDS = 20.0


def ensure_folder(root: str) -> None:
    """Raises an error unless a local folder is a store, or can become one.

    Raises:
      OSError: it cannot be read, or not be made.
      StoreError: it holds other things and no store.
    """
    if not os.path.lexists(root):
        _refuse_parent(os.path.dirname(root))
        return
    names = sorted(os.listdir(root))
    others = [name for name in names if name[0] != "." and name != _RECOVERED]
    if others and not addresses.OF_A_STORE & set(names):
        told = ", ".join(map(repr, others[:3])) + ", ..." * (len(others) > 3)
        raise StoreError(
            f"{root!r} holds other things ({told}) and no store: name an empty or a "
            f"new folder, or {CHOOSE}."
        )


def ensure_url(root: str) -> None:
    """Raises StoreError unless somebody answers at a URL, within seconds.

    Libraries would try for minutes, and say in many lines that they could not.

    Raises:
      StoreError: nobody does, or the package that lists a bucket is not installed.
    """
    scheme = root.partition("://")[0]
    if scheme not in _SCHEMES:
        raise StoreError(
            f"The store {root!r} is neither a folder nor in a bucket: addresses begin "
            f"with {', '.join(f'{one}://' for one in _SCHEMES)}. Mind how it is "
            f"spelled, or {CHOOSE}."
        )
    is_googles = scheme == "gs"
    # Where the library is told of another host than Google's, that is no hindrance.
    if is_googles and "STORAGE_EMULATOR_HOST" not in os.environ:
        host, port = network.download_address()
        if not network.connected((host, port)):
            raise _unreachable(root, f"{host}:{port} did not answer. Check the network")
    try:
        Call(lambda: buckets.Bucket(root).ensure()).answer(_LOOK_SECONDS)
    except StoreError:
        raise
    except BucketError as error:
        raise _unreachable(root, str(error).removesuffix(f", or {CHOOSE}")) from error
    except TimeoutError as error:
        raise _unreachable(root, "it did not answer. Check the network") from error
    except Exception as error:
        # Of which kind depends on the file system and on who serves it.
        text = " ".join(str(error).split())[:300]
        raise _unreachable(
            root,
            f"{type(error).__name__}: {text}. Check the network and your permissions",
        ) from error


def is_there(root: str) -> bool:
    """Returns whether there is a folder, or whether somebody answers at a URL.

    Raises:
      StoreError: as `ensure_url`.
    """
    if "://" not in root:
        return os.path.isdir(root)
    ensure_url(root)
    return True


def ensure_room(root: str, bytes_needed: int) -> None:
    """Raises StoreError if a local disk has less room than is needed."""
    free = shutil.disk_usage(root).free
    if free < bytes_needed:
        raise StoreError(
            f"The store {root!r} has {readable_size(free)} free and "
            f"{readable_size(bytes_needed)} are needed. Free some room, ask for "
            f"fewer states, or {CHOOSE}."
        )


def _unreachable(root: str, reason: str) -> StoreError:
    return StoreError(f"The store {root!r} cannot be reached: {reason}, or {CHOOSE}.")


def _refuse_parent(folder: str) -> None:
    """Raises OSError unless a folder can be made in this one or in one above it."""
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
