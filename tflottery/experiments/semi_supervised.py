"""What do unlabeled images add to few labels? (Finding Winning Tickets, Figure 5 (a))

IMP finds tickets in four settings, beside random pruning and the unpruned network:

- on all labels, and on labels alone of a part of the images (--labeled), low-shot;
- semi-supervised: on the labels of that part, and on turns of all images;
- label-agnostic: on turns of all images, without labels.

Each is then trained with all labels. Accuracy against density, a line a setting.
"""

import dataclasses
import typing
from collections.abc import Sequence

from tflottery.core import subsets
from tflottery.studies import program
from tflottery.studies.config import option
from tflottery.studies.search_options import Search, TicketConfig
from tflottery.studies.ticket_searches import (
    TABLES,
    answer,
    figure,
    plan,
    rows,
    subject,
)

__all__ = ["TABLES", "Config", "answer", "figure", "plan", "rows", "subject"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TicketConfig):
    """Options of the experiment."""

    SUBSET_REMEDY: typing.ClassVar[str] = "Say with --labeled which part has labels."

    labeled: str = option(
        "images:0.1", "the part of the images that has labels where not all have"
    )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        part = subsets.parse(self.labeled)
        if part is None or part.kind != subsets.IMAGES:
            raise ValueError(
                f"--labeled={self.labeled!r} has to be some of the images of every "
                "class, and not all of them: images:0.1."
            )
        super().validate()

    def searches(self) -> Sequence[Search]:
        """Returns a search in each setting, by the paper's name and what is seen."""
        part = str(subsets.parse(self.labeled))
        return [
            self.own_search(),
            self.search(
                f"semi_supervised ({part})", task="semi_supervised", subset=part
            ),
            self.search(f"low_shot ({part})", subset=part),
            self.search("label_agnostic (rotation)", task="rotation"),
        ]


if __name__ == "__main__":
    program.run(__spec__.name)
