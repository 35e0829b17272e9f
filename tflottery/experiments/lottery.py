"""How sparse can a network be and train as well? IMP against random subnetworks.

Iterative magnitude pruning with rewinding to iteration k (LMC, Algorithm 2), random
pruning and random reinitialization, against the unpruned network: LMC Figure 5; the
best over all k and the studied density, Figure 8 and Appendix A; The Early Phase,
Figures 1 and A2.

The random controls train at one k (--random_rewind_iterations), as in the papers'
figures; IMP at every k. Accuracy is that of the end of training.
"""

import collections
import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence

from tflottery.analysis import statistics
from tflottery.analysis.matching import is_matching
from tflottery.components.accuracies import Accuracy
from tflottery.components.component import Artifact
from tflottery.components.runs import State
from tflottery.core import durations
from tflottery.core.durations import Duration
from tflottery.execution.findings import Findings
from tflottery.experiments import config as shared
from tflottery.experiments import entry, trained
from tflottery.experiments.config import option
from tflottery.experiments.keys import NetworkKeys
from tflottery.experiments.study import Study
from tflottery.experiments.subnetworks import DENSE, IMP, KINDS, Subnetworks
from tflottery.experiments.trained import TrainedNetwork, measured_errors

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas

_SPARSE = tuple(kind for kind in KINDS if kind != DENSE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(shared.PruningConfig):
    """Options of the experiment."""

    data_orders: int = option(
        1, "trained copies of each subnetwork; IMP goes on from 1"
    )
    subnetworks: tuple[str, ...] = option(_SPARSE, f"of {', '.join(_SPARSE)}")
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
            levels=2,
        )

    def check(self) -> None:
        """Raises ValueError for what is wrong whatever the data are."""
        super().check()
        unknown = [kind for kind in self.subnetworks if kind not in _SPARSE]
        if unknown or not self.subnetworks:
            raise ValueError(
                f"--subnetworks={','.join(self.subnetworks)!r} has to name some of "
                f"{', '.join(_SPARSE)}."
            )
        for one in self.random_rewind_iterations or ():
            durations.check(one)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Best:
    """IMP at a level, rewound to the k with the lowest mean test error (Figure 8).

    Standard deviations are over networks. `studied` marks the sparsest level that
    matches the dense network (Appendix A).
    """

    model: str
    variant: str
    dataset: str
    training_iterations: int
    config: str
    level: int
    density: float
    axis_density: float
    rewind_iteration: int
    num_networks: int
    test_error_mean: float
    test_error_std: float | None
    dense_test_error_mean: float
    dense_test_error_std: float | None
    matching: bool | None
    studied: bool | None


TABLES = {"accuracy": TrainedNetwork, "best": Best}


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the tables are read from."""
    return [accuracy for _, accuracy in _networks(study)]


def rows(study: Study, findings: Findings) -> dict[str, list]:
    """Returns the tables: accuracy (a row a network) and best (a row a level)."""
    table = trained.rows(_networks(study), findings)
    dense = measured_errors(row for row in table if row.subnetwork == DENSE)
    table = [
        row
        if row.test_error is None
        else dataclasses.replace(row, matching=is_matching(row.test_error, dense))
        for row in table
    ]
    return {"accuracy": table, "best": _best(table, dense)}


def figure(
    tables: Mapping[str, "pandas.DataFrame"], study: Study
) -> "matplotlib.figure.Figure":
    """Returns the paper's figure of these tables."""
    from tflottery.figures import lottery as drawing

    del study
    return drawing.draw(tables["accuracy"], tables["best"])


def _networks(study: Study) -> Iterator[tuple[dict[str, object], Accuracy]]:
    """Yields the columns of every network and what measures it."""
    sparse = Subnetworks(study)
    config = study.config
    replicates = range(1, config.replicates + 1)
    for replicate in replicates:
        keys = study.columns() | sparse.columns(DENSE, 0) | {"replicate": replicate}
        trunk = State(study.trunk(replicate), study.last)
        yield (
            keys | {"data_order": 0, "rewind_iteration": 0},
            Accuracy(trunk, study.evaluation_examples),
        )
    for kind in config.subnetworks:
        for k in study.rewind_iterations if kind == IMP else _random_ks(study):
            for level in range(1, sparse.last_level + 1):
                for replicate in replicates:
                    for order in range(1, config.data_orders + 1):
                        yield _network(
                            study,
                            sparse,
                            kind,
                            level=level,
                            replicate=replicate,
                            k=k,
                            data_order=order,
                        )


def _network(
    study: Study, sparse: Subnetworks, kind: str, *, level: int, **which: int
) -> tuple[dict[str, object], Accuracy]:
    """Returns the columns of a subnetwork and what measures it."""
    run = sparse.run(kind, level=level, **which)
    keys = study.columns() | sparse.columns(kind, level)
    keys |= {"replicate": which["replicate"], "data_order": which["data_order"]}
    keys["rewind_iteration"] = which["k"]
    return keys, Accuracy(State(run, study.last), study.evaluation_examples)


def _random_ks(study: Study) -> Sequence[int]:
    """Returns the iterations at which the random kinds begin."""
    given = study.config.random_rewind_iterations
    if given is None:
        return study.rewind_iterations[:1]
    return study.grid("random_rewind_iterations", given)


def _best(table: Sequence[TrainedNetwork], dense: Sequence[float]) -> list[Best]:
    """Returns the best k of every level of IMP that has been measured."""
    by_level: dict[int, dict[int, list[TrainedNetwork]]] = collections.defaultdict(dict)
    for row in table:
        if row.subnetwork == IMP and row.test_error is not None:
            by_level[row.level].setdefault(row.rewind_iteration, []).append(row)
    if not dense:
        return []
    found = [_best_of(by_k, dense) for _, by_k in sorted(by_level.items())]
    matching = [best.level for best in found if best.matching]
    if all(best.matching is None for best in found):
        return found
    studied = max(matching, default=None)
    return [dataclasses.replace(one, studied=one.level == studied) for one in found]


def _best_of(
    by_k: Mapping[int, Sequence[TrainedNetwork]], dense: Sequence[float]
) -> Best:
    """Returns the k with the lowest mean error, the earlier one of equals."""
    k = min(sorted(by_k), key=lambda k: statistics.mean(measured_errors(by_k[k])))
    errors, first = measured_errors(by_k[k]), by_k[k][0]
    mean = statistics.mean(errors)
    shared_columns = {
        field.name: getattr(first, field.name)
        for field in dataclasses.fields(Best)
        if field.name in {one.name for one in dataclasses.fields(NetworkKeys)}
    }
    return Best(
        **shared_columns,
        rewind_iteration=k,
        num_networks=len(errors),
        test_error_mean=mean,
        test_error_std=_std(errors),
        dense_test_error_mean=statistics.mean(dense),
        dense_test_error_std=_std(dense),
        matching=is_matching(mean, dense),
        studied=None,
    )


def _std(errors: Sequence[float]) -> float | None:
    """Returns the standard deviation; None of a single one."""
    return statistics.std(errors) if len(errors) > 1 else None


if __name__ == "__main__":
    entry.run(__spec__.name)
