"""How few images or classes find a ticket? (Finding Winning Tickets, Figures 3 and 10)

IMP finds tickets on all data and on parts of them (--subsets): some of the images of
every class (Table 6), or all images of some classes (Table 7). Each is then trained on
all data, beside random pruning and the unpruned network. Accuracy against density, a
line a part; what a search cost stands in the columns `search_`.
"""

import dataclasses

from tflottery.core import subsets
from tflottery.studies import program, ticket_searches
from tflottery.studies.config import option
from tflottery.studies.pruning_config import PruningConfig
from tflottery.studies.ticket_searches import (
    TABLES,
    TicketConfig,
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
        parts = [str(subsets.parse(part)) for part in self.subsets]
        ticket_searches.validate_list("subsets", parts, example="images:0.1")
        if self.subset is not None:
            raise ValueError(
                f"--subset={self.subset!r} is the part that tickets are judged on, "
                "which is all data here. Name those that find them with --subsets."
            )
        super().validate()

    def searches(self) -> dict[str, PruningConfig]:
        """Returns a search on all data, and one on each part of them."""
        # A part that is the whole is no search of its own.
        parts = [str(part) for part in map(subsets.parse, self.subsets) if part]
        return {self.task: self.searching()} | {
            part: self.searching(subset=part) for part in parts
        }


if __name__ == "__main__":
    program.run(__spec__.name)
