"""Trained networks: what measures them at the end, and their rows of accuracy.csv."""

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tflottery.analysis.matching import is_matching
from tflottery.components import accuracies
from tflottery.components.accuracies import Accuracy
from tflottery.components.runs import Run, State
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies.columns import NetworkKeys
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import DENSE, Subnetwork, Subnetworks

if typing.TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedNetwork(NetworkKeys):
    """A row of accuracy.csv: a network at the end of training.

    Attributes:
      rewind_iteration: k, whose weights its last training began from.
      data_order: of that training; 0 is the trunk's.
      network: address of the trained network in the store.
      mask: address of its masks; None where nothing is pruned.
      train_error: fraction of misclassified examples, in [0, 1].
      test_error: likewise.
      train_loss: mean cross-entropy, in nats.
      test_loss: likewise.
      matching: of a subnetwork, whether its test error is at most one standard
        deviation above the mean of the dense networks'; None with fewer than two.
      diverged_iteration: when its training diverged, or one that it builds on.
    """

    rewind_iteration: int
    data_order: int
    network: str
    mask: str | None
    train_error: float | None = None
    test_error: float | None = None
    train_loss: float | None = None
    test_loss: float | None = None
    matching: bool | None = None
    diverged_iteration: int | None = None


class PlannedNetwork(typing.NamedTuple):
    """A network of a plan.

    Attributes:
      row: what names it, without its measurements.
      accuracy: what measures it.
    """

    row: TrainedNetwork
    accuracy: Accuracy


def planned(
    study: Study,
    names: Mapping[str, object],
    run: Run,
    *,
    data_order: int,
    row_type: type[TrainedNetwork] = TrainedNetwork,
) -> PlannedNetwork:
    """Returns the end of a run as a network of a plan.

    Args:
      study: says where training ends and how it is measured.
      names: the columns that name it, as of `Subnetworks.columns`, and what `row_type`
        asks for beyond them.
      run: its last training.
      data_order: of that training.
      row_type: of its row.
    """
    end = State(run, study.last)
    row = row_type(
        **names,
        data_order=data_order,
        network=end.address,
        mask=run.mask.address if run.mask is not None else None,
    )
    return PlannedNetwork(row, study.accuracy(end))


def dense_networks(
    study: Study, *, row_type: type[TrainedNetwork] = TrainedNetwork, **more: object
) -> Iterator[PlannedNetwork]:
    """Yields every replicate's dense network; `more` are columns of `row_type`."""
    subnetworks = Subnetworks(study)
    for replicate in study.replicates:
        dense = Subnetwork(kind=DENSE, level=0, replicate=replicate, rewind_iteration=0)
        yield planned(
            study,
            subnetworks.columns(dense) | more,
            study.trunk(replicate),
            data_order=0,
            row_type=row_type,
        )


def rows(
    networks: Iterable[PlannedNetwork], results: ResultsReader
) -> list[TrainedNetwork]:
    """Returns the rows of the networks that were measured or are known to diverge.

    Those of networks that do not exist have no measurements.
    """
    table = []
    for row, measure in networks:
        measured = results.read(measure, accuracies.read)
        if measured is not None:
            table.append(dataclasses.replace(row, **measured))
        elif results.is_unobtainable(measure):
            diverged = results.diverged_iteration(measure)
            table.append(dataclasses.replace(row, diverged_iteration=diverged))
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


def dense_errors(study: Study, table: Iterable[TrainedNetwork]) -> list[float]:
    """Returns the test errors of the dense networks that others are compared with.

    None before every replicate's is measured or known to diverge: a comparison with
    some of them could turn into its opposite.
    """
    own = [row for row in table if row.subnetwork == DENSE]
    return measured_errors(own) if len(own) == len(study.replicates) else []


def measured_errors(table: Iterable[TrainedNetwork]) -> list[float]:
    """Returns the test errors of the networks that were measured."""
    return [row.test_error for row in table if row.test_error is not None]
