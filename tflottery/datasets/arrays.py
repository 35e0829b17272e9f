"""The images of a dataset: as its source gives them, and as a loop reads them.

They are arrays, or, where images have many sizes, stay encoded in their files
(`encoded.EncodedImages`) and are read as they are needed. All else is the same.
"""

import dataclasses
import os
from collections.abc import Mapping

import numpy as np

from tflottery.core.recipes import INPUT_SCALINGS
from tflottery.datasets.encoded import EncodedImages

UNIT_INTERVAL, STANDARDIZED = INPUT_SCALINGS
# What red, green and blue weigh in brightness, of 256 (ITU-R BT.601).
LUMA = (77, 150, 29)
_BYTES_PER_READ = 2**24
# What tells that a file was written to or replaced: bytes, when it was last changed as
# its owner and as the system have it (nobody can set the latter), and its inode.
Stamp = tuple[int, int, int, int]


class ChangedData(RuntimeError):
    """The files behind the arrays of a dataset are not those that were checked."""


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One split of a dataset.

    Attributes:
      images: [examples, height, width, channels] uint8; from `source.load` a memory map
        of mode 'c', which all processes of a machine share. Or encoded ones, or small
        ones made large when they are asked for (`resizing.ResizedImages`).
      labels: [examples] int32 in [0, num_classes).
    """

    images: np.ndarray | EncodedImages
    labels: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A dataset ready to be read.

    Attributes:
      name: what the user typed.
      version: of the data and its form, as its source has it.
      digest: 16 hexadecimal digits that stand for every image and label; two folders of
        one name and version may hold different images.
      train: training split.
      test: the split that is measured, images of the same shape; of data whose test
        labels nobody is given, the validation split.
      num_classes: how many labels there are.
      mean: per channel, subtracted from images in [0, 1].
      std: per channel, positive, what images less their mean are divided by.
      stamps: of the files behind the arrays when their content was checked, by path; {}
        for arrays that no file is behind.
    """

    name: str
    version: str
    digest: str
    train: Split
    test: Split
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stamps: Mapping[str, Stamp] = dataclasses.field(default_factory=dict)

    @property
    def input_scaling(self) -> str:
        """Returns how images are scaled: a name of `recipes.INPUT_SCALINGS`."""
        is_plain = not any(self.mean) and all(one == 1 for one in self.std)
        return UNIT_INTERVAL if is_plain else STANDARDIZED

    def scaled(self, input_scaling: str | None) -> "Source":
        """Returns the source with its images scaled in another way; None: as they are.

        Raises:
          ValueError: there is no such way.
        """
        if input_scaling in (None, self.input_scaling):
            return self
        if input_scaling not in INPUT_SCALINGS:
            raise ValueError(
                f"input_scaling={input_scaling!r}, expected one of "
                f"{', '.join(INPUT_SCALINGS)}."
            )
        channels = self.image_shape[-1]
        mean, std = np.zeros(channels), np.ones(channels)
        if input_scaling == STANDARDIZED:
            mean, std = moments(self.train.images)
        return dataclasses.replace(
            self, mean=tuple(mean.tolist()), std=tuple(std.tolist())
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Returns (height, width, channels)."""
        return self.train.images.shape[1:]

    @property
    def is_encoded(self) -> bool:
        """Whether images stay in their files until they are needed."""
        return isinstance(self.train.images, EncodedImages)

    def shaped(self, image_shape: tuple[int, int, int]) -> "Source":
        """Returns a source of encoded images, of which another shape is shown."""
        train, test = (
            Split(split.images.shaped(image_shape), split.labels)
            for split in (self.train, self.test)
        )
        return dataclasses.replace(self, train=train, test=test)

    def check_unchanged(self) -> None:
        """Raises ChangedData if a file was written to since its content was checked.

        A memory map shows what is written to its file. Whoever computed from the arrays
        calls this before the result is kept, so that the digest stands for the bytes
        that were used.
        """
        for path, stamp in self.stamps.items():
            try:
                found = stamp_of(path)
            except OSError as error:
                found = error.strerror
            if found != stamp:
                raise ChangedData(
                    f"{path}, which holds part of dataset {self.name!r}, was changed "
                    "while it was read: what was computed from it does not count."
                )


def stamp_of(path: str | os.PathLike[str]) -> Stamp:
    """Returns what tells of a file whether it was written to or replaced."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation per channel of images in [0, 1], float64.

    From counts of the 256 values, so that no sum is rounded. A channel of one value has
    standard deviation 1: nothing is to be scaled.
    """
    channels = images.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    count = max(1, _BYTES_PER_READ // int(np.prod(images.shape[1:])))
    for start in range(0, len(images), count):
        some = np.asarray(images[start : start + count])
        for channel in range(channels):
            values = some[..., channel].reshape(-1)
            counts[channel] += np.bincount(values, minlength=256)
    values = np.arange(256) / 255
    total = counts.sum(axis=1)
    mean = counts @ values / total
    deviations = (values - mean[:, None]) ** 2
    std = np.sqrt((counts * deviations).sum(axis=1) / total)
    constant = (counts > 0).sum(axis=1) == 1
    return mean, np.where(constant, 1.0, std)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class RawSource:
    """A dataset as its source gives it, before it is cached.

    Attributes:
      version: of the data and its form.
      train_images: [examples, height, width, channels] uint8, or encoded images.
      train_labels: [examples], whole numbers in [0, num_classes).
      test_images: [examples, height, width, channels] uint8, of the same shape.
      test_labels: [examples], whole numbers in [0, num_classes).
      num_classes: how many labels there are.
      normalized: whether each channel is brought to mean 0 and standard deviation 1
        over the training images; False leaves images in [0, 1].
      edition: what the place they were read from held at that time, where the source
        can tell (`tfds_source.edition`); None where its declared version says it.
      moments: mean and standard deviation of each channel of images in [0, 1], which
        encoded images have to come with; None: those of the training images.
    """

    version: str
    train_images: np.ndarray | EncodedImages
    train_labels: np.ndarray
    test_images: np.ndarray | EncodedImages
    test_labels: np.ndarray
    num_classes: int
    normalized: bool = True
    edition: str | None = None
    moments: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __post_init__(self):
        """Raises ValueError if the arrays are not those of one dataset."""
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                "Training and test images differ in shape: "
                f"{self.train_images.shape[1:]} and {self.test_images.shape[1:]}."
            )
        if isinstance(self.train_images, EncodedImages) and self.moments is None:
            raise ValueError("Encoded images came without their moments.")
        _validate(self.train_images, self.train_labels, num_classes=self.num_classes)
        _validate(self.test_images, self.test_labels, num_classes=self.num_classes)


def _validate(
    images: np.ndarray | EncodedImages, labels: np.ndarray, *, num_classes: int
) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise ValueError(
            f"Images came as {images.dtype} of shape {images.shape}: expected uint8 of "
            "[examples, height, width, channels], with one example at least."
        )
    if labels.shape != images.shape[:1] or labels.min() < 0:
        raise ValueError(
            f"Labels came in shape {labels.shape}, the smallest {labels.min()}, for "
            f"{len(images)} images: expected one for each, none negative."
        )
    if labels.max() >= num_classes:
        raise ValueError(
            f"The largest label is {labels.max()}: expected less than the "
            f"{num_classes} classes."
        )
