"""What names a network and a data set in the keys of all that is made from them."""

import dataclasses

from tflottery.core.fingerprints import LATER


@dataclasses.dataclass(frozen=True)
class Network:
    """An architecture.

    Attributes:
      model: name in the registry of models.
      input_shape: (height, width, channels).
      num_classes: number of outputs.
      architecture: fingerprint of its layers and how they are connected, so that a
        changed model is another one; "" where nobody compares it.
    """

    KIND = "network"

    model: str
    input_shape: tuple[int, int, int]
    num_classes: int
    architecture: str = ""


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set as it is trained on.

    Attributes:
      name: the dataset.
      version: of its source.
      digest: of its arrays, in hexadecimal.
      image_shape: (height, width, channels).
      num_train: training examples.
      num_test: test examples.
      num_classes: classes of its own labels.
      pretext: the pretext task laid over it, or None for its own labels.
      pretext_version: of the pretext task.
      pretext_seed: of what is random in the pretext task but the same in all epochs.
      input_scaling: how pixels become inputs, one of `recipes.INPUT_SCALINGS`; None: as
        the data set has it (`arrays.Source.input_scaling`), which its digest stands
        for.
      resized_to: (height, width, channels) that its images were brought to, which is
        `image_shape` then; None: they are in the data set's own form.
      subset: the part of the data set that is trained on, or that has labels, as
        `core.subsets` has it; `num_train`, `num_test` and `num_classes` are its own.
        None: all of it.
    """

    KIND = "data"

    name: str
    version: str
    digest: str
    image_shape: tuple[int, int, int]
    num_train: int
    num_test: int
    num_classes: int
    pretext: str | None = None
    pretext_version: int | None = None
    pretext_seed: int = 0
    input_scaling: str | None = dataclasses.field(default=None, metadata=LATER)
    resized_to: tuple[int, int, int] | None = dataclasses.field(
        default=None, metadata=LATER
    )
    subset: str | None = dataclasses.field(default=None, metadata=LATER)
