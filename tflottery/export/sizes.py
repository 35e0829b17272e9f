"""How many bytes something takes, raw and compressed."""

import dataclasses
import gzip
import pathlib


@dataclasses.dataclass(frozen=True)
class Size:
    """Bytes of something, raw and compressed by gzip."""

    raw: int
    gzip: int


def of(data: bytes) -> Size:
    """Returns the size of some bytes."""
    # Without the time of day, so that the same bytes take as many.
    return Size(len(data), len(gzip.compress(data, mtime=0)))


def of_files(path: pathlib.Path) -> Size:
    """Returns the size of a file, or of a folder's, each compressed by itself."""
    files = [one for one in path.rglob("*") if one.is_file()] or [path]
    found = [of(one.read_bytes()) for one in files]
    return Size(sum(one.raw for one in found), sum(one.gzip for one in found))
