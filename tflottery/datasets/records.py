"""Where each image lies in TFRecord files, so that any of them is read by itself.

A record is its length (8 bytes), a checksum of that (4), a `tf.train.Example`, and a
checksum of the example (4). The index is built by walking from length to length,
without reading images, and without TensorFlow. Images come back as they lie there,
encoded, by one read of the file each.
"""

import collections
import contextlib
import dataclasses
import mmap
import os
import resource
import struct
import threading
from collections.abc import Iterator, Sequence

import numpy as np

# Columns of an index: number of the file, first byte of the encoded image, how many
# bytes it has, and the checksum that the file keeps of its example.
FILE, OFFSET, LENGTH, CHECKSUM = range(4)
# How images begin.
JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
# What features are called that tell the file of an image: ImageNet's, Places365's.
_FILE_NAMES = (b"file_name", b"filename")
_BEFORE = struct.Struct("<QI")
_BEHIND = struct.Struct("<I")
# Wire types of protocol buffers: a whole number, and something with a length.
_VARINT, _BYTES = 0, 2
# Each split of each data set has this part of the files that a process may have open,
# and no fewer than it may by default.
_PART_OF_OPEN_FILES, _FEWEST_OPEN_FILES = 8, 256


class DamagedRecords(ValueError):
    """A file does not hold the records it should; says what it holds."""


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
    """The images of TFRecord files, in the order in which they lie there.

    Attributes:
      table: [examples, 4] int64, columns as above.
      labels: [examples] int32; -1 where a label is kept secret.
    """

    table: np.ndarray
    labels: np.ndarray


def index(paths: Sequence[str], num_records: Sequence[int]) -> Index:
    """Returns the index of files whose examples are an `image` and a `label`.

    Args:
      paths: the files.
      num_records: how many examples each should hold.

    Raises:
      DamagedRecords: a file is not there, holds more or fewer examples, ends in the
        middle of one, or something else than examples; names it.
    """
    # A file that is not there is told at once, not after those before it were walked.
    for path, count in zip(paths, num_records, strict=True):
        if not os.path.isfile(path):
            raise damage(path, count, "it is not there")
    tables, labels = [np.empty((0, 4), np.int64)], [np.empty(0, np.int32)]
    for number, (path, count) in enumerate(zip(paths, num_records, strict=True)):
        found = np.array(list(_records(path, count)), np.int64).reshape(-1, 4)
        if len(found) != count:
            raise damage(path, count, f"it holds {len(found)} examples")
        table = np.empty_like(found)
        table[:, FILE] = number
        table[:, OFFSET:] = found[:, :CHECKSUM]
        tables.append(table)
        labels.append(found[:, CHECKSUM].astype(np.int32))
    return Index(np.concatenate(tables), np.concatenate(labels))


def first_label(path: str, count: int) -> int:
    """Returns the label of the first example of a file; -1 where there is none.

    Args:
      path: the file.
      count: how many examples it should hold.

    Raises:
      DamagedRecords: as `index`.
    """
    return next((label for *_, label in _records(path, count)), -1)


