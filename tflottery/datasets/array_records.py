"""Where each image lies in ArrayRecord files, which know of the place of every record.

As `records`, but a row's offset is the number of a record in its file, and checksums
are made when the index is, as these files keep none that is told: all of them are read
for it once.
"""

import contextlib
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tflottery.datasets import records
from tflottery.datasets.records import DamagedRecords, Index, RecordFiles

if TYPE_CHECKING:
    from array_record.python import array_record_module

_RECORDS_PER_READ = 64
# What the library raises of files that are cut or damaged.
_ERRORS = (RuntimeError, ValueError, IndexError, OSError)


def index(paths: Sequence[str], num_records: Sequence[int]) -> Index:
    """Returns the index of files, as `records.index` does; raises what that raises."""
    rows, labels = [], []
    for number, (path, count) in enumerate(zip(paths, num_records, strict=True)):
        found = []
        try:
            found.extend(_records(path))
        except _ERRORS as error:
            fault = f"example {len(found)} cannot be read ({error})"
            raise records.damage(path, count, fault) from error
        if len(found) != count:
            raise records.damage(path, count, f"it holds {len(found)} examples")
        rows += [(number, place, *row) for place, (*row, _) in enumerate(found)]
        labels += [label for *_, label in found]
    table = np.array(rows, np.int64).reshape(-1, 4)
    return Index(table, np.array(labels, np.int32))


def first_label(path: str, count: int) -> int:
    """Returns the label of the first example of a file, as `records.first_label`."""
    try:
        return next((label for *_, label in _records(path)), -1)
    except _ERRORS as error:
        raise records.damage(path, count, f"it cannot be read ({error})") from error


class ArrayRecordFiles(RecordFiles):
    """Files that images are read from by the number of their record."""

    FORMAT = "array_record"

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Returns an image, by what its row of an index says.

        Raises:
          DamagedRecords: it is not there any more.
        """
        try:
            (content,) = self._opened(number).read([offset])
        except _ERRORS as error:
            raise DamagedRecords(
                f"{self.paths[number]!r} cannot be read any more ({error})"
            ) from error
        (first, found), _ = records.image_and_label(content, 0, len(content))
        if found != length:
            raise DamagedRecords(
                f"{self.paths[number]!r} was written to since it was indexed"
            )
        return content[first : first + length]

    def described(self, number: int, offset: int) -> str:
        """Returns in words where an image is, as `RecordFiles` does."""
        name = None
        with contextlib.suppress(*_ERRORS):
            (content,) = self._opened(number).read([offset])
            name = records.file_name(content, 0, len(content))
        return records.in_record(offset, self.paths[number], name)

    @staticmethod
    def _open_file(path: str) -> object:
        return _reader(path)


def _records(path: str) -> Iterator[tuple[int, int, int]]:
    """Yields (length, checksum, label) of each image of a file."""
    reader = _reader(path)
    total = reader.num_records()
    for start in range(0, total, _RECORDS_PER_READ):
        stop = min(start + _RECORDS_PER_READ, total)
        for content in reader.read(list(range(start, stop))):
            (_, length), label = records.image_and_label(content, 0, len(content))
            yield length, zlib.crc32(content), label


def _reader(path: str) -> "array_record_module.ArrayRecordReader":
    """Returns what reads records of a file by their numbers, and none ahead."""
    from array_record.python import array_record_module

    return array_record_module.ArrayRecordReader(
        path, options="readahead_buffer_size:0", file_reader_buffer_size=2**15
    )
