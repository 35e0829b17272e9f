"""Rows of accuracy.csv: networks at the end of their training."""

import dataclasses
from collections.abc import Iterable, Mapping

from tflottery.components import accuracies
from tflottery.components.accuracies import Accuracy
from tflottery.execution.findings import Findings
from tflottery.experiments.keys import NetworkKeys


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
      matching: whether the test error is at most one standard deviation above the mean
        of the dense networks'; None with fewer than two replicates.
      diverged_iteration: when training diverged, if it did.
    """

    data_order: int
    rewind_iteration: int
    train_error: float | None = None
    test_error: float | None = None
    train_loss: float | None = None
    test_loss: float | None = None
    matching: bool | None = None
    diverged_iteration: int | None = None


def rows(
    networks: Iterable[tuple[Mapping[str, object], Accuracy]], findings: Findings
) -> list[TrainedNetwork]:
    """Returns the rows of the networks that were measured or are known to diverge.

    Args:
      networks: the columns that name each network, and what measures it.
      findings: what was found.
    """
    table = []
    for keys, accuracy in networks:
        folder = findings.folder(accuracy)
        if folder is not None:
            table.append(TrainedNetwork(**keys, **accuracies.read(folder)))
        elif (diverged := findings.diverged_iteration(accuracy)) is not None:
            table.append(TrainedNetwork(**keys, diverged_iteration=diverged))
    return table


def measured_errors(table: Iterable[TrainedNetwork]) -> list[float]:
    """Returns the test errors of the networks that were measured."""
    return [row.test_error for row in table if row.test_error is not None]
