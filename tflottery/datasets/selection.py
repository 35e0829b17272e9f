"""Part of a data set: some of the images of every class, or some of the classes.

Which ones is the same in every command and replicate, and subsets are nested: a tenth
of the images lies in any three tenths. The paper on limited supervision (section 4.2)
does not say how its subsets were drawn; here each class keeps the images that come
first in a random order of all images, and the classes kept are the first of a random
order of classes.
"""

import dataclasses
import math

import numpy as np

from tflottery.core import seeds, subsets
from tflottery.core.subsets import Subset
from tflottery.datasets.arrays import Source, Split

# The label of an image whose label is not to be seen.
UNLABELED = -1


def of(source: Source, subset: str | None, *, unlabeled: bool = False) -> Source:
    """Returns a data set cut down to a subset; images are scaled as they were.

    Of classes alone, test images of the others go too, and labels are numbered anew
    from 0, in their old order.

    Args:
      source: the whole data set.
      subset: as `core.subsets` has it; None is all of it.
      unlabeled: keeps all training images; those outside of the subset have the label
        `UNLABELED`.

    Raises:
      ValueError: the text names no subset, or it leaves no image of a class, or fewer
        than two classes, or no test image; of what sees images without labels, no
        image without.
    """
    asked = None if subset is None else subsets.parse(subset)
    if asked is None:
        if unlabeled:
            raise _all_labeled(source, subset)
        return source
    if asked.kind == subsets.IMAGES:
        chosen = _images(source, asked)
        train, test, num_left = source.train, source.test, source.num_classes
    else:
        kept = _classes(source, asked)
        # What each old label becomes.
        new = np.full(source.num_classes, UNLABELED, np.int32)
        new[kept] = np.arange(len(kept))
        train, test = (
            Split(split.images, new[split.labels])
            for split in (source.train, source.test)
        )
        chosen, num_left = train.labels != UNLABELED, len(kept)
        test = _cut(test, test.labels != UNLABELED)
        if not len(test.labels):
            raise ValueError(
                f"Subset {asked} leaves no test image of {source.name!r}, whose "
                "test images are of other classes. Ask for a larger part."
            )
    if unlabeled:
        if chosen.all():
            raise _all_labeled(source, subset)
        labels = np.where(chosen, train.labels, np.int32(UNLABELED))
        train = Split(train.images, labels)
    else:
        train = _cut(train, chosen)
    return dataclasses.replace(source, train=train, test=test, num_classes=num_left)


def num_classes(asked: Subset, whole: int, *, dataset: str) -> int:
    """Returns how many classes are left of a data set.

    Args:
      asked: a part of its classes.
      whole: how many classes it has.
      dataset: its name.

    Raises:
      ValueError: fewer than two are left.
    """
    count = _rounded(asked.fraction, whole)
    if count < 2:
        raise ValueError(
            f"Subset {asked} leaves {count} of the {whole} classes of {dataset!r}, and "
            "there have to be two to tell apart. Ask for a larger part."
        )
    return count


def _images(source: Source, asked: Subset) -> np.ndarray:
    """Returns which training images are chosen: [examples] bool."""
    labels = source.train.labels
    words = seeds.raw_bits(seeds.seed("subset_images"), 0, len(labels))
    chosen = np.zeros(len(labels), bool)
    for label in range(source.num_classes):
        own = np.flatnonzero(labels == label)
        count = _rounded(asked.fraction, len(own))
        if not count and len(own):
            raise ValueError(
                f"Subset {asked} leaves no image of class {label} of "
                f"{source.name!r}, which has {len(own)}. Ask for a larger part."
            )
        chosen[own[np.argsort(words[own], kind="stable")[:count]]] = True
    return chosen


def _classes(source: Source, asked: Subset) -> np.ndarray:
    """Returns the labels of the classes that are chosen, ascending."""
    count = num_classes(asked, source.num_classes, dataset=source.name)
    order = seeds.permutation(seeds.seed("subset_classes"), 0, source.num_classes)
    return np.sort(order[:count])


def _all_labeled(source: Source, subset: str | None) -> ValueError:
    """Returns what is raised where every image has a label, and some should not."""
    asked = "Without a subset" if subset is None else f"With subset {subset}"
    remedy = "--subset=images:0.1" if subset is None else "images:0.1"
    return ValueError(
        f"{asked} all {len(source.train.labels):,} training images of {source.name!r} "
        "have labels, and a task that learns from images without labels too needs "
        f"some that have none. Say which part has them, such as {remedy}."
    )


def _rounded(fraction: float, count: int) -> int:
    """Returns a fraction of a count; halves are rounded up."""
    return math.floor(fraction * count + 0.5)


def _cut(split: Split, chosen: np.ndarray) -> Split:
    """Returns a copy of the examples that are chosen."""
    return Split(split.images[chosen], split.labels[chosen])
