"""Does a ticket have to be found with labels? (Finding Winning Tickets, Figure 1)

IMP finds tickets on several tasks, which see labels or none (--ticket_tasks); each is
then trained on the task proper, with the labels, beside random pruning and the unpruned
network. Accuracy against density, a line a task that found the tickets.
"""

import dataclasses

from tflottery.studies import program
from tflottery.studies.search_options import TasksConfig
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
class Config(TasksConfig):
    """Options of the experiment."""


if __name__ == "__main__":
    program.run(__spec__.name)
