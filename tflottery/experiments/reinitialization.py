"""Is a ticket its mask, or its weights too? (Finding Winning Tickets, Figure 11)

IMP finds tickets on several tasks (--ticket_tasks). Each trains with the labels twice:
reset to its finder's weights at k, and with its mask over weights drawn afresh, as
random pruning and the unpruned network stand beside. Accuracy against density, two
lines a task that found the tickets.

What is drawn afresh is the whole network of the task proper, its head among it, one
draw for each replicate and level; the paper (Appendix G) does not say more.
"""

import dataclasses
import typing

from tflottery.studies import program
from tflottery.studies.search_options import TasksConfig
from tflottery.studies.subnetworks import IMP, RANDOM_REINIT
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

    TICKET_KINDS: typing.ClassVar[tuple[str, ...]] = (IMP, RANDOM_REINIT)


if __name__ == "__main__":
    program.run(__spec__.name)
