"""How does a network change in its first iterations? Telemetry of the early phase.

Accuracy, loss, magnitude and signs of weights, gradients, distance and angle to the
initial and the final weights, ten weights one by one: The Early Phase of Neural Network
Training, Section 4 with Figures 2 and 3 for ResNet-20, Figures A1 and A3 for the other
networks (--model).

The network is the dense one that the lottery prunes, followed to the end of training.
Weights are all kernels of convolutions and dense layers, without biases and batch norm.
The paper does not define its gradient magnitude, so norm and mean absolute value both
stand in the table (tflottery/training/gradients.py says of what).
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping

from tflottery.components import accuracies, observing
from tflottery.components.accuracies import Accuracy
from tflottery.components.component import Artifact
from tflottery.components.observing import Telemetry
from tflottery.components.runs import State
from tflottery.core import seeds
from tflottery.core.durations import Duration
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies import (
    answers,
    phase_table,
    program,
    sign_table,
)
from tflottery.studies import config as shared
from tflottery.studies.answers import Answer
from tflottery.studies.columns import NetworkKeys
from tflottery.studies.config import option
from tflottery.studies.phase_table import Phase
from tflottery.studies.sign_table import PlannedChange, SignChange
from tflottery.studies.study import Study

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas

# The paper shows the first 4,000 and does not say how densely. Its k are among these.
_USUAL = (
    *range(10),
    *range(10, 100, 10),
    *range(100, 500, 25),
    *range(500, 1000, 50),
    *range(1000, 4001, 100),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(shared.Config):
    """Options of the experiment."""

    PREFERRED_VARIANT: typing.ClassVar[str | None] = "early_phase"
    REWINDS: typing.ClassVar[bool] = False

    model: str = option("resnet20", "network to train")
    iterations: tuple[Duration, ...] | None = option(
        None,
        f"iterations measured, such as 0,10,1ep; None: {len(_USUAL)} of them up to "
        f"{_USUAL[-1]}, the earlier the denser",
    )
    final_iteration: Duration | None = option(
        None, "whose weights count as the final ones; None: the end of training"
    )
    sign_iterations: tuple[Duration, ...] | None = option(
        None,
        "iterations of which each pair is compared in signs, such as 500,2000; None: "
        "of those measured 0 and the recipe's k",
    )
    gradient_examples: int = option(
        1024,
        "training images over whose batches gradients are measured, a fixed random "
        "choice",
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        return cls(
            model="lenet",
            dataset="digits",
            replicates=2,
            training_iterations=24,
            evaluation_examples=100,
            iterations=(0, 1, 4, 10, 20),
            sign_iterations=(20, 0, 4),
            gradient_examples=150,
        )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        super().validate()
        if self.iterations == ():
            raise ValueError(
                "--iterations is empty: leave it out for the usual ones, or name at "
                "least one."
            )
        self.validate_iterations("iterations", "sign_iterations", "final_iteration")
        shared.validate_count("gradient_examples", self.gradient_examples)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading(NetworkKeys):
    """A row of telemetry.csv: a dense network at an iteration.

    Attributes:
      iteration: updates done.
      final_iteration: of the weights that count as final.
      network: address of the network in the store.
      final_network: address of the same network at `final_iteration`.
      train_error: fraction of misclassified examples, in [0, 1].
      test_error: likewise.
      train_loss: mean cross-entropy, in nats.
      test_loss: likewise.
      mean_weight_magnitude: mean absolute value of all kernels' weights.
      fraction_of_signs_changed: of the weights, those whose sign is not that of
        initialization, in [0, 1]; a weight of exactly 0 has a sign of its own.
      gradient_examples: training images over whose batches gradients are measured.
      gradient_norm: Euclidean norm of a batch's gradient with respect to the kernels,
        the mean over batches.
      mean_gradient_magnitude: mean absolute value of that gradient, likewise.
      l2_from_initial: Euclidean distance to the weights of iteration 0.
      l2_from_final: likewise to those of `final_iteration`.
      cosine_to_initial: of the angle to the weights of iteration 0.
      cosine_to_final: likewise to those of `final_iteration`.
      diverged_iteration: when the training diverged; without its end, nothing that
        telemetry adds to errors and losses is measured.
    """

    iteration: int
    final_iteration: int
    network: str | None = None
    final_network: str | None = None
    train_error: float | None = None
    test_error: float | None = None
    train_loss: float | None = None
    test_loss: float | None = None
    mean_weight_magnitude: float | None = None
    fraction_of_signs_changed: float | None = None
    gradient_examples: int | None = None
    gradient_norm: float | None = None
    mean_gradient_magnitude: float | None = None
    l2_from_initial: float | None = None
    l2_from_final: float | None = None
    cosine_to_initial: float | None = None
    cosine_to_final: float | None = None
    diverged_iteration: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weight(NetworkKeys):
    """A row of weights.csv: one of ten random weights at an iteration.

    Attributes:
      iteration: updates done.
      weight: which of the replicate's ten, from 1.
      path: of the kernel it is in.
      position: its index in the flattened kernel.
      value: the weight.
    """

    iteration: int
    weight: int
    path: str
    position: int
    value: float


TABLES = {
    "telemetry": Reading,
    "weights": Weight,
    "phases": Phase,
    "sign_changes": SignChange,
}


def plan(study: Study) -> list[Artifact]:
    """Returns the artifacts that the tables are read from."""
    measured = [one for _, *both in _measurements(study) for one in both]
    return [*measured, *(change.measure for change in _sign_changes(study))]


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the tables: telemetry, weights, phases and sign_changes."""
    readings, weights = [], []
    for keys, accuracy, measure in _measurements(study):
        found = dict(results.read(accuracy, accuracies.read) or {})
        found |= results.read(measure, observing.read) or {}
        weights += [
            Weight(**keys, weight=number, **weight)
            for number, weight in enumerate(found.pop("weights", ()), start=1)
        ]
        diverged = results.diverged_iteration(measure)
        if found or diverged is not None:
            own = {
                "final_iteration": measure.final.iteration,
                "network": measure.of.address,
                "final_network": measure.final.address,
                "diverged_iteration": diverged,
            }
            readings.append(Reading(**keys | found | own))
    return {
        "telemetry": readings,
        "weights": weights,
        "phases": phase_table.rows(
            study, readings, num_iterations=len(_iterations(study))
        ),
        "sign_changes": sign_table.rows(_sign_changes(study), results),
    }


