"""Does a ticket have to be found with labels? (Finding Winning Tickets, Figure 1)

IMP finds tickets on several tasks, which see labels or none (--ticket_tasks); each is
then trained on the task proper, with the labels, beside random pruning and the unpruned
network. Accuracy against density, a line a task that found the tickets.

A ticket is the finder's mask and its weights at iteration k; training goes on from k on
the schedule of the task proper. A head for other classes is the replicate's initial
one; heads are not pruned.
"""

import dataclasses
import itertools
import typing
from collections.abc import Iterator, Mapping

from tflottery.components.component import Artifact
from tflottery.core import recipes
from tflottery.core.recipes import LABELS
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies import accuracy_table, answers, program, transfer
from tflottery.studies import config as shared
from tflottery.studies.accuracy_table import PlannedNetwork, TrainedNetwork
from tflottery.studies.answers import Answer
from tflottery.studies.config import option
from tflottery.studies.pruning_config import PruningConfig
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import (
    IMP,
    RANDOM_PRUNING,
    Subnetwork,
    Subnetworks,
)

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PruningConfig):
    """Options of the experiment."""

    PREFERRED_VARIANT: typing.ClassVar[str | None] = "limited_supervision"

    ticket_tasks: tuple[str, ...] = option(
        (LABELS, "rotation"), "tasks on which tickets are found: labels, or pretexts"
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        return cls(
            model="lenet",
            dataset="digits",
            replicates=1,
            rewind_iterations=(8,),
            training_iterations=24,
            evaluation_examples=100,
            levels=("1-2",),
        )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        super().validate()
        shared.refuse_carried(self)
        if not self.ticket_tasks:
            raise ValueError(
                "--ticket_tasks is empty: name at least one, such as labels."
            )
        if len(set(self.ticket_tasks)) < len(self.ticket_tasks):
            raise ValueError(
                f"--ticket_tasks={','.join(self.ticket_tasks)!r} names a task twice."
            )

    def related(self) -> dict[str, "Config"]:
        """Returns the Configs of the same network on the other tasks, by name."""
        return {
            task: dataclasses.replace(self, task=task, ticket_tasks=())
            for task in self.ticket_tasks
            if task != self.task
        }

    def row_decisions(self, study: Study) -> dict[str, object]:
        """Returns what decides a row beyond its run and its columns.

        A task may have a recipe of its own: an option that says of the task proper what
        its recipe says anyway changes the tickets of that one.
        """
        return super().row_decisions(study) | _recipes_of_tickets(study)

    def resolved_values(self, study: Study) -> dict[str, object]:
        """Returns options in one form, and what tickets were found with instead."""
        return super().resolved_values(study) | _recipes_of_tickets(study)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluatedTicket(TrainedNetwork):
    """A row of accuracy.csv.

    Attributes:
      ticket_task: on which the ticket was found; None where nothing was.
    """

    ticket_task: str | None = None


TABLES = {"accuracy": EvaluatedTicket}


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the table is read from."""
    return [accuracy for _, accuracy in _networks(study)]


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the table accuracy: a row a network."""
    table = accuracy_table.rows(_networks(study), results)
    dense = accuracy_table.dense_errors(study, table)
    return {"accuracy": accuracy_table.compared(table, dense=dense)}


def subject(study: Study) -> str:
    """Returns what the study is about, for the plan's title."""
    sparse = Subnetworks(study)
    return (
        f"tickets of {', '.join(study.config.ticket_tasks)} to "
        f"{sparse.describe(sparse.levels[-1])}"
    )


def figure(
    tables: Mapping[str, "pandas.DataFrame"],
) -> "matplotlib.figure.Figure | None":
    """Returns the paper's figure of this table; None where no test error is."""
    from tflottery.figures import label_agnostic as drawing

    if not accuracy_table.shows_accuracy(tables["accuracy"]):
        return None
    return drawing.draw(tables["accuracy"])


def answer(tables: Mapping[str, "pandas.DataFrame"]) -> Answer:
    """Returns accuracies by density, of the tickets of each task and k."""

    def line(kind: str, task: str, k: int) -> str:
        if kind == IMP:
            return f"tickets of {task}, k = {k}"
        return kind if kind != RANDOM_PRUNING else f"{kind}, k = {k}"

    return answers.accuracy_by_density(
        tables["accuracy"],
        by=("subnetwork", "ticket_task", "rewind_iteration"),
        label=line,
        name="network",
    )


def _recipes_of_tickets(study: Study) -> dict[str, dict[str, object]]:
    """Returns, by task, what the recipe that finds its tickets has of its own.

    As `ticket_recipes`; {} where all are the recipe of the task proper.
    """
    own = recipes.plain_values(study.recipe)
    unlike = {
        task: {
            name: value
            for name, value in recipes.plain_values(finder.recipe).items()
            if value != own[name]
        }
        for task, finder in study.related.items()
    }
    unlike = {task: values for task, values in unlike.items() if values}
    return {"ticket_recipes": unlike} if unlike else {}


def _networks(study: Study) -> Iterator[PlannedNetwork]:
    """Yields every network, and what measures it."""
    yield from accuracy_table.dense_networks(study, row_type=EvaluatedTicket)
    for task in study.config.ticket_tasks:
        finder = study.related.get(task, study)
        yield from _tickets(study, finder, IMP, task)
    yield from _tickets(study, study, RANDOM_PRUNING, None)


def _tickets(
    study: Study, finder: Study, kind: str, task: str | None
) -> Iterator[PlannedNetwork]:
    """Yields subnetworks that a study finds, trained on the task proper.

    Raises:
      ValueError: at a level the finder keeps other numbers of weights than the task
        proper would, or what `transfer.run` raises.
    """
    subnetworks, found = Subnetworks(study), Subnetworks(finder)
    for k, level, replicate in itertools.product(
        finder.rewind_iterations, subnetworks.levels, study.replicates
    ):
        ticket = Subnetwork(
            kind=kind, level=level, replicate=replicate, rewind_iteration=k
        )
        run = transfer.run(finder, ticket, to=study)
        kept, expected = (one.num_survivors(level) for one in (found, subnetworks))
        if kept != expected:
            raise ValueError(
                f"At level {level} tickets of {task!r} keep {kept:,} weights, and "
                f"{expected:,} are expected: its recipe prunes by another fraction, or "
                "leaves other layers. Give --pruning_fraction, or mend the recipe."
            )
        yield accuracy_table.planned(
            study,
            subnetworks.columns(ticket) | {"ticket_task": task},
            run,
            data_order=1,
            row_type=EvaluatedTicket,
        )


if __name__ == "__main__":
    program.run(__spec__.name)
