"""The arrays of a dataset: as its source gives them, and as a loop reads them."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One split of a dataset.

    Attributes:
      images: [examples, height, width, channels] uint8; from `source.load` a memory map
        of mode 'c', which all processes of a machine share.
      labels: [examples] int32 in [0, num_classes).
    """

    images: np.ndarray
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
      test: test split, images of the same shape.
      num_classes: how many labels there are.
      mean: per channel, subtracted from images in [0, 1].
      std: per channel, positive, what images less their mean are divided by.
    """

    name: str
    version: str
    digest: str
    train: Split
    test: Split
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Returns (height, width, channels)."""
        return self.train.images.shape[1:]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class RawSource:
    """A dataset as its source gives it, before it is cached.

    Attributes:
      version: of the data and its form.
      train_images: [examples, height, width, channels] uint8.
      train_labels: [examples], whole numbers in [0, num_classes).
      test_images: [examples, height, width, channels] uint8, of the same shape.
      test_labels: [examples], whole numbers in [0, num_classes).
      num_classes: how many labels there are.
      normalized: whether each channel is brought to mean 0 and standard deviation 1
        over the training images; False leaves images in [0, 1].
    """

    version: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    num_classes: int
    normalized: bool = True

    def __post_init__(self):
        """Raises ValueError if the arrays are not those of one dataset."""
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                "Training and test images differ in shape: "
                f"{self.train_images.shape[1:]} and {self.test_images.shape[1:]}."
            )
        _check(self.train_images, self.train_labels, num_classes=self.num_classes)
        _check(self.test_images, self.test_labels, num_classes=self.num_classes)


def _check(images: np.ndarray, labels: np.ndarray, *, num_classes: int) -> None:
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
