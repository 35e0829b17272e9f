"""Tickets that are found in one way and judged in another. (Limited supervision)

A search is IMP on some task, data set or part of one. Whatever finds a ticket, it is
judged by its training on the labels of the whole data set, beside random pruning (of
initial weights, where the recipe says so) and the unpruned network. An experiment is a
list of searches: its Config extends `search_options.TicketConfig` and names them; plan,
rows, figure and answer are those of this module.

A ticket is the finder's mask and its weights at iteration k. A head for other classes
is the replicate's initial one; heads are not pruned.
"""

import dataclasses
import itertools
import math
import typing
from collections.abc import Iterator, Mapping, Sequence

from tflottery.components.component import Artifact
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies import (
    accuracy_table,
    answers,
    layer_tables,
    ticket_summary,
    ticket_transfer,
)
from tflottery.studies.accuracy_table import PlannedNetwork
from tflottery.studies.answers import Answer
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import (
    DENSE,
    IMP,
    Subnetwork,
    Subnetworks,
)
from tflottery.studies.ticket_summary import TicketSummary
from tflottery.studies.ticket_tables import EvaluatedTicket, TicketMaskLayer

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas


TABLES = {
    "accuracy": EvaluatedTicket,
    "summary": TicketSummary,
    "mask_layers": TicketMaskLayer,
}


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the tables are read from."""
    networks = list(_networks(study))
    measured = [accuracy for _, accuracy in networks]
    return [*measured, *layer_tables.counts(layer_tables.with_masks(networks))]


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the tables: accuracy (a row a network), summary, mask_layers."""
    networks = list(_networks(study))
    table = accuracy_table.rows(networks, results)
    dense = accuracy_table.dense_errors(study, table)
    return {
        "accuracy": accuracy_table.compared(table, dense=dense),
        "summary": ticket_summary.rows(table, replicates=len(study.replicates)),
        "mask_layers": layer_tables.masked(
            study,
            layer_tables.with_masks(networks),
            results,
            row_type=TicketMaskLayer,
        ),
    }


def subject(study: Study) -> str:
    """Returns what the study is about, for the plan's title."""
    sparse = Subnetworks(study)
    searches = (
        one.key + (study.related[one.key].left_out if one.key in study.related else "")
        for one in study.config.searches()
    )
    return f"tickets of {', '.join(searches)} to {sparse.describe(sparse.levels[-1])}"


def figure(
    tables: Mapping[str, "pandas.DataFrame"],
) -> "matplotlib.figure.Figure | None":
    """Returns the paper's figure of this table; None where no test error is."""
    from tflottery.figures import tickets as drawing

    if not accuracy_table.shows_accuracy(tables["accuracy"]):
        return None
    return drawing.draw(tables["accuracy"])


def answer(tables: Mapping[str, "pandas.DataFrame"]) -> Answer:
    """Returns accuracies by density, of the tickets of each search, kind and k.

    And how many times fewer images than the search on all labels a search sees.
    """

    def line(kind: str, search: str, convolutions: int | None, k: int) -> str:
        name = f"tickets of {search}" if isinstance(search, str) else kind
        if kind not in (IMP, name):
            name += f", {kind}"
        # A missing number comes as one that is not equal to itself.
        if convolutions == convolutions and convolutions is not None:
            name += f", first {int(convolutions)} convolutions"
        return name if kind == DENSE else f"{name}, k = {k}"

    by = ("subnetwork", "search", "first_convolutions", "rewind_iteration")
    shown = answers.accuracy_by_density(
        tables["accuracy"], by=by, label=line, name="network"
    )
    # A search for the sparsest ticket is what finding tickets takes.
    speedups = {
        line(*key): own.sort_values("level")["search_speedup"].iloc[-1]
        for key, own in tables["summary"].groupby(list(by), sort=False, dropna=False)
    }
    told = [speedups.get(name, math.nan) for name, *_ in shown.rows]
    rows = [
        (*row, "" if math.isnan(speedup) else f"{speedup:.3g}x")
        for row, speedup in zip(shown.rows, told, strict=True)
    ]
    columns = (*shown.columns, "search speedup")
    return dataclasses.replace(shown, columns=columns, rows=rows)


