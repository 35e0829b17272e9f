"""Datasets by name: the arrays, memory-mapped from one local copy per machine.

Of images of many sizes the copy says only where each is; they stay in `data_dir`.

Registered names (`core.registry.DATASETS`) come first; then those of files and folders
(`own_arrays`); any other name is taken for one of tensorflow-datasets. Once cached, a
dataset is there in milliseconds and nothing but numpy is imported (where `data_dir` is
an address such as gs://bucket, TensorFlow is).
"""

import dataclasses
import pathlib

from tflottery.core.identities import Data
from tflottery.core.recipes import RESIZED_CROP, Recipe
from tflottery.core.registry import DATASETS, PRETEXTS, Entry
from tflottery.datasets import cache, own_arrays, tfds_source
from tflottery.datasets.arrays import RawSource, Source, Split
from tflottery.datasets.encoded import IMAGE_SIZE

__all__ = [
    "RawSource",
    "Source",
    "Split",
    "adapted",
    "load",
    "num_outputs",
    "refuse_absent",
]


def load(
    name: str,
    *,
    data_dir: str | None = None,
    minimum_image_size: int = 1,
    image_size: int = IMAGE_SIZE,
    cache_dir: str | None = None,
) -> Source:
    """Returns a dataset, from the cache of this machine or made there first.

    Args:
      name: a registered dataset, npz:FILE, folder:FOLDER or a name of
        tensorflow-datasets.
      data_dir: folder of prepared tensorflow-datasets, or its address such as
        gs://bucket/data, of which what is read is copied to the cache first. None: the
        environment variable TFDS_DATA_DIR, else ~/tensorflow_datasets.
      minimum_image_size: smallest height and width the model takes, in pixels.
      image_size: height and width of what is shown of images of many sizes, at least
        the smallest.
      cache_dir: folder of the cache. None: the environment variable TFLOTTERY_CACHE,
        else ~/.cache/tflottery/datasets.

    Raises:
      ValueError: the name is unknown, the dataset is no image classification, or of
        one shape that does not fit in memory, it is prepared in part, or its images are
        too small for the model; `data_dir` is a file.
      FileNotFoundError: the dataset is not prepared and cannot be downloaded.
      RuntimeError: tensorflow-datasets failed to read or download it.
      OSError: the cache folder cannot be written.

    Changes: the first time, writes the arrays to the cache folder.
    """
    registered = DATASETS[name] if name in DATASETS else None
    if registered is None and own_arrays.names_files(name):
        source = own_arrays.cached(name, cache_dir=cache_dir)
        return _of_size(source, minimum_image_size, image_size=image_size)
    version = registered["version"] if registered else None
    declared = None if version is None or callable(version) else str(version)
    if data_dir or declared is None:
        # Data that have nothing to do with that folder need no home folder either.
        data_dir = tfds_source.folder(data_dir)

    def edition() -> str | None:
        if registered:
            return declared or version(data_dir=data_dir)
        return tfds_source.edition(name, data_dir=data_dir)

    def make(working_dir: pathlib.Path) -> RawSource:
        if registered is None:
            return tfds_source.read(name, data_dir=data_dir, working_dir=working_dir)
        raw = registered.function(
            data_dir=data_dir,
            minimum_image_size=minimum_image_size,
            working_dir=working_dir,
        )
        return dataclasses.replace(raw, edition=declared) if declared else raw

    request = _request(registered, data_dir, minimum_image_size)
    source = cache.load(name, request, edition=edition, make=make, cache_dir=cache_dir)
    return _of_size(source, minimum_image_size, image_size=image_size)


def refuse_absent(name: str) -> None:
    """Raises ValueError if a name is of a file or folder that is not there.

    Of data that are prepared somewhere only reading tells.
    """
    if name not in DATASETS:
        own_arrays.refuse_absent(name)


def adapted(recipe: Recipe, *, dataset: str, has_many_sizes: bool = False) -> Recipe:
    """Returns a resolved recipe as the dataset wants it: augmentation, length.

    An augmentation that the recipe names stays. Datasets that are not registered have
    none, or that of images of many sizes, and leave the rest of recipes as it is.
    """
    own = DATASETS[dataset]["adapt_recipe"](recipe) if dataset in DATASETS else recipe
    usual = RESIZED_CROP if has_many_sizes else "none"
    augmentation = recipe.augmentation or own.augmentation or usual
    return dataclasses.replace(own, augmentation=augmentation)


def num_outputs(source: Source | Data, *, pretext: str | None) -> int:
    """Returns how many outputs a model has for a pretext: one a class, as a rule."""
    declared = PRETEXTS[pretext]["num_outputs"] if pretext else None
    if callable(declared):
        return declared(source.num_classes)
    return declared or source.num_classes


def _request(
    registered: Entry | None, data_dir: str | None, minimum_image_size: int
) -> dict[str, object]:
    """Returns what is asked for: the same by all models where that changes nothing.

    Args:
      registered: the data set; None: one of tensorflow-datasets.
      data_dir: where it is.
      minimum_image_size: smallest height and width the model takes.
    """
    keeps_size = registered is None or registered["keeps_size"]
    size = 1 if keeps_size else minimum_image_size
    return {"data_dir": data_dir, "minimum_image_size": size}


def _of_size(source: Source, minimum_image_size: int, *, image_size: int) -> Source:
    """Returns a data set as a model is shown it; raises ValueError if it is too small.

    Args:
      source: the data.
      minimum_image_size: smallest height and width the model takes.
      image_size: height and width of what is shown of images of many sizes.
    """
    if source.is_encoded:
        side = max(image_size, minimum_image_size)
        source = source.shaped((side, side, source.image_shape[-1]))
    height, width, _ = source.image_shape
    if min(height, width) < minimum_image_size:
        raise ValueError(
            f"Dataset {source.name!r} has images of {height} x {width}; the model "
            f"needs {minimum_image_size} x {minimum_image_size} or more. Take another "
            "model or dataset."
        )
    return source
