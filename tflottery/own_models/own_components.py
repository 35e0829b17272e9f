"""Components of a user's problem: states of its trainings, and lines between them.

They find the problem by its key, in the process that was given it.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator

import numpy as np

from tflottery.analysis import interpolation
from tflottery.components import masking
from tflottery.components.component import Absent, Artifact, Component, Context
from tflottery.core import seeds
from tflottery.own_models.problem import Problem
from tflottery.own_models.update_loop import UpdateLoop
from tflottery.training import checkpoints
from tflottery.training.checkpoints import SLOTS_FILE, WEIGHTS_FILE

METRICS_FILE, LINE_FILE = "metrics.json", "line.json"
SPLITS = ("train", "test")

_loops: dict[str, UpdateLoop] = {}


@contextlib.contextmanager
def kept(problem: Problem) -> Iterator[UpdateLoop]:
    """Keeps a problem, ready to be trained, for the components that name its key.

    Raises:
      ValueError: as of `UpdateLoop`.

    Changes: holds model and data in memory, up to the end of the context.
    """
    loop = UpdateLoop(problem)
    keep(loop)
    try:
        yield loop
    finally:
        # Another thread may have one of its own by now.
        if _loops.get(loop.key) is loop:
            del _loops[loop.key]


def keep(loop: UpdateLoop) -> None:
    """Keeps a problem for as long as this process lives, or `kept` says."""
    _loops[loop.key] = loop


def _loop_of(key: str) -> UpdateLoop:
    if key not in _loops:
        raise RuntimeError(
            f"The model and data with the key {key!r} are not known here: they are "
            "those of another process."
        )
    return _loops[key]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnState(Component):
    """A training of a user's model, at an iteration.

    Attributes:
      problem: key of model, data and how the one is trained on the other.
      replicate: whose initial weights and seeds.
      initial: digest of these weights.
      start: the state it goes on from, weights and optimizer; None: the initial one.
      mask: which weights are trained; None: all.
      level: prunings so far, for the seeds of data order and dropout.
      data_order: which order of the examples; 0 is the trunk's.
      first_iteration: updates done at its start.
      iteration: updates done at its end.
    """

    KIND = "own_state"
    VERSION = 1
    FOLDER = "own_states"
    FILES = (WEIGHTS_FILE, SLOTS_FILE, METRICS_FILE)

    problem: str
    replicate: int
    initial: str
    start: Artifact | None = None
    mask: Artifact | None = None
    level: int = 0
    data_order: int = 0
    first_iteration: int = 0
    iteration: int

    def execute(self, context: Context) -> None:
        """Writes weights, the optimizer's state, and loss and metrics on test data.

        Raises:
          Absent: the training diverged.
        """
        loop = _loop_of(self.problem)
        if self.start is None:
            weights = loop.initial_weights(self.replicate, digest=self.initial)
            slots = None
        else:
            weights = checkpoints.read_weights(context.inputs["start"])
            slots = checkpoints.read_slots(context.inputs["start"])
        which = {"level": self.level, "data_order": self.data_order}
        weights, slots = loop.train(
            weights,
            slots,
            masks={} if self.mask is None else masking.read(context, "mask"),
            iterations=(self.first_iteration, self.iteration),
            seeds=(
                seeds.data_order_seed(self.replicate, **which),
                seeds.dropout_seed(self.replicate, **which),
            ),
            tell=lambda fraction: context.remember(None, fraction),
        )
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise Absent(
                f"The training diverged: at iteration {self.iteration} weights are not "
                "finite. Try a lower learning rate."
            )
        checkpoints.write(context.output, weights, slots=slots)
        found = loop.measure(weights, split="test")
        (context.output / METRICS_FILE).write_text(json.dumps(found))

    def num_updates(self) -> int:
        """Returns how many updates the training makes."""
        return self.iteration - self.first_iteration

    def flops(self, facts: object) -> float:
        """Returns its updates, by which the work of a plan is weighed."""
        del facts
        return float(self.num_updates())

    def num_bytes(self, facts: object) -> int:
        """Returns what weights and the optimizer's state take."""
        del facts
        return _loop_of(self.problem).num_bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnLine(Component):
    """Loss and metrics on the straight line between two states, ends included.

    Batch norm statistics and all other variables lie on it like weights.
    """

    KIND = "own_line"
    VERSION = 1
    FOLDER = "own_lines"
    FILES = (LINE_FILE,)

    problem: str
    a: OwnState
    b: OwnState
    num_points: int

    def execute(self, context: Context) -> None:
        """Writes lists of values from b to a, by split and name."""
        loop = _loop_of(self.problem)
        a, b = (checkpoints.read_weights(context.inputs[name]) for name in ("a", "b"))
        points = list(context.remembered or ())
        for alpha in np.linspace(0, 1, self.num_points).tolist()[len(points) :]:
            weights = interpolation.between(a, b, alpha)
            points.append(
                {split: loop.measure(weights, split=split) for split in SPLITS}
            )
            context.remember(points, len(points) / self.num_points)
        found = {
            split: {name: [one[split][name] for one in points] for name in values}
            for split, values in points[0].items()
        }
        (context.output / LINE_FILE).write_text(json.dumps(found))

    def flops(self, facts: object) -> float:
        """Returns the measurements, each weighed as a few updates."""
        del facts
        return float(10 * self.num_points)
