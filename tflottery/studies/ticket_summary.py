"""Tickets over replicates, beside what the paper prints of them: summary.csv.

The tables of Finding Winning Tickets (2 to 8): mean accuracy and its standard error at
every density of every search. A search is as many times faster as it sees fewer images
than the search on all labels does, for as sparse a ticket.
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence

from tflottery.analysis import statistics
from tflottery.core.recipes import LABELS
from tflottery.figures import reported, reported_tickets
from tflottery.studies import columns
from tflottery.studies.accuracy_table import TrainedNetwork, measured_errors

# What tells the tickets of a table apart, but for replicates.
_NAMES = ("subnetwork", "search", "first_convolutions", "rewind_iteration", "level")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TicketSummary(columns.LevelKeys):
    """A row of summary.csv: the tickets of a search at a level, over replicates.

    Accuracies are fractions; `reported`: the paper's, None where it prints none.

    Attributes:
      subnetwork: as in accuracy.csv, and so are all up to `search_examples`.
      search: likewise.
      ticket_task: likewise.
      ticket_dataset: likewise.
      ticket_subset: likewise.
      ticket_config: likewise.
      first_convolutions: likewise.
      rewind_iteration: likewise.
      search_iterations: likewise.
      search_examples: likewise.
      search_speedup: images that the search on all labels sees for such a ticket, as a
        multiple of those that this one sees.
      num_replicates: how many were measured; others diverged, or do not exist.
      test_accuracy_mean: over these; None before every replicate is known.
      test_accuracy_stderr: standard error of the mean; None of a single replicate.
      reported_test_accuracy: the paper's mean.
      reported_test_accuracy_stderr: its standard error.
      reported_in: where the paper prints it.
      test_accuracy_difference: mean less the paper's.
    """

    subnetwork: str
    search: str | None
    ticket_task: str | None
    ticket_dataset: str | None
    ticket_subset: str | None
    ticket_config: str | None
    first_convolutions: int | None
    rewind_iteration: int
    search_iterations: int | None
    search_examples: int | None
    search_speedup: float | None = None
    num_replicates: int
    test_accuracy_mean: float | None = None
    test_accuracy_stderr: float | None = None
    reported_test_accuracy: float | None = None
    reported_test_accuracy_stderr: float | None = None
    reported_in: str | None = None
    test_accuracy_difference: float | None = None


def rows(table: Sequence[TrainedNetwork], *, replicates: int) -> list[TicketSummary]:
    """Returns a row for all networks of a table that are one but for the replicate.

    Args:
      table: rows of accuracy.csv, of networks that are known.
      replicates: how many each is to have.
    """
    together: dict[tuple, list[TrainedNetwork]] = {}
    for row in table:
        names = tuple(getattr(row, name) for name in _NAMES)
        together.setdefault(names, []).append(row)
    found = [_row(own, replicates=replicates) for own in together.values()]
    return _with_speedups(found)


def _row(own: Sequence[TrainedNetwork], *, replicates: int) -> TicketSummary:
    """Returns the row of some replicates of a network."""
    errors, first = measured_errors(own), own[0]
    values: dict[str, typing.Any] = columns.columns(first, TicketSummary)
    number = reported_tickets.number(dataclasses.asdict(first))
    if number is not None:
        values |= _printed(number)
    if len(own) == replicates and errors:
        mean = 1 - statistics.mean(errors)
        values["test_accuracy_mean"] = mean
        if len(errors) > 1:
            values["test_accuracy_stderr"] = statistics.standard_error(errors)
        if number is not None:
            difference = mean - values["reported_test_accuracy"]
            values["test_accuracy_difference"] = difference
    return TicketSummary(**values, num_replicates=len(errors))


def _printed(number: reported.Number) -> Mapping[str, object]:
    """Returns the columns on a number of the paper."""
    error = number.error
    return {
        "reported_test_accuracy": number.value / 100,
        "reported_test_accuracy_stderr": None if error is None else error / 100,
        "reported_in": number.source,
    }


def _with_speedups(table: Sequence[TicketSummary]) -> list[TicketSummary]:
    """Returns rows with how much faster their search is than the one on labels."""
    # By level and pruned layers, then by k: a schedule that goes on at k costs less.
    usual: dict[tuple, dict[int, int]] = {}
    for row in table:
        is_whole = (row.ticket_dataset, row.ticket_subset) == (row.dataset, None)
        if is_whole and row.ticket_task == LABELS:
            by_k = usual.setdefault((row.level, row.first_convolutions), {})
            by_k[row.rewind_iteration] = row.search_examples
    found = []
    for row in table:
        by_k = usual.get((row.level, row.first_convolutions), {})
        speedup = None
        if by_k and row.search_examples is not None:
            # Of searches that are rewound to another k the first.
            examples = by_k.get(row.rewind_iteration, next(iter(by_k.values())))
            speedup = examples / row.search_examples
        found.append(dataclasses.replace(row, search_speedup=speedup))
    return found
