"""Images in a folder for each class: which there are, and what each is an example of.

photos/train/CLASS/*.png    what is trained on
photos/test/CLASS/*         what is measured; also called val or validation
"""

import os
import pathlib
from collections.abc import Iterator, Sequence

SPLITS = ("train", "test")
# What the folder of images that are measured is called.
_MEASURED = ("test", "val", "validation")
# Classes that an error names; data sets have a thousand.
_FEW = 5


def splits(path: pathlib.Path) -> tuple[dict[str, pathlib.Path], list[str]]:
    """Returns the folder of each split, and the classes, in the order of their labels.

    Raises:
      ValueError: there is no such folder, or training and measured images are not of
        the same classes.
    """
    if not path.is_dir():
        raise ValueError(f"There is no folder {os.fspath(path)!r}. Mind its spelling.")
    # ImageNet's test images have no classes, and lie in no folders of such.
    measured = [name for name in _MEASURED if _classes(path / name)]
    folders = {"train": path / "train", "test": path / (measured or _MEASURED)[0]}
    classes = {split: _classes(folder) for split, folder in folders.items()}
    if not classes["train"] or classes["train"] != classes["test"]:
        told = {
            folders[split].name: _told(found, classes[other])
            for (split, found), other in zip(classes.items(), SPLITS[::-1], strict=True)
        }
        raise ValueError(
            f"{path} has the classes {told}: expected folders of the same names in "
            f"{path}/train and {path}/test (or val), one for each class, with images "
            "in them."
        )
    return folders, classes["train"]


def files(
    folder: pathlib.Path, classes: Sequence[str], *, suffixes: Sequence[str]
) -> list[tuple[pathlib.Path, int]]:
    """Returns the images of a split's folder with their labels, in order of names.

    Args:
      folder: of the split.
      classes: of all splits.
      suffixes: that files of images end in, in small letters.

    Raises:
      ValueError: there are none.
    """
    found = [
        (file, label)
        for label, name in enumerate(classes)
        for file in _in_order(folder / name)
        if file.suffix.lower() in suffixes
    ]
    if not found:
        raise ValueError(
            f"There are no images in the folders of {folder}: expected files that end "
            f"in {', '.join(suffixes)}."
        )
    return found


def _classes(folder: pathlib.Path) -> list[str]:
    return sorted(one.name for one in folder.glob("*") if one.is_dir())


def _in_order(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    yield from (folder / name for name in sorted(os.listdir(folder)))


def _told(found: Sequence[str], other: Sequence[str]) -> list[str]:
    """Returns classes that an error names: those that only one split has, if any."""
    chosen = sorted(set(found) - set(other)) or list(found)
    left = len(chosen) - _FEW
    return [*chosen[:_FEW], *([f"and {left:,} more"] if left > 0 else [])]
