"""Does a ticket of labels that mean nothing tell more than sparsity? (Figure 4)

Finding Winning Tickets with Limited (or No) Supervision, Section 4.4: IMP finds tickets
on the labels, and on labels permuted over the images, which can only be memorized. Each
is then trained with the labels, beside random pruning, random pruning adjusted for
weights that training makes zero anyway, and the unpruned network. Accuracy against
density: tickets of permuted labels are to be no better than adjusted random pruning.

Labels are permuted once for each replicate. The paper does not name its network.
"""

import dataclasses
from collections.abc import Sequence

from tflottery.studies import program
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

    def searches(self) -> Sequence[Search]:
        """Returns a search on the labels, and one on permuted ones."""
        return [
            self.own_search(),
            self.search("permuted_labels", task="permuted_labels"),
        ]


if __name__ == "__main__":
    program.run(__spec__.name)
