"""How sparse can a network be and train as well? IMP against random subnetworks.

Iterative magnitude pruning with rewinding to iteration k (LMC, Algorithm 2), random
pruning and random reinitialization, against the unpruned network: LMC Figure 5; the
best over all k and the studied density, Figure 8 and Appendix A; The Early Phase,
Figures 1 and A2. Beside them any other criterion and its controls, what goes on from
trained weights, and gradual pruning by tensorflow-model-optimization.

The random controls train at one k (--random_rewind_iterations), as in the papers'
figures; IMP at every k. Accuracy is that of the end of training.
"""

import collections
import dataclasses
import itertools
import typing
from collections.abc import Iterator, Mapping, Sequence

from tflottery.analysis import statistics
from tflottery.analysis.matching import is_matching
from tflottery.components.component import Artifact
from tflottery.components.gradual_pruning import gradual_pruning
from tflottery.core.durations import Duration
from tflottery.core.percentages import percent
from tflottery.core.recipes import LABELS
from tflottery.core.registry import PRETEXTS
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies import (
    accuracy_table,
    answers,
    columns,
    layer_tables,
    program,
)
from tflottery.studies import config as shared
from tflottery.studies.accuracy_table import TrainedNetwork, measured_errors
from tflottery.studies.answers import Answer
from tflottery.studies.config import option
from tflottery.studies.layer_tables import MaskLayer
from tflottery.studies.pruning_config import PruningConfig
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import (
    IMP,
    RANDOM_PRUNING,
    RANDOM_REINIT,
    Subnetwork,
    Subnetworks,
    sparse_kinds,
)
from tflottery.training import precisions

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas

