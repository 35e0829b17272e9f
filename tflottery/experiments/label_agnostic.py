"""Does a ticket have to be found with labels? (Finding Winning Tickets, Figure 1)

IMP finds tickets on several tasks, which see labels or none (--ticket_tasks); each is
then trained on the task proper, with the labels, beside random pruning and the unpruned
network. Accuracy against density, a line a task that found the tickets.
"""

import dataclasses

from tflottery.core.recipes import LABELS
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

    ticket_tasks: tuple[str, ...] = option(
        (LABELS, "rotation"), "tasks on which tickets are found: labels, or pretexts"
    )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        ticket_searches.validate_list("ticket_tasks", self.ticket_tasks, example=LABELS)
        super().validate()

    def searches(self) -> dict[str, PruningConfig]:
        """Returns a search on each of the tasks."""
        return {task: self.searching(task=task) for task in self.ticket_tasks}


if __name__ == "__main__":
    program.run(__spec__.name)
