"""Is a network stable to SGD noise? Instability analysis (LMC, Section 2, Algorithm 1).

A network is trained to iteration k; from there copies train on different data orders.
The instability at k is the highest error on the line between two copies minus the mean
of the errors at its ends. LMC Figures 2, 3 and Appendices B and D; with --throughout
also Figure 4, the instability at every epoch, of test images alone. With --subnetworks,
the same of a pruned network rewound to k, beside its error and that of the dense
network: Figures 6, 7 and Appendices C and E. Kinds in a list, dense among them, share
one figure.

Departs from the paper in nothing known; where it is silent: all pairs of copies are
compared, their orders differ from the trunk's, and batch norm statistics on the line
are both interpolated and (columns `_reestimated`) re-estimated.
"""

import dataclasses
import itertools
import typing
from collections.abc import Iterator, Mapping, Sequence

from tflottery.analysis.matching import is_matching
from tflottery.components import accuracies, interpolating
from tflottery.components.accuracies import Accuracy
from tflottery.components.component import Artifact
from tflottery.components.interpolating import Line
from tflottery.components.runs import State
from tflottery.core.durations import Duration
from tflottery.core.percentages import percent
from tflottery.core.recipes import Recipe
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies import (
    accuracy_table,
    answers,
    layer_tables,
    line_tables,
    program,
)
from tflottery.studies import config as shared
from tflottery.studies.answers import Answer
from tflottery.studies.config import option
from tflottery.studies.layer_tables import MaskLayer
from tflottery.studies.line_tables import Pair, Point, Row
from tflottery.studies.pruning_config import PruningConfig
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import (
    DENSE,
    Subnetwork,
    Subnetworks,
    sparse_kinds,
)

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas

