"""Facts of networks on the papers' data sets, by the data sets' published sizes.

Nothing is read, and of networks there are shapes alone: weights get no values. So a
plan can be made on any machine, and before data are prepared. A part of a data set is
as large as if all classes were of one size.
"""

import dataclasses
import functools
import math
import typing
from collections.abc import Sequence

from tflottery.components import metadata
from tflottery.components.metadata import Facts
from tflottery.core import registry, subsets
from tflottery.core.identities import Data, Network
from tflottery.core.recipes import Setting
from tflottery.core.registry import MODELS, PRETEXTS
from tflottery.datasets import selection
from tflottery.datasets import source as sources
from tflottery.training import process


class _Size(typing.NamedTuple):
    """Training and test images, their shape and classes; whether they have many sizes.

    The shape of those is what networks are shown, unless they ask for another.
    """

    num_train: int
    num_test: int
    image_shape: tuple[int, int, int]
    num_classes: int
    has_many_sizes: bool = False


SIZES = {
    "mnist": _Size(60_000, 10_000, (28, 28, 1), 10),
    "cifar10": _Size(50_000, 10_000, (32, 32, 3), 10),
    "cifar10_16x16": _Size(50_000, 10_000, (16, 16, 3), 10),
    "imagenet2012": _Size(1_281_167, 50_000, (224, 224, 3), 1000, True),
    "places365_small": _Size(1_803_460, 36_500, (224, 224, 3), 365, True),
}


def begin(plugins: Sequence[str]) -> None:
    """Sets up a process that is asked for facts, and for nothing else.

    Args:
      plugins: modules that register what it is asked for.
    """
    process.configure()
    registry.load_plugins(plugins, named_by="--plugins")


def facts_of(model: str, setting: Setting) -> Facts:
    """Returns the facts of a network in a setting.

    Starts TensorFlow.

    Args:
      model: a registered model.
      setting: what it learns.

    Raises:
      ValueError: the size of the data set is not known.
    """
    data = data_of(model, setting)
    num_outputs = sources.num_outputs(data, pretext=data.pretext)
    known = _built(model, data.image_shape, num_outputs)
    views = PRETEXTS[data.pretext]["num_views"] if data.pretext else 1
    return dataclasses.replace(
        known,
        data=data,
        flops_per_example=views * known.flops_per_example,
        num_activations=views * known.num_activations,
        has_many_sizes=SIZES[setting.dataset].has_many_sizes,
    )


def refuse_unknown(setting: Setting) -> None:
    """Raises ValueError if the size of a data set that takes part is not known."""
    for name in (setting.dataset, setting.shaped_like or setting.dataset):
        if name not in SIZES:
            raise ValueError(
                f"The size of {name!r} is not known here: a plan of many commands is "
                f"made for {', '.join(SIZES)}. With --execute --dry_run it is made of "
                "any data that are here."
            )


def data_of(model: str, setting: Setting) -> Data:
    """Returns a data set as it is trained on, by its known size.

    Raises:
      ValueError: the size of the data set is not known, or the part too small.
    """
    refuse_unknown(setting)
    whole = SIZES[setting.dataset]
    num_train, num_test, num_classes = (
        whole.num_train,
        whole.num_test,
        whole.num_classes,
    )
    pretext = setting.pretext
    unlabeled = bool(pretext and PRETEXTS[pretext]["unlabeled"])
    part = subsets.parse(setting.subset) if setting.subset else None
    if part and part.kind == subsets.CLASSES:
        num_classes = selection.num_classes(part, num_classes, dataset=setting.dataset)
        num_test = _rounded(part.fraction * num_test)
    if part and not unlabeled:
        num_train = _rounded(part.fraction * num_train)
    return Data(
        name=setting.dataset,
        version="",
        digest="",
        image_shape=_image_shape(model, setting.shaped_like or setting.dataset),
        num_train=num_train,
        num_test=num_test,
        num_classes=num_classes,
        pretext=pretext,
        pretext_version=PRETEXTS[pretext]["version"] if pretext else None,
        subset=setting.subset if part else None,
    )


def _image_shape(model: str, dataset: str) -> tuple[int, int, int]:
    """Returns the shape in which a model is shown the images of a data set."""
    known = SIZES[dataset]
    if not known.has_many_sizes:
        return known.image_shape
    side = max(MODELS[model]["image_size"], MODELS[model]["minimum_image_size"])
    return side, side, known.image_shape[-1]


@functools.cache
def _built(model: str, image_shape: tuple[int, int, int], num_outputs: int) -> Facts:
    """Returns the facts of a network that are those of its layers alone."""
    import keras

    # Weights of all these networks would take gigabytes, and longest.
    with keras.StatelessScope(initialize_variables=False):
        built = MODELS[model].function(input_shape=image_shape, num_classes=num_outputs)
    nothing = Data("", "", "", image_shape, 0, 0, num_outputs)
    return metadata.facts_of(
        built, Network(model, image_shape, num_outputs), nothing, num_devices=1
    )


def _rounded(count: float) -> int:
    """Returns a whole number; halves are rounded up, as where images are chosen."""
    return math.floor(count + 0.5)
