"""In which layers does a ticket need labels? (Finding Winning Tickets, Figures 2 and 8)

IMP prunes the first convolutions alone, so many as --depths says, or all that the
recipe prunes. It finds tickets on several tasks (--ticket_tasks); each is then trained
with the labels, beside random pruning of the same layers and the unpruned network.
Accuracy against density, for each depth a line a task that found the tickets.

`density` is that of the pruned part and `axis_density` that of the whole network; the
paper (Appendix C) does not say which its axes have.
"""

import dataclasses
from collections.abc import Sequence

from tflottery.studies import config as shared
from tflottery.studies import program
from tflottery.studies.config import option
from tflottery.studies.search_options import Search, TasksConfig
from tflottery.studies.ticket_searches import (
    TABLES,
    answer,
    figure,
    plan,
    rows,
    subject,
)

__all__ = ["TABLES", "Config", "answer", "figure", "plan", "rows", "subject"]

_ALL = "all"
# By model: the paper's of AlexNet and ResNet-50, and of others likewise where stages
# of convolutions end. 1x1 projections count.
_DEPTHS = {
    "alexnet": (1, 3, 5),
    "alexnet_grouped": (1, 3, 5),
    "alexnet_cifar_stem": (1, 3, 5),
    "resnet50": (11, 24, 43),
    "resnet50_cifar_stem": (11, 24, 43),
    "resnet18": (5, 10, 15),
    "resnet18_cifar_stem": (5, 10, 15),
    "resnet20": (7, 14),
    "resnet56": (19, 38),
    "wrn16_8": (5, 10),
    "vgg11": (2, 4, 6),
    "vgg13": (4, 6, 8),
    "vgg16": (4, 7, 10),
    "vgg19": (4, 8, 12),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TasksConfig):
    """Options of the experiment."""

    model: str = option("alexnet_cifar_stem", "network to train")
    depths: tuple[str, ...] | None = option(
        None,
        "how many convolutions are pruned, the first ones: 1,3,5,all; all is whatever "
        "the recipe prunes; None: where the network's stages end, and all",
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        # LeNet has no convolutions.
        return dataclasses.replace(super().tiny(), depths=(_ALL,))

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        if self.depths is not None:
            shared.validate_names("depths", self.depths, example="1,3,5,all")
        if self.first_convolutions is not None:
            raise ValueError(
                f"--first_convolutions={self.first_convolutions!r} is what --depths "
                "names here, one after the other. Leave it out."
            )
        super().validate()

    def searches(self) -> Sequence[Search]:
        """Returns a search on each of the tasks at each depth."""
        return [
            self.search(task, task=task, first_convolutions=depth)
            for depth in self._depths()
            for task in self.ticket_tasks
        ]

    def _depths(self) -> list[int | None]:
        """Returns how many convolutions are pruned, each time; None is all layers.

        Raises:
          ValueError: a depth is no number.
        """
        given = self.depths
        if given is None:
            given = (*map(str, _DEPTHS.get(self.model, ())), _ALL)
        wrong = [one for one in given if one != _ALL and not _is_positive(one)]
        if wrong:
            raise ValueError(
                f"--depths={','.join(given)!r} names {', '.join(wrong)}, and a depth "
                f"is a whole number of convolutions from 1, or {_ALL!r}."
            )
        return [None if one == _ALL else int(one) for one in given]


def _is_positive(text: str) -> bool:
    """Returns whether a text is a whole number from 1."""
    return text.isdecimal() and int(text) > 0


if __name__ == "__main__":
    program.run(__spec__.name)