# Images of re-estimation where the user does not say how many.
_MOST_REESTIMATION, _LEAST_REESTIMATION = 10_240, 1_280


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PruningConfig):
    """Options of the experiment."""

    data_orders: int = option(3, "trained copies of each replicate")
    subnetworks: tuple[str, ...] = option(
        (DENSE,),
        "what is copied, a list: dense, and what the lottery takes but for "
        "gradual_pruning: imp, random_pruning, random_reinit, ...",
    )
    throughout: bool = option(
        False, "measure at every epoch, not only at the end of training (Figure 4)"
    )
    splits: tuple[str, ...] | None = option(
        None,
        "splits measured: train, test or both; columns of another stay empty; None: "
        "both; with --throughout test alone, which is all that Figure 4 shows",
    )
    reestimation_examples: int | None = option(
        None,
        "training images on which batch norm is re-estimated at every point, in whole "
        f"batches of {interpolating.REESTIMATION_BATCH_SIZE}; 0: no re-estimated "
        f"reading; None: {_MOST_REESTIMATION:,}, or where --evaluation_examples says "
        f"fewer as many as that, but at least {_LEAST_REESTIMATION:,}",
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        return cls(
            model="lenet",
            dataset="digits",
            replicates=1,
            data_orders=2,
            rewind_iterations=(0, 8),
            training_iterations=24,
            evaluation_examples=100,
        )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        super().validate()
        shared.validate_count(
            "data_orders", self.data_orders, most=shared.MOST_REPETITIONS
        )
        if self.data_orders < 2:
            raise ValueError(
                f"--data_orders={self.data_orders!r}: instability compares copies on "
                "different data orders, so there have to be at least 2."
            )
        known = (DENSE, *sparse_kinds())
        shared.validate_names("subnetworks", self.subnetworks, known=known)
        if self.subnetworks == (DENSE,) and (self.levels or self.density is not None):
            raise ValueError(
                "--levels and --density are of a subnetwork: name one, such as "
                "--subnetworks=imp."
            )
        if self.reestimation_examples is not None and self.reestimation_examples < 0:
            raise ValueError(
                f"--reestimation_examples={self.reestimation_examples!r} has to be at "
                "least 0."
            )

    def paper_iterations(self, recipe: Recipe) -> tuple[Duration, ...]:
        """Returns the paper's k: its figures of dense networks have grids of their own.

        With subnetworks, dense ones are copied at the k of those.
        """
        grid = recipe.pruning.dense_iterations
        if self.throughout:
            grid = recipe.pruning.throughout_iterations
        is_dense = self.subnetworks == (DENSE,)
        return (is_dense and grid) or super().paper_iterations(recipe)

    def usual_splits(self) -> tuple[str, ...]:
        """Returns the splits measured where the user names none."""
        return ("test",) if self.throughout else super().usual_splits()

    def row_decisions(self, study: Study) -> dict[str, object]:
        """Returns what decides a row beyond its run and its columns."""
        examples = {"reestimation_examples": _reestimation_examples(study)}
        return super().row_decisions(study) | examples

    def resolved_values(self, study: Study) -> dict[str, object]:
        """Returns options that can be said in several ways, each in one form."""
        examples = {"reestimation_examples": _reestimation_examples(study)}
        return super().resolved_values(study) | examples


TABLES = {"instability": Row, "interpolation": Point, "mask_layers": MaskLayer}


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the tables are read from."""
    pairs = list(_pairs(study))
    lines = [line for _, line in pairs]
    return [*_dense(study).values(), *layer_tables.counts(_masks(pairs)), *lines]


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the tables: instability (a row a pair), interpolation (a point).

    And mask_layers (a kernel of a subnetwork), without rows where nothing is pruned.
    """
    dense, pairs = _dense_errors(study, results), list(_pairs(study))
    tables: dict[str, list] = {"instability": [], "interpolation": []}
    for pair, line in pairs:
        keys = dataclasses.asdict(pair)
        measured = results.read(line, interpolating.read)
        if measured is not None:
            row = Row(**keys, **line_tables.summary(measured))
            ended = row.iteration == study.last
            tables["instability"].append(_compared(row, dense) if ended else row)
            tables["interpolation"] += line_tables.points(keys, measured)
        elif results.is_unobtainable(line):
            diverged = results.diverged_iteration(line)
            tables["instability"].append(Row(**keys, diverged_iteration=diverged))
    layers = layer_tables.masked(study, _masks(pairs), results)
    return tables | {"mask_layers": layers}


def subject(study: Study) -> str:
    """Returns what the study is about, for the plan's title."""
    kinds, subnetworks = study.config.subnetworks, Subnetworks(study)
    if kinds == (DENSE,):
        return DENSE
    levels = "; ".join(map(subnetworks.describe, subnetworks.studied_levels))
    return f"{', '.join(kinds)}, {levels}"


def figure(
    tables: Mapping[str, "pandas.DataFrame"],
) -> "matplotlib.figure.Figure | None":
    """Returns the paper's figure of these tables; None where every pair diverged."""
    from tflottery.figures import instability as drawing

    if not tables["instability"]["l2_distance"].notna().any():
        return None
    return drawing.draw(tables["instability"], tables["interpolation"])


def answer(tables: Mapping[str, "pandas.DataFrame"]) -> Answer:
    """Returns the instability at the end of training, by subnetwork and k."""
    table = tables["instability"]
    ended = table[table["iteration"] == table["training_iterations"]]
    split = answers.split(ended.rename(columns=lambda name: name.removesuffix("_a")))
    wanted = {
        "instability": f"{split}_instability",
        "batch norm re-estimated": f"{split}_instability_reestimated",
        "train instability": "train_instability" if split == "test" else None,
    }
    found = {
        title: name
        for title, name in wanted.items()
        if name is not None and ended[name].notna().any()
    }
    rows = []
    for (kind, density, k), own in ended.groupby(
        ["subnetwork", "density", "rewind_iteration"], sort=False
    ):
        error = (own[f"{split}_error_a"] + own[f"{split}_error_b"]) / 2
        measured = (*(own[name] for name in found.values()), error)
        rows.append(
            (
                kind if kind == DENSE else f"{kind}, {percent(density)}",
                str(k),
                str(int(error.notna().sum())),
                *(answers.mean_and_std(column, scale=100) for column in measured),
                answers.matching(own),
            )
        )
    title = f"Instability on {split} images, in points (mean ± std over pairs)"
    columns = ("network", "k", "pairs", *found, "error", "matching")
    return Answer(title, columns, rows)


def _dense(study: Study) -> dict[int, Accuracy]:
    """Returns what a subnetwork is compared with: the dense network, by replicate."""
    if study.config.subnetworks == (DENSE,):
        return {}
    return {
        row.replicate: accuracy
        for row, accuracy in accuracy_table.dense_networks(study)
    }


def _dense_errors(study: Study, results: ResultsReader) -> dict[int, float]:
    """Returns the dense networks' test errors by replicate, once all are known."""
    errors, whole = {}, True
    for replicate, accuracy in _dense(study).items():
        measured = results.read(accuracy, accuracies.read)
        if measured is not None and "test_error" in measured:
            errors[replicate] = measured["test_error"]
        whole &= measured is not None or bool(results.diverged_iteration(accuracy))
    return errors if whole else {}


def _compared(row: Row, dense: Mapping[int, float]) -> Row:
    """Returns a row of a subnetwork with the comparison to the dense network."""
    if row.subnetwork == DENSE or row.replicate not in dense:
        return row
    mean = (row.test_error_a + row.test_error_b) / 2
    return dataclasses.replace(
        row,
        dense_test_error=dense[row.replicate],
        matching=is_matching(mean, list(dense.values())),
    )


def _pairs(study: Study) -> Iterator[tuple[Pair, Line]]:
    """Yields every pair of copies at every iteration measured, with its line."""
    subnetworks = Subnetworks(study)
    for subnetwork in _subnetworks(study, subnetworks):
        columns = subnetworks.columns(subnetwork)
        mask = subnetworks.mask(subnetwork)
        # One run a copy, then every pair of them at every iteration.
        copies = {
            data_order: subnetworks.run(subnetwork, data_order=data_order)
            for data_order in range(1, study.config.data_orders + 1)
        }
        for (order_a, run_a), (order_b, run_b) in itertools.combinations(
            copies.items(), 2
        ):
            for iteration in _measured_iterations(study, run_a.first_iteration):
                a, b = State(run_a, iteration), State(run_b, iteration)
                pair = Pair(
                    **columns,
                    data_order_a=order_a,
                    data_order_b=order_b,
                    iteration=iteration,
                    network_a=a.address,
                    network_b=b.address,
                    mask=mask.address if mask is not None else None,
                )
                line = Line(
                    a,
                    b,
                    study.evaluation_examples,
                    study.config.measured_splits(),
                    _reestimation_examples(study),
                )
                yield pair, line


def _masks(pairs: Sequence[tuple[Pair, Line]]) -> list[layer_tables.Masked]:
    """Returns the masks of each pair, which both networks have."""
    return [(pair, line.a.run.mask) for pair, line in pairs]


def _subnetworks(study: Study, subnetworks: Subnetworks) -> Iterator[Subnetwork]:
    """Yields what is copied, of every kind, level, replicate and k."""
    for kind in study.config.subnetworks:
        levels = (0,) if kind == DENSE else subnetworks.studied_levels
        for level, replicate, k in itertools.product(
            levels, study.replicates, study.rewind_iterations
        ):
            yield Subnetwork(
                kind=kind, level=level, replicate=replicate, rewind_iteration=k
            )


def _reestimation_examples(study: Study) -> int:
    """Returns on how many training images batch norm is re-estimated; 0: not at all."""
    if not study.facts.has_batch_norm:
        return 0
    asked = study.config.reestimation_examples
    if asked is None:
        limit = study.evaluation_examples or _MOST_REESTIMATION
        asked = min(max(limit, _LEAST_REESTIMATION), _MOST_REESTIMATION)
    return interpolating.whole_batches(asked, num_train=study.facts.data.num_train)


def _measured_iterations(study: Study, first: int) -> Sequence[int]:
    """Returns when a pair is measured whose own training begins at an iteration."""
    if not study.config.throughout:
        return (study.last,)
    ends = (study.iterations(f"{epoch}ep") for epoch in itertools.count(1))
    within = itertools.takewhile(lambda iteration: iteration < study.last, ends)
    return (*(iteration for iteration in within if iteration > first), study.last)


if __name__ == "__main__":
    program.run(__spec__.name)