GRADUAL_PRUNING = "gradual_pruning"
# Begin at the first k alone, unless they are told otherwise.
_RANDOM = (RANDOM_PRUNING, RANDOM_REINIT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PruningConfig):
    """Options of the experiment."""

    data_orders: int = option(
        1, "trained copies of each subnetwork; IMP goes on from 1"
    )
    subnetworks: tuple[str, ...] = option(
        (IMP, *_RANDOM),
        "imp, random_pruning, random_reinit, adjusted_random, lr_rewinding, "
        "fine_tuning, gradual_pruning (tensorflow-model-optimization), or a pruning "
        "criterion such as snip and its controls snip_shuffled, snip_reinit",
    )
    random_rewind_iterations: tuple[Duration, ...] | None = option(
        None, "iterations k of the random kinds; None: the first that IMP rewinds to"
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        return cls(
            model="lenet",
            dataset="digits",
            replicates=2,
            rewind_iterations=(0, 8),
            training_iterations=24,
            evaluation_examples=100,
            levels=("1-2",),
        )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        super().validate()
        shared.validate_count(
            "data_orders", self.data_orders, most=shared.MOST_REPETITIONS
        )
        known = (*sparse_kinds(), GRADUAL_PRUNING)
        shared.validate_names("subnetworks", self.subnetworks, known=known)
        if GRADUAL_PRUNING in self.subnetworks:
            self._validate_gradual_pruning()
        if self.random_rewind_iterations == ():
            raise ValueError(
                "--random_rewind_iterations is empty: leave it out for the first k, or "
                "choose kinds with --subnetworks."
            )
        self.validate_iterations("random_rewind_iterations")

    def _validate_gradual_pruning(self) -> None:
        """Raises ValueError for options that its library does not follow."""
        entry = PRETEXTS[self.task] if self.task != LABELS else {}
        own = [name for name in ("losses", "unlabeled") if entry and entry[name]]
        if own or self.precision == precisions.MIXED_BFLOAT16:
            raise ValueError(
                f"--subnetworks={GRADUAL_PRUNING} trains by another library, in "
                f"float32 and on a cross-entropy, not with --task={self.task} and "
                f"--precision={self.precision}. Leave it out of --subnetworks."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Best(columns.LevelKeys):
    """IMP at a level, rewound to the k with the lowest mean test error (Figure 8).

    The best of `num_rewind_iterations` k, of which none lacks a network. Standard
    deviations are over networks. `studied` marks the sparsest level that matches the
    dense network (Appendix A).
    """

    rewind_iteration: int
    num_rewind_iterations: int
    num_networks: int
    test_error_mean: float
    test_error_std: float | None
    dense_test_error_mean: float
    dense_test_error_std: float | None
    matching: bool | None
    studied: bool | None


TABLES = {"accuracy": TrainedNetwork, "best": Best, "mask_layers": MaskLayer}


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the tables are read from."""
    networks = list(_networks(study))
    measured = [accuracy for _, accuracy in networks]
    return [*measured, *layer_tables.counts(layer_tables.with_masks(networks))]


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the tables: accuracy (a row a network), best (a level), mask_layers."""
    networks = list(_networks(study))
    table = accuracy_table.rows(networks, results)
    dense = accuracy_table.dense_errors(study, table)
    table = accuracy_table.compared(table, dense=dense)
    return {
        "accuracy": table,
        "best": _best(study, table, dense),
        "mask_layers": layer_tables.masked(
            study, layer_tables.with_masks(networks), results
        ),
    }


def subject(study: Study) -> str:
    """Returns what the study is about, for the plan's title."""
    sparse = Subnetworks(study)
    kinds = ", ".join(study.config.subnetworks)
    return f"{kinds} to {sparse.describe(sparse.levels[-1])}"


def figure(
    tables: Mapping[str, "pandas.DataFrame"],
) -> "matplotlib.figure.Figure | None":
    """Returns the paper's figure of these tables; None where no test error is."""
    from tflottery.figures import lottery as drawing

    if not accuracy_table.shows_accuracy(tables["accuracy"]):
        return None
    return drawing.draw(tables["accuracy"], tables["best"])


def answer(tables: Mapping[str, "pandas.DataFrame"]) -> Answer:
    """Returns accuracies by level: IMP's at its best k, and the other kinds'."""
    networks, best = tables["accuracy"], tables["best"].set_index("level")
    dense = networks[networks["level"] == 0]
    sparse = networks[networks["level"] > 0]
    kinds = list(sparse["subnetwork"].unique())
    rows = []
    if len(dense):
        found = answers.accuracy(dense)
        rows.append(("0", "100%", found, *("" for _ in kinds[1:]), "", ""))
    for level, own in sparse.groupby("level"):
        k = best["rewind_iteration"].get(level)
        cells = []
        for kind in kinds:
            shown = own[own["subnetwork"] == kind]
            if kind == IMP and k is not None:
                shown = shown[shown["rewind_iteration"] == k]
            cells.append(answers.accuracy(shown))
        density = percent(own["density"].iloc[0])
        told = "" if k is None else str(k)
        matches = best["matching"].get(level)
        matches = {True: "yes", False: "no"}.get(matches, "")
        rows.append((str(level), density, *cells, told, matches))
    columns = ("level", "density", *(kinds or ["dense"]), "best k", "matching")
    return Answer(answers.accuracy_title(networks), columns, rows)


def _networks(study: Study) -> Iterator[accuracy_table.PlannedNetwork]:
    """Yields every network, and what measures it."""
    yield from accuracy_table.dense_networks(study)
    subnetworks = Subnetworks(study)
    config = study.config
    for kind in config.subnetworks:
        if kind == GRADUAL_PRUNING:
            yield from _gradually_pruned(study)
            continue
        for k, level, replicate, data_order in itertools.product(
            _rewind_iterations(study, kind),
            subnetworks.levels,
            study.replicates,
            range(1, config.data_orders + 1),
        ):
            network = Subnetwork(
                kind=kind, level=level, replicate=replicate, rewind_iteration=k
            )
            yield accuracy_table.planned(
                study,
                subnetworks.columns(network),
                subnetworks.run(network, data_order=data_order),
                data_order=data_order,
            )


def _gradually_pruned(study: Study) -> Iterator[accuracy_table.PlannedNetwork]:
    """Yields the networks that are pruned while they train, which rewind to nothing."""
    subnetworks = Subnetworks(study)
    for level, replicate in itertools.product(subnetworks.levels, study.replicates):
        pruned = gradual_pruning(
            study.trunk(replicate),
            iterations=study.last,
            kernels=subnetworks.kernels,
            num_survivors=subnetworks.num_survivors(level),
        )
        # Its densities are those of any kind.
        names = subnetworks.columns(
            Subnetwork(kind=IMP, level=level, replicate=replicate, rewind_iteration=0)
        )
        row = TrainedNetwork(
            **names | {"subnetwork": GRADUAL_PRUNING},
            data_order=0,
            network=pruned.address,
            mask=pruned.address,
        )
        yield accuracy_table.PlannedNetwork(row, study.accuracy(pruned))


def _rewind_iterations(study: Study, kind: str) -> Sequence[int]:
    """Returns the iterations at which a kind begins; of random ones the first alone."""
    usual = Subnetworks(study).rewind_iterations(kind)
    if kind not in _RANDOM:
        return usual
    given = study.config.random_rewind_iterations
    if given is None:
        return usual[:1]
    return study.grid("random_rewind_iterations", given)


def _best(
    study: Study, table: Sequence[TrainedNetwork], dense: Sequence[float]
) -> list[Best]:
    """Returns the best k of every level of IMP, among those with all their networks.

    Levels of which a network is neither measured nor known to diverge wait for it, and
    so does the level studied for all of them.
    """
    if not dense:
        return []
    num_networks = len(study.replicates) * study.config.data_orders
    num_wanted = len(study.rewind_iterations) * num_networks
    num_known, by_level = collections.Counter(), collections.defaultdict(dict)
    for row in table:
        if row.subnetwork == IMP:
            num_known[row.level] += 1
            if row.test_error is not None:
                by_k = by_level[row.level]
                by_k.setdefault(row.rewind_iteration, []).append(row)
    found = []
    for level, by_k in sorted(by_level.items()):
        whole = {k: rows for k, rows in by_k.items() if len(rows) == num_networks}
        if whole and num_known[level] == num_wanted:
            found.append(_best_of(whole, dense))
    waiting = num_known.total() < num_wanted * len(Subnetworks(study).levels)
    if waiting or all(best.matching is None for best in found):
        return found
    studied = max((best.level for best in found if best.matching), default=None)
    return [dataclasses.replace(one, studied=one.level == studied) for one in found]


def _best_of(
    by_k: Mapping[int, Sequence[TrainedNetwork]], dense: Sequence[float]
) -> Best:
    """Returns the k with the lowest mean error, the earlier one of equals."""
    k = min(sorted(by_k), key=lambda k: statistics.mean(measured_errors(by_k[k])))
    errors, first = measured_errors(by_k[k]), by_k[k][0]
    mean = statistics.mean(errors)
    return Best(
        **columns.columns(first, columns.LevelKeys),
        rewind_iteration=k,
        num_rewind_iterations=len(by_k),
        num_networks=len(errors),
        test_error_mean=mean,
        test_error_std=statistics.std_of_several(errors),
        dense_test_error_mean=statistics.mean(dense),
        dense_test_error_std=statistics.std_of_several(dense),
        matching=is_matching(mean, dense),
        studied=None,
    )


if __name__ == "__main__":
    program.run(__spec__.name)