def subject(study: Study) -> str:
    """Returns what the study is about, for the plan's title."""
    iterations, final = _iterations(study), _final_iteration(study)
    text = (
        f"measured at iterations {iterations[0]:,} to {iterations[-1]:,} "
        f"({len(iterations)} of them), final weights of {final:,}"
    )
    beyond = [k for k in _USUAL if k > final]
    if study.config.iterations is None and beyond:
        text += f" (the usual {beyond[0]:,} to {_USUAL[-1]:,}: beyond that)"
    return text


def figure(
    tables: Mapping[str, "pandas.DataFrame"],
) -> "matplotlib.figure.Figure":
    """Returns the paper's figure of these tables."""
    from tflottery.figures import telemetry as drawing

    return drawing.draw(tables["telemetry"], tables["weights"], tables["phases"])


def answer(tables: Mapping[str, "pandas.DataFrame"]) -> Answer:
    """Returns means over replicates at some of the iterations."""
    table = tables["telemetry"]
    told = {
        "weight": ("mean_weight_magnitude", 1, 4),
        "signs changed (%)": ("fraction_of_signs_changed", 100, 1),
        "gradient norm": ("gradient_norm", 1, 3),
        "from initial": ("l2_from_initial", 1, 2),
        "to final": ("l2_from_final", 1, 2),
    }
    split = answers.split(table)
    rows = [
        (
            str(iteration),
            answers.mean_and_std(1 - own[f"{split}_error"], scale=100),
            *(
                answers.mean_and_std(own[name], scale=scale, digits=digits)
                for name, scale, digits in told.values()
            ),
        )
        for iteration, own in table.groupby("iteration")
    ]
    columns = ("iteration", f"{split} accuracy (%)", *told)
    return Answer("Telemetry (mean ± std over replicates)", columns, rows)


def _measurements(
    study: Study,
) -> Iterator[tuple[dict[str, object], Accuracy, Telemetry]]:
    """Yields the columns of every network at every iteration and what measures it."""
    examples = _whole_batches(study)
    final_iteration = _final_iteration(study)
    for replicate in study.replicates:
        chosen_seed = seeds.seed("chosen_weights", replicate=replicate)
        initial = _state(study, replicate, 0)
        final = _state(study, replicate, final_iteration)
        for iteration in _iterations(study):
            state = _state(study, replicate, iteration)
            keys = study.columns() | {"replicate": replicate, "iteration": iteration}
            measure = Telemetry(state, initial, final, examples, chosen_seed)
            yield keys, study.accuracy(state), measure


def _sign_changes(study: Study) -> Iterator[PlannedChange]:
    """Yields every pair of the iterations that are compared in signs."""
    given = study.config.sign_iterations
    if given is None:
        usual = {0, *study.rewind_iterations} & {*_iterations(study)}
        return sign_table.of_dense(study, usual)
    return sign_table.of_dense(study, study.grid("sign_iterations", given))


def _whole_batches(study: Study) -> int:
    """Returns how many training images give gradients: those of whole batches."""
    num_train = study.facts.data.num_train
    size = min(study.recipe.batch_size, num_train)
    wanted = min(study.config.gradient_examples, num_train)
    return max(wanted // size, 1) * size


def _state(study: Study, replicate: int, iteration: int) -> State:
    """Returns a replicate's dense network at an iteration.

    Those of the paper's k keep slots, as the lottery's do, which goes on from them.
    """
    if iteration in study.rewind_iterations:
        return study.trunk_state(replicate, iteration)
    return State(study.trunk(replicate), iteration)


def _final_iteration(study: Study) -> int:
    """Returns the iteration of the weights that count as final."""
    given = study.config.final_iteration
    if given is None:
        return study.last
    (iteration,) = study.grid("final_iteration", (given,))
    return iteration


def _iterations(study: Study) -> tuple[int, ...]:
    """Returns the iterations measured, ascending; the usual ones as far as they go.

    Raises:
      ValueError: one that was given is beyond the final iteration.
    """
    given, final = study.config.iterations, _final_iteration(study)
    if given is None:
        return tuple(k for k in _USUAL if k <= final)
    iterations = study.grid("iterations", given)
    if iterations[-1] > final:
        raise ValueError(
            f"--final_iteration={study.config.final_iteration!r} is iteration {final}, "
            f"but --iterations goes to {iterations[-1]}. Name a final iteration that "
            "is not before any measured, or leave it out for the end of training."
        )
    return iterations


if __name__ == "__main__":
    program.run(__spec__.name)
