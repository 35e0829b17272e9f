"""How few images or classes find a ticket? (Finding Winning Tickets, Figures 3 and 10)

IMP finds tickets on all data and on parts of them (--subsets): some of the images of
every class (Table 6), or all images of some classes (Table 7). Each is then trained on
all data, beside random pruning and the unpruned network. Accuracy against density, a
line a part; what a search cost stands in the columns `search_`.
"""

import dataclasses
import typing
from collections.abc import Sequence

from tflottery.studies import program, search_options
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

    SUBSET_REMEDY: typing.ClassVar[str] = "Name those that find them with --subsets."

    subsets: tuple[str, ...] = option(
        ("images:0.3", "images:0.1", "images:0.01"),
        "parts of the data on which tickets are found, beside all of them: images:0.1, "
        "or classes:0.3",
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        return dataclasses.replace(super().tiny(), subsets=("images:0.5",))

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        search_options.validate_parts("subsets", self.subsets)
        super().validate()

    def searches(self) -> Sequence[Search]:
        """Returns a search on all data, and one on each part of them."""
        return [self.own_search(), *self.searches_on_parts(self.subsets)]


if __name__ == "__main__":
    program.run(__spec__.name)