def _networks(study: Study) -> Iterator[PlannedNetwork]:
    """Yields every network, and what measures it."""
    yield from accuracy_table.dense_networks(study, row_type=EvaluatedTicket)
    searches = study.config.searches()
    for one in searches:
        finder = study.related.get(one.key, study)
        yield from _tickets(study, finder, study.config.TICKET_KINDS, one.name)
    # What is random is pruned where the tickets are.
    for depth in dict.fromkeys(one.config.first_convolutions for one in searches):
        where = _pruned_in_first(study, depth)
        yield from _tickets(where, where, study.config.baselines, None)


def _tickets(
    study: Study, finder: Study, kinds: Sequence[str], search: str | None
) -> Iterator[PlannedNetwork]:
    """Yields subnetworks that a study finds, trained on the task proper.

    Raises:
      ValueError: at a level the finder keeps other numbers of weights than the task
        proper would, or what `ticket_transfer.run` raises.
    """
    judged = _pruned_in_first(study, finder.config.first_convolutions)
    subnetworks, found = Subnetworks(judged), Subnetworks(finder)
    tickets = (
        Subnetwork(kind=kind, level=level, replicate=replicate, rewind_iteration=k)
        for kind in kinds
        for k, level, replicate in itertools.product(
            found.rewind_iterations(kind), subnetworks.levels, study.replicates
        )
    )
    for ticket in tickets:
        run = ticket_transfer.run(finder, ticket, to=judged)
        _validate_survivors(subnetworks, found, ticket.level, search)
        names = subnetworks.columns(ticket) | _search_columns(finder, ticket, search)
        yield accuracy_table.planned(
            judged, names, run, data_order=1, row_type=EvaluatedTicket
        )


def _pruned_in_first(study: Study, convolutions: int | None) -> Study:
    """Returns the study with only so many convolutions pruned, the first ones."""
    if convolutions == study.config.first_convolutions:
        return study
    config = dataclasses.replace(study.config, first_convolutions=convolutions)
    return dataclasses.replace(study, config=config)


def _search_columns(
    finder: Study, ticket: Subnetwork, search: str | None
) -> dict[str, object]:
    """Returns the columns on how a ticket was found, and what that took."""
    depth = {"first_convolutions": finder.config.first_convolutions}
    if search is None:
        return depth
    # The dense network trains as a whole, every level before the last from k.
    pruning, k = finder.recipe.pruning, ticket.rewind_iteration
    start = k if pruning.schedule == "continued" else 0
    levels = 0 if pruning.one_shot else ticket.level - 1
    iterations = finder.last + levels * (finder.last - start)
    if pruning.first_pruning == "copy":
        # A trunk to k, and what is trained from there.
        iterations += k - start
    return depth | {
        "search": search,
        "ticket_task": finder.config.task,
        "ticket_dataset": finder.facts.data.name,
        "ticket_subset": finder.facts.data.subset,
        "ticket_config": finder.config_hash,
        "search_iterations": iterations,
        "search_examples": iterations * finder.recipe.batch_size,
    }


def _validate_survivors(
    own: Subnetworks, found: Subnetworks, level: int, search: str | None
) -> None:
    """Raises ValueError if a search keeps other numbers of weights at a level."""
    kept, expected = (one.num_survivors(level) for one in (found, own))
    if kept != expected:
        raise ValueError(
            f"At level {level} tickets of {search!r} keep {kept:,} weights, and "
            f"{expected:,} are expected: its recipe prunes by another fraction, or "
            "leaves other layers. Give --pruning_fraction, or mend the recipe."
        )
