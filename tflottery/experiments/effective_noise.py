"""Is a perturbation as harmful as it is large? Effective noise (EP, section 5.3).

The accuracy of perturbed tickets at one density against the standard deviation of the
change over the surviving weights, a point a perturbation (Figures 8 and A8), and
Pearson's correlation over these points. The 14 points are those of the paper: the
ticket of k, Gaussian noise of four sizes, three mixes of signs and magnitudes, and
weights shuffled in three scopes, with and without regard to sign. Networks without
convolutions have 12: shuffles within filters leave their tickets as they are.
"""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence

from tflottery.analysis import noise, statistics
from tflottery.components.component import Artifact
from tflottery.core.percentages import percent
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies import columns, layer_tables, perturbed_runs, program
from tflottery.studies.answers import Answer
from tflottery.studies.layer_tables import PerturbedLayer
from tflottery.studies.perturbed_runs import Condition, PerturbedNetwork
from tflottery.studies.pruning_config import PerturbedConfig
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import DENSE, Subnetworks

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas

_OPTIONS: tuple[tuple[str, Mapping[str, object]], ...] = (
    ("gaussian_noise", {}),
    ("sign_magnitude", {"mixes": ("k:init", "init:k", "fresh:k")}),
    ("shuffle", {}),
    ("shuffle", {"keep_signs": True}),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PerturbedConfig):
    """Options of the experiment."""

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        return cls(
            model="lenet",
            dataset="digits",
            replicates=1,
            rewind_iterations=(8,),
            training_iterations=16,
            evaluation_examples=100,
            levels=("1",),
        )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        super().validate()
        conditions()


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisePoint(columns.LevelKeys):
    """A perturbation at a k: means over replicates, a point of Figure 8.

    Errors are fractions in [0, 1]; standard deviations are over replicates.
    """

    rewind_iteration: int
    perturbation: str
    condition: str
    num_replicates: int
    effective_std: float
    test_error_mean: float
    test_error_std: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Correlation(columns.LevelKeys):
    """Pearson's correlation of accuracy with effective standard deviation at a k.

    `r` is None where fewer than three points, or points all alike, leave it undefined;
    `p` is two-sided.
    """

    rewind_iteration: int
    num_points: int
    r: float | None
    p: float | None


TABLES = {
    "points": NoisePoint,
    "correlation": Correlation,
    "accuracy": PerturbedNetwork,
    "perturbed_layers": PerturbedLayer,
}


def conditions() -> list[Condition]:
    """Returns the perturbations of the paper's figure."""
    return [one for which in _OPTIONS for one in perturbed_runs.conditions(*which)]


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the tables are read from."""
    return perturbed_runs.artifacts(_networks(study))


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the tables: points, correlation (a row a k), accuracy (a network).

    And perturbed_layers: a kernel of a perturbed network.
    """
    networks = _networks(study)
    table = perturbed_runs.rows(study, networks, results)
    points = _points(table, ks=study.rewind_iterations)
    return {
        "points": points,
        "correlation": _correlations(points),
        "accuracy": table,
        "perturbed_layers": layer_tables.perturbed(study, networks, results),
    }


def subject(study: Study) -> str:
    """Returns what the study is about, for the plan's title."""
    sparse = Subnetworks(study)
    levels = "; ".join(map(sparse.describe, sparse.studied_levels))
    return f"{len(conditions())} changes of {levels}"


def figure(
    tables: Mapping[str, "pandas.DataFrame"],
) -> "matplotlib.figure.Figure":
    """Returns the paper's figure of these tables."""
    from tflottery.figures import effective_noise as drawing

    return drawing.draw(tables["points"], tables["correlation"])


def answer(tables: Mapping[str, "pandas.DataFrame"]) -> Answer:
    """Returns the correlation of accuracy with the size of the change, by k."""
    rows = [
        (
            percent(row.density),
            str(row.rewind_iteration),
            str(row.num_points),
            "" if math.isnan(row.r) else f"{row.r:.3f}",
            "" if math.isnan(row.p) else f"{row.p:.2g}",
        )
        for row in tables["correlation"].astype({"r": float, "p": float}).itertuples()
    ]
    title = "Correlation of test accuracy with the standard deviation of the change"
    return Answer(title, ("density", "k", "points", "r", "p"), rows)


def _networks(study: Study) -> list[perturbed_runs.PerturbedPlan]:
    """Returns every network at the levels studied."""
    levels = Subnetworks(study).studied_levels
    return list(perturbed_runs.networks(study, conditions(), levels=levels))


def _points(
    table: Sequence[PerturbedNetwork], *, ks: Sequence[int]
) -> list[NoisePoint]:
    """Returns the points of the figure; the ticket of 0 is none, unless 0 is a k.

    A perturbation that changes nothing is none: it would count the ticket again.
    """
    groups: dict[tuple, list[PerturbedNetwork]] = {}
    for row in table:
        measured = None not in (row.test_error, row.effective_std)
        if measured and row.subnetwork != DENSE and row.rewind_iteration in ks:
            key = (row.level, row.rewind_iteration, row.perturbation, row.condition)
            groups.setdefault(key, []).append(row)
    return [_point(group) for group in groups.values() if not _is_repetition(group)]


def _is_repetition(group: Sequence[PerturbedNetwork]) -> bool:
    """Returns whether a perturbation left every ticket as it is."""
    sizes = [(row.effective_std, row.effective_mean) for row in group]
    return group[0].perturbation != perturbed_runs.NONE and noise.is_none(sizes)


def _point(group: Sequence[PerturbedNetwork]) -> NoisePoint:
    """Returns the point of the replicates of one condition."""
    errors = [row.test_error for row in group]
    means = {
        "num_replicates": len(group),
        "effective_std": statistics.mean([row.effective_std for row in group]),
        "test_error_mean": statistics.mean(errors),
        "test_error_std": statistics.std_of_several(errors),
    }
    return NoisePoint(**(columns.columns(group[0], NoisePoint) | means))


def _correlations(points: Sequence[NoisePoint]) -> list[Correlation]:
    """Returns the correlation over the points of each level and k, each once."""
    groups: dict[tuple[int, int], list[NoisePoint]] = {}
    for point in points:
        groups.setdefault((point.level, point.rewind_iteration), []).append(point)
    found = []
    for (_, k), own in groups.items():
        r, p = statistics.pearson(
            [point.effective_std for point in own],
            [1 - point.test_error_mean for point in own],
        )
        found.append(
            Correlation(
                **columns.columns(own[0], columns.LevelKeys),
                rewind_iteration=k,
                num_points=len(own),
                r=None if math.isnan(r) else r,
                p=None if math.isnan(p) else p,
            )
        )
    return found


if __name__ == "__main__":
    program.run(__spec__.name)
