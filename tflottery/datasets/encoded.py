"""Images of varying sizes that stay in their files, encoded, until they are asked for.

`EncodedImages` stands where an array of images would: it has their shape, and parts of
it are taken as of an array. What a network is shown of an image is a window of it,
which `crops` chooses and `decoding` cuts out.
"""

import dataclasses
import struct
from collections.abc import Sequence

import numpy as np

from tflottery.datasets import array_records, records
from tflottery.datasets.records import RecordFiles

# Of what a network is shown where nothing else is asked for.
IMAGE_SIZE = 224
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)
# By the names that tensorflow-datasets has for formats of files: each module has
# `index`, `first_label` and the class of the files.
FORMATS = {"tfrecord": records, "array_record": array_records}
_FILES = {one.FORMAT: one for one in (RecordFiles, array_records.ArrayRecordFiles)}
# Markers of a JPEG file that begin a frame, which says how large the image is; and
# those that no length follows.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, *range(0xD0, 0xD9)}


class DamagedImage(ValueError):
    """Something that should be an image is none; says what and where."""


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedImages:
    """Encoded images in record files, in the place of [examples, ...] uint8.

    Attributes:
      files: that hold them.
      table: where each of them is, as `records.Index` has it.
      image_shape: (height, width, channels) of what a network is shown of them.
    """

    files: RecordFiles
    table: np.ndarray
    image_shape: tuple[int, int, int]

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(examples, height, width, channels)."""
        return (len(self.table), *self.image_shape)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, chosen: np.ndarray) -> "EncodedImages":
        """Returns the images that an array of indices, or of bool, chooses."""
        return dataclasses.replace(self, table=self.table[chosen])

    def shaped(self, image_shape: tuple[int, int, int]) -> "EncodedImages":
        """Returns the images, of which a network is shown another shape."""
        return dataclasses.replace(self, image_shape=image_shape)

    def read(self, indices: Sequence[int]) -> tuple[list[bytes], np.ndarray]:
        """Returns encoded images and their sizes, (height, width): [count, 2] int32.

        Raises:
          DamagedImage: one is neither JPEG nor PNG, or has no size; says where it is.
          DamagedRecords: a file has become shorter.
        """
        contents, sizes = [], np.empty((len(indices), 2), np.int32)
        for number, index in enumerate(indices):
            file, offset, length, _ = map(int, self.table[index])
            content = self.files.read(file, offset, length)
            try:
                sizes[number] = size(content)
            except (DamagedImage, IndexError, struct.error) as error:
                fault = f"is no JPEG or PNG image: {error}"
                raise self.damaged(index, fault) from error
            contents.append(content)
        return contents, sizes

    def damaged(self, index: int, fault: str) -> DamagedImage:
        """Returns what is raised of an image that is none.

        Args:
          index: of the image.
          fault: what is wrong with it.
        """
        file, offset, length, _ = map(int, self.table[index])
        return DamagedImage(
            f"The image {self.files.described(file, offset)}, {length} bytes long, "
            f"{fault}. Copy that file again from where it is whole, or prepare the "
            "data set anew without the image."
        )


def in_files(paths: Sequence[str], table: np.ndarray, *, form: str) -> EncodedImages:
    """Returns the images of files.

    Args:
      paths: the files.
      table: where each image is, as the format's `index` has it.
      form: of the files, one of `FORMATS`.
    """
    return EncodedImages(_FILES[form](paths), table, IMAGE_SHAPE)


def size(content: bytes) -> tuple[int, int]:
    """Returns (height, width) of an encoded image, from its head.

    Raises:
      DamagedImage, IndexError, struct.error: it is neither JPEG nor PNG, or cut.
    """
    if content.startswith(records.PNG):
        width, height = struct.unpack_from(">II", content, 16)
        return height, width
    if not content.startswith(records.JPEG):
        raise DamagedImage(f"it begins with {content[:8]!r}")
    position = 2
    while True:
        # Markers may be filled up with any number of 255.
        while content[position] == 0xFF:
            position += 1
        marker, position = content[position], position + 1
        if marker in _ALONE:
            continue
        if marker in _FRAMES:
            return struct.unpack_from(">HH", content, position + 3)
        (length,) = struct.unpack_from(">H", content, position)
        position += length
        if content[position] != 0xFF:
            raise DamagedImage("its head is damaged")
