"""What of the state at iteration k does a ticket need? Perturbations (EP, section 5).

IMP's subnetworks at iteration k are changed before they are trained: signs and
magnitudes of other times (Figures 4 and A4), weights shuffled (Figures 5, 6, A5, A6),
Gaussian noise in units of the initializer's standard deviation (Figures 7 and A7). One
line a condition, beside the unchanged tickets of k and of iteration 0. How far each
layer was moved, and how many signs change between 0 and the k (Section 5.1), over all
weights and over the tickets' survivors, stand in tables of their own.

Readings where the paper is silent: the mask, biases and batch norm statistics stay
those of k; a filter is one 3x3 kernel; the change is measured over surviving weights.
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping

from tflottery.components.component import Artifact
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies import (
    accuracy_table,
    layer_tables,
    perturbed_runs,
    program,
    sign_table,
)
from tflottery.studies.answers import Answer
from tflottery.studies.config import option
from tflottery.studies.layer_tables import PerturbedLayer
from tflottery.studies.perturbed_runs import Condition, PerturbedNetwork
from tflottery.studies.pruning_config import PerturbedConfig
from tflottery.studies.sign_table import PlannedChange, SignChange
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import IMP, Subnetworks

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PerturbedConfig):
    """Options of the experiment; those of a perturbation are None for its own."""

    perturbation: str = option(
        "gaussian_noise",
        "what is changed: sign_magnitude, shuffle, gaussian_noise or one of your own",
    )
    mixes: tuple[str, ...] | None = option(
        None,
        "of sign_magnitude: MAGNITUDES:SIGNS, each of init, k, fresh; None: init:init, "
        "fresh:k, init:k, k:init",
    )
    scope: tuple[str, ...] | None = option(
        None,
        "of shuffle: globally, layers, filters, channels; None: the first three",
    )
    keep_signs: bool | None = option(
        None, "of shuffle: only among weights of the same sign; None: no"
    )
    initial_signs: bool | None = option(
        None, "of shuffle: magnitudes move, signs are those at iteration 0; None: no"
    )
    noise_scales: tuple[float, ...] | None = option(
        None,
        "of gaussian_noise, in standard deviations of the initializer; None: 0.5,1,2,3",
    )

    options: tuple[str, ...] | None = option(
        None,
        "of a perturbation of your own: NAME=VALUE, repeatedly for a line each; None: "
        "its defaults",
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        return cls(
            model="lenet",
            dataset="digits",
            replicates=2,
            rewind_iterations=(8,),
            training_iterations=24,
            evaluation_examples=100,
            levels=("1-2",),
            noise_scales=(0.5, 3.0),
        )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        super().validate()
        self.conditions()

    def conditions(self) -> list[Condition]:
        """Returns the perturbation with each combination of its options.

        Raises:
          ValueError: an unknown perturbation, or an option or a value that it does not
        take.
        """
        names = ("mixes", "scope", "keep_signs", "initial_signs", "noise_scales")
        given = self._given(names)
        own = perturbed_runs.parsed_options(self.perturbation, self.options or ())
        if twice := sorted(given.keys() & own.keys()):
            raise ValueError(f"--{twice[0]} is also among --options. Give one of them.")
        return perturbed_runs.conditions(self.perturbation, given | own)


TABLES = {
    "accuracy": PerturbedNetwork,
    "perturbed_layers": PerturbedLayer,
    "sign_changes": SignChange,
}


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the tables are read from."""
    compared = [change.measure for change in _sign_changes(study)]
    return [*perturbed_runs.artifacts(_networks(study)), *compared]


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the tables: accuracy (a row a network) and those of layers and signs."""
    networks = _networks(study)
    return {
        "accuracy": perturbed_runs.rows(study, networks, results),
        "perturbed_layers": layer_tables.perturbed(study, networks, results),
        "sign_changes": sign_table.rows(_sign_changes(study), results),
    }


def subject(study: Study) -> str:
    """Returns what the study is about, for the plan's title."""
    sparse = Subnetworks(study)
    tried = "; ".join(one.text for one in study.config.conditions())
    name = study.config.perturbation
    return f"{name} ({tried}) to {sparse.describe(sparse.levels[-1])}"


def figure(
    tables: Mapping[str, "pandas.DataFrame"],
) -> "matplotlib.figure.Figure | None":
    """Returns the paper's figure of this table; None where no test error is."""
    from tflottery.figures import perturbation as drawing

    if not accuracy_table.shows_accuracy(tables["accuracy"]):
        return None
    return drawing.draw(tables["accuracy"])


def answer(tables: Mapping[str, "pandas.DataFrame"]) -> Answer:
    """Returns accuracies of the tickets of each k and change, by density."""
    return perturbed_runs.answer(tables["accuracy"])


def _networks(study: Study) -> list[perturbed_runs.PerturbedPlan]:
    """Returns every network at every level."""
    levels = Subnetworks(study).levels
    tried = study.config.conditions()
    return list(perturbed_runs.networks(study, tried, levels=levels))


def _sign_changes(study: Study) -> Iterator[PlannedChange]:
    """Yields every pair of 0 and each k: all weights, and the tickets' survivors."""
    subnetworks = Subnetworks(study)
    iterations = sorted({0, *study.rewind_iterations})
    yield from sign_table.of_dense(study, iterations)
    yield from sign_table.of_subnetworks(
        study, subnetworks, iterations, levels=subnetworks.levels, kind=IMP
    )


if __name__ == "__main__":
    program.run(__spec__.name)
