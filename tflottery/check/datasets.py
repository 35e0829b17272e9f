"""What holds of every registered data set, made anew and read as a loop reads it."""

import dataclasses
import functools
import pathlib
import tempfile

import numpy as np

from tflottery.check.contract import ContractError
from tflottery.core.recipes import Recipe
from tflottery.core.registry import DATASETS, MODELS
from tflottery.datasets import pipeline
from tflottery.datasets import source as sources
from tflottery.datasets.arrays import RawSource

_BATCH_SIZE = 16
_MOST_ROUNDING = 1e-5


def declares_a_version_and_what_becomes_of_recipes(name: str) -> None:
    """`version` is a constant or a function, and `adapt_recipe` returns a recipe."""
    version, adapt = (DATASETS[name][one] for one in ("version", "adapt_recipe"))
    if not (isinstance(version, int | str) or callable(version)):
        raise ContractError(
            f"version={version!r}",
            expected="a number, text, or a function of data_dir",
            remedy="declare version=1, and raise it whenever images or labels change",
        )
    recipe = dataclasses.replace(
        MODELS["lenet"]["recipes"]["standard"], training_iterations=24_000
    )
    found = adapt(recipe)
    if not isinstance(found, Recipe):
        raise ContractError(
            f"adapt_recipe returned {found!r}",
            expected="a recipe",
            remedy="return the recipe itself where nothing is to be adapted",
        )


def is_the_same_each_time(name: str) -> str:
    """Made twice it has the same images, labels and facts, bit for bit."""
    first, again = made(name), _make(name)
    for field in dataclasses.fields(RawSource):
        one, other = (getattr(raw, field.name) for raw in (first, again))
        if isinstance(one, np.ndarray):
            one, other = one.tobytes(), np.asarray(other).tobytes()
        if one != other:
            raise ContractError(
                f"another {field.name} the second time",
                expected="the same, bit for bit",
                remedy="draw what is random from a generator with a constant seed",
            )
    return _described(first)


def splits_are_apart(name: str) -> str:
    """Images of the test split are not those of training, and no class is missing."""
    raw = made(name)
    missing = set(range(raw.num_classes)) - set(np.unique(raw.train_labels).tolist())
    if missing:
        raise ContractError(
            f"no training image of classes {sorted(missing)}",
            expected=f"all {raw.num_classes} classes in training",
            remedy="number classes from 0 without gaps, and count them in num_classes",
        )
    known = {image.tobytes() for image in raw.train_images}
    both = sum(image.tobytes() in known for image in raw.test_images)
    if both > len(raw.test_images) / 2:
        raise ContractError(
            f"{both} of {len(raw.test_images)} test images are training images too",
            expected="two splits",
            remedy="take test images out of training",
        )
    return f"{both} images in both"


def batches_are_the_examples_of_their_ids(name: str) -> None:
    """What a loop is given for an index is that example, normalized."""
    import tensorflow as tf

    raw = made(name)
    with tempfile.TemporaryDirectory() as folder:
        source = sources.load(name, cache_dir=folder)
        for split in ("train", "test"):
            images, labels = (getattr(raw, f"{split}_{one}") for one in _ARRAYS)
            load = pipeline.loader(source, split=split, augmentation="none")
            chosen = np.random.default_rng(0).integers(len(labels), size=_BATCH_SIZE)
            indices = tf.constant(chosen, tf.int32)
            found, answers = load(indices, tf.zeros_like(indices))
            found = found.numpy() * np.float32(source.std) + np.float32(source.mean)
            rounding = abs(found - images[chosen] / np.float32(255)).max()
            if rounding > _MOST_ROUNDING or (answers.numpy() != labels[chosen]).any():
                raise ContractError(
                    f"{split} examples that differ by {rounding:.1e} from those made",
                    expected="the images and labels of these indices",
                    remedy="raise version: a copy of the machine's cache may be older",
                )


CHECKS = (
    declares_a_version_and_what_becomes_of_recipes,
    is_the_same_each_time,
    splits_are_apart,
    batches_are_the_examples_of_their_ids,
)
_ARRAYS = ("images", "labels")


@functools.lru_cache(maxsize=1)
def made(name: str) -> RawSource:
    """Returns the arrays that the checks of one name share."""
    return _make(name)


def _make(name: str) -> RawSource:
    """Returns a registered data set, made anew.

    Raises:
      ContractError: it is no data set.
    """
    with tempfile.TemporaryDirectory() as folder:
        raw = DATASETS[name].function(
            data_dir=None, minimum_image_size=1, working_dir=pathlib.Path(folder)
        )
    if not isinstance(raw, RawSource):
        raise ContractError(
            f"{type(raw).__name__}",
            expected="a RawSource, whose constructor checks arrays and labels",
            remedy="return tflottery.datasets.arrays.RawSource(...)",
        )
    return raw


def _described(raw: RawSource) -> str:
    """Returns the facts of a data set."""
    height, width, channels = raw.train_images.shape[1:]
    return (
        f"{len(raw.train_labels):,} training and {len(raw.test_labels):,} test images "
        f"of {height} x {width} x {channels}, {raw.num_classes} classes"
    )
