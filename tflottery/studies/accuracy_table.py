"""Trained networks: what measures them at the end, and their rows of accuracy.csv."""

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Sequence

from tflottery.analysis.matching import is_matching
from tflottery.components import accuracies
from tflottery.components.accuracies import Accuracy
from tflottery.components.runs import Run, State
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies.columns import NetworkKeys
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import DENSE

if typing.TYPE_CHECKING:
    import pandas

# The columns that name a network, and what measures it.
Network = tuple[dict[str, object], Accuracy]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedNetwork(NetworkKeys):
    """A row of accuracy.csv: a network at the end of training.

    Attributes:
      data_order: of its last training; 0 is the trunk's.
      rewind_iteration: where that training began.
      train_error: share of wrong answers, in [0, 1].
      test_error: likewise.
      train_loss: mean cross-entropy, in nats.
      test_loss: likewise.
      matching: of a subnetwork, whether its test error is at most one standard
        deviation above the mean of the dense networks'; None with fewer than two.
      diverged_iteration: when its training diverged, or one that it builds on.
    """

    data_order: int
    rewind_iteration: int
    train_error: float | None = None
    test_error: float | None = None
    train_loss: float | None = None
    test_loss: float | None = None
    matching: bool | None = None
    diverged_iteration: int | None = None


def accuracy(study: Study, run: Run) -> Accuracy:
    """Returns what measures a run at the end of training."""
    return study.accuracy(State(run, study.last))


def dense_networks(study: Study) -> Iterator[Network]:
    """Yields every replicate's dense network."""
    for replicate in study.replicates:
        keys = study.columns() | {"replicate": replicate}
        keys |= {"data_order": 0, "rewind_iteration": 0}
        yield keys, accuracy(study, study.trunk(replicate))


def rows(
    networks: Iterable[Network],
    results: ResultsReader,
    *,
    row_type: type[TrainedNetwork] = TrainedNetwork,
) -> list[TrainedNetwork]:
    """Returns the rows of the networks that were measured or are known to diverge.

    Args:
      networks: which.
      results: what was found.
      row_type: of the rows; the networks' columns are among its own.
    """
    table = []
    for keys, measure in networks:
        folder = results.folder(measure)
        if folder is not None:
            table.append(row_type(**keys, **accuracies.read(folder)))
        elif (diverged := results.diverged_iteration(measure)) is not None:
            table.append(row_type(**keys, diverged_iteration=diverged))
    return table


def compared(
    table: Sequence[TrainedNetwork], *, dense: Sequence[float]
) -> list[TrainedNetwork]:
    """Returns the rows, subnetworks with whether they match the dense networks.

    Args:
      table: rows of one type.
      dense: test errors of the dense networks, one a replicate.
    """
    return [
        row
        if row.test_error is None or row.subnetwork == DENSE
        else dataclasses.replace(row, matching=is_matching(row.test_error, dense))
        for row in table
    ]


def shows_accuracy(table: "pandas.DataFrame") -> bool:
    """Returns whether a table as DataFrame has a test error at all."""
    return bool(table["test_error"].notna().any())


def dense_errors(table: Iterable[TrainedNetwork]) -> list[float]:
    """Returns the test errors of the dense networks that were measured."""
    return measured_errors(row for row in table if row.subnetwork == DENSE)


def measured_errors(table: Iterable[TrainedNetwork]) -> list[float]:
    """Returns the test errors of the networks that were measured."""
    return [row.test_error for row in table if row.test_error is not None]
