"""The name that was probably meant, for refusals of one that there is not."""

import difflib
from collections.abc import Iterable


def meant(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'NEAREST'?", or "" where no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
