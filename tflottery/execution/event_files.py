"""Files that TensorBoard shows: numbers over steps, a folder a curve.

Written as `tf.summary` writes them, but without TensorFlow, which a command never
starts: records of protocol buffers (tensorflow/core/util/event.proto), of which a
number takes two fields.
"""

import os
import struct
import time
from collections.abc import Iterator, Mapping

from tflottery.datasets.records import masked_crc32c

# "events" and "tfevents" are what TensorBoard looks for.
_PREFIX = "events.out.tfevents"
# Wire types of protocol buffers, beside the numbers of the fields.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WALL_TIME, _STEP, _FILE_VERSION, _SUMMARY = 1, 2, 3, 5
_VALUE, _TAG, _SIMPLE_VALUE = 1, 1, 2
_VERSION = b"brain.Event:2"


class EventFile:
    """A file of events of one curve, or of several with the same steps.

    TensorBoard reads the files of a folder by name, one after the other, and what
    steps back takes the place of what was there: names are in the order of time.
    """

    def __init__(self, folder: str | os.PathLike):
        """Args:
        folder: what TensorBoard calls a run.
        """
        self._folder = os.fspath(folder)
        self._path = os.path.join(self._folder, f"{_PREFIX}.{time.time_ns()}")
        self._begun = False

    def write(self, *points: tuple[int, Mapping[str, float]]) -> None:
        """Appends points: a step, and values by what TensorBoard calls their tags.

        Raises:
          OSError: the file cannot be written.

        Changes: the file, and its folder where there is none.
        """
        content = b"" if self._begun else _record(_event(_FILE_VERSION, _VERSION))
        for step, values in points:
            summary = b"".join(_bytes(_VALUE, _value(*one)) for one in values.items())
            content += _record(_event(_SUMMARY, summary, step=step))
        if not self._begun:
            os.makedirs(self._folder, exist_ok=True)
        with open(self._path, "ab") as file:
            file.write(content)
        self._begun = True


def newest_step(folder: str | os.PathLike) -> int:
    """Returns the last step that the event files of a folder tell of; -1: none.

    Raises:
      OSError: a file cannot be read.
    """
    return max((step for path in files(folder) for step in _steps(path)), default=-1)


def files(folder: str | os.PathLike) -> list[str]:
    """Returns the paths of the event files in a folder, in order of time."""
    if not os.path.isdir(folder):
        return []
    names = sorted(one for one in os.listdir(folder) if one.startswith(_PREFIX))
    return [os.path.join(folder, name) for name in names]


def _steps(path: str) -> Iterator[int]:
    """Yields the steps of a file's events, as far as it is whole."""
    with open(path, "rb") as file:
        content = file.read()
    position = 0
    while position + 12 <= len(content):
        (size,) = struct.unpack_from("<Q", content, position)
        event = content[position + 12 : position + 12 + size]
        position += size + 16
        # A killed process may leave half an event.
        if position <= len(content) and event[9:10] == _tag(_STEP, _VARINT):
            yield _read_varint(event[10:])


def _record(data: bytes) -> bytes:
    """Returns a TFRecord."""
    length = struct.pack("<Q", len(data))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
    return length + next(checksums) + data + next(checksums)


def _event(field: int, content: bytes, *, step: int = 0) -> bytes:
    """Returns an event of now, with a field of bytes."""
    now = _tag(_WALL_TIME, _FIXED64) + struct.pack("<d", time.time())
    return now + _tag(_STEP, _VARINT) + _varint(step) + _bytes(field, content)


def _value(tag: str, value: float) -> bytes:
    """Returns a value of a summary."""
    number = _tag(_SIMPLE_VALUE, _FIXED32) + struct.pack("<f", value)
    return _bytes(_TAG, tag.encode()) + number


def _bytes(field: int, content: bytes) -> bytes:
    """Returns a field that is a text, or a message within a message."""
    return _tag(field, _BYTES) + _varint(len(content)) + content


def _tag(field: int, wire_type: int) -> bytes:
    """Returns what stands before the content of a field."""
    return _varint(field << 3 | wire_type)


def _varint(number: int) -> bytes:
    """Returns a whole number of at least 0, seven bits a byte."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _read_varint(data: bytes) -> int:
    """Returns the number that bytes begin with, as `_varint` writes it."""
    number = 0
    for place, byte in enumerate(data):
        number |= (byte & 127) << 7 * place
        if byte < 128:
            break
    return number
