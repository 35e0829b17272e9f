"""Subsets of a data set as users name them: images:0.1, classes:0.3.

`datasets.selection` chooses the images.
"""

import dataclasses
import re

IMAGES, CLASSES = KINDS = ("images", "classes")

_PATTERN = re.compile(r"(\w+):([0-9.eE+-]+)")


@dataclasses.dataclass(frozen=True)
class Subset:
    """Part of a data set.

    Attributes:
      kind: "images" (as large a part of every class) or "classes" (some classes, with
        all their images).
      fraction: how large a part, in (0, 1).
    """

    kind: str
    fraction: float

    def __str__(self) -> str:
        return f"{self.kind}:{self.fraction!r}"


def parse(text: str) -> Subset | None:
    """Returns the subset that a text names; None is the whole data set.

    Raises:
      ValueError: the text names none.
    """
    match = _PATTERN.fullmatch(text)
    try:
        fraction = float(match[2]) if match and match[1] in KINDS else 0.0
    except ValueError:
        fraction = 0.0
    if not 0 < fraction <= 1:
        raise ValueError(
            f"{text!r} is no subset. Write images:0.1 for a tenth of the images of "
            "every class, or classes:0.3 for three tenths of the classes."
        )
    return None if fraction == 1 else Subset(match[1], fraction)
