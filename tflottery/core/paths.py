"""Paths as a user writes them: `~` is the home folder wherever a path is taken."""

import os


def expanded(
    path: str | os.PathLike[str], *, otherwise: str = "write the path in full"
) -> str:
    """Returns a path with a leading `~` replaced by the home folder.

    Everything else stays as it is: brackets and stars are characters like any other,
    and an address such as gs://bucket/folder has no home.

    Args:
      path: a path of this machine, or an address.
      otherwise: what to do where no home folder is known, for the end of the error's
        sentence: "set TFLOTTERY_STORE or give --store".

    Raises:
      ValueError: the path begins with `~` and this machine knows no home folder.
    """
    text = os.fspath(path)
    if text.split("/", 1)[0] != "~":
        # `~name` is another user's folder, or a file of that name if there is no such.
        return os.path.expanduser(text)
    home = os.path.expanduser("~")
    # Without HOME the system's list of users is asked; an empty HOME would be "/".
    if os.environ.get("HOME") == "" or not os.path.isabs(home):
        raise ValueError(
            f"{text!r} begins with the home folder, and none is known here: set HOME, "
            f"or {otherwise}."
        )
    return os.path.expanduser(text)