def _records(path: str, count: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields (offset, length, checksum, label) of each image of a file."""
    number = 0
    try:
        for start, stop, content in _examples(path):
            (offset, length), label = image_and_label(content, start, stop)
            yield offset, length, *_BEHIND.unpack_from(content, stop), label
            number += 1
    except DamagedRecords as fault:
        raise damage(path, count, f"{fault} ({number})") from fault


def _examples(path: str) -> Iterator[tuple[int, int, mmap.mmap]]:
    """Yields where each example of a file begins and ends, and the file's content."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            # Of a record, what lies around its image is read, not the pages between.
            content.madvise(mmap.MADV_RANDOM)
            position = 0
            while position < size:
                start, stop = _bounds(content, position, size)
                yield start, stop, content
                position = stop + _BEHIND.size


def _bounds(content: mmap.mmap, position: int, size: int) -> tuple[int, int]:
    """Returns where the example of the record at a position begins and ends."""
    start = position + _BEFORE.size
    if start > size:
        raise DamagedRecords("it ends in the middle of an example")
    length, checksum = _BEFORE.unpack_from(content, position)
    if checksum != masked_crc32c(content[position : position + 8]):
        raise DamagedRecords("the length of an example is damaged")
    if start + length + _BEHIND.size > size:
        raise DamagedRecords("it ends in the middle of an example")
    return start, start + length


def image_and_label(
    content: mmap.mmap | bytes, start: int, stop: int
) -> tuple[tuple[int, int], int]:
    """Returns (offset, length) of an example's image, and its label.

    Args:
      content: that holds the example, a serialized `tf.train.Example`.
      start: where it begins.
      stop: where it ends.

    Raises:
      DamagedRecords: it is no example, or one without label, or without an image that
        can be decoded.
    """
    image = label = None
    for name, values in _features(content, start, stop):
        if name == b"image":
            first, last = _only(content, name, values)
            image = first, last - first
        elif name == b"label":
            first, _ = _only(content, name, values)
            label = _signed(_varint(content, first, stop)[0])
    if image is None or label is None:
        raise DamagedRecords("an example has no image or no label")
    begins = content[image[0] : image[0] + min(image[1], len(PNG))]
    if not begins.startswith((JPEG, PNG)):
        raise DamagedRecords(
            f"an example's image is neither JPEG nor PNG: it begins with {begins!r}"
        )
    return image, label


def file_name(content: mmap.mmap | bytes, start: int, stop: int) -> str | None:
    """Returns what the file of an example's image was called; None: it does not say.

    Args:
      content: that holds the example.
      start: where it begins.
      stop: where it ends.

    Raises:
      DamagedRecords: it is no example.
    """
    for name, values in _features(content, start, stop):
        if name in _FILE_NAMES:
            text = content[slice(*_only(content, name, values))]
            return text.decode(errors="replace")
    return None


def _features(
    content: mmap.mmap | bytes, start: int, stop: int
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yields the name of each feature of an example, and where its values are."""
    # Example: features; of these, entries of a map: a name and values of one kind.
    for _, features, end in _fields(content, start, stop):
        for _, entry, entry_end in _fields(content, features, end):
            parts = {
                field: (first, last)
                for field, first, last in _fields(content, entry, entry_end)
            }
            if parts.keys() != {1, 2}:
                raise DamagedRecords("it holds something that is no example")
            yield content[slice(*parts[1])], parts[2]


def _only(
    content: mmap.mmap | bytes, name: bytes, values: tuple[int, int]
) -> tuple[int, int]:
    """Returns (first byte, last byte + 1) of a feature's only value."""
    found = [
        one
        for _, first, last in _fields(content, *values)
        for one in _fields(content, first, last)
    ]
    if len(found) != 1:
        raise DamagedRecords(f"an example has {len(found)} {name!r}")
    _, first, last = found[0]
    return first, last


def _fields(
    content: mmap.mmap, position: int, stop: int
) -> Iterator[tuple[int, int, int]]:
    """Yields (number, first byte, last byte + 1) of each field of a message."""
    while position < stop:
        key, position = _varint(content, position, stop)
        if key & 7 == _BYTES:
            length, position = _varint(content, position, stop)
            end = position + length
        elif key & 7 == _VARINT:
            _, end = _varint(content, position, stop)
        else:
            raise DamagedRecords("it holds something that is no example")
        if end > stop:
            raise DamagedRecords("it holds something that is no example")
        yield key >> 3, position, end
        position = end


def _varint(content: mmap.mmap, position: int, stop: int) -> tuple[int, int]:
    """Returns a whole number of variable length, and where it ends."""
    value = shift = 0
    while position < stop and shift < 70:
        byte = content[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
    raise DamagedRecords("it holds something that is no example")


def _signed(value: int) -> int:
    """Returns the number that 64 bits stand for in two's complement."""
    return value - 2**64 if value >= 2**63 else value


def in_record(number: int, path: str, name: str | None) -> str:
    """Returns in words which record of a file an image is in, and what it is called."""
    called = f", called {name!r}" if name else ""
    return f"in record {number} of {path!r}{called}"


def damage(path: str, count: int, fault: str) -> DamagedRecords:
    """Returns what is raised of a file that holds something else than it should."""
    return DamagedRecords(f"{path!r} should hold {count} examples, but {fault}")


def _crc32c_table() -> list[int]:
    """Returns the checksum's table of the 256 bytes (Castagnoli's polynomial)."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC32C = _crc32c_table()


def masked_crc32c(content: bytes) -> int:
    """Returns the checksum that TFRecord files keep of some bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class RecordFiles:
    """Files that images are read from, as many of them open at a time as may be."""

    FORMAT = "tfrecord"

    def __init__(self, paths: Sequence[str]):
        """Args:
        paths: the files, by the numbers that an index has for them.
        """
        self.paths = tuple(paths)
        self._open: collections.OrderedDict[int, object] = collections.OrderedDict()
        self._lock = threading.Lock()
        self._most_open = _most_open_files()

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Returns an image, by what its row of an index says.

        Args:
          number: of the file.
          offset: its first byte.
          length: how many bytes it has.

        Raises:
          DamagedRecords: it has become shorter, or cannot be read any more.
          OSError: it cannot be opened.
        """
        file, content = self._opened(number), b""
        # A read may end early, at the latest after 2 GiB, without an error.
        while len(content) < length:
            left = length - len(content)
            try:
                more = os.pread(file.descriptor, left, offset + len(content))
            except OSError as error:
                raise DamagedRecords(
                    f"{self.paths[number]!r} cannot be read any more ({error})"
                ) from error
            if not more:
                raise DamagedRecords(
                    f"{self.paths[number]!r} has become shorter since it was indexed"
                )
            content = content + more if content else more
        return content

    def described(self, number: int, offset: int) -> str:
        """Returns in words where an image is: in which record of which file.

        Args:
          number: of the file.
          offset: as its row of an index has it.
        """
        path = self.paths[number]
        with contextlib.suppress(DamagedRecords, OSError):
            for place, content in enumerate(_examples(path)):
                first, stop, whole = content
                if first <= offset < stop:
                    return in_record(place, path, file_name(whole, first, stop))
        return f"at byte {offset} of {path!r}"

    @staticmethod
    def _open_file(path: str) -> object:
        """Returns a file as `read` reads it, closed when nobody has it any more."""
        return _OpenFile(path)

    def _opened(self, number: int) -> object:
        """Returns a file, open for as long as it is used or among the last ones."""
        with self._lock:
            file = self._open.pop(number, None)
            if file is None:
                file = self._open_file(self.paths[number])
            self._open[number] = file
            if len(self._open) > self._most_open:
                self._open.popitem(last=False)
        return file


def _most_open_files() -> int:
    """Returns how many files of a split this process has open at a time."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_FEWEST_OPEN_FILES, limit // _PART_OF_OPEN_FILES)


class _OpenFile:
    """An open file, closed when nobody reads it any more."""

    # Where a program ends modules may go before its files do.
    _close = staticmethod(os.close)

    def __init__(self, path: str):
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self):
        if self.descriptor >= 0:
            self._close(self.descriptor)
