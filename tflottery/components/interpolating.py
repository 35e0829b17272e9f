"""The line between two networks: error and loss at 30 points, and the distance.

LMC, Algorithm 1. Batch norm statistics are interpolated like every other tensor, and in
a second reading re-estimated at every point and both ends.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable

from etils import epath

from tflottery.analysis import interpolation
from tflottery.components import measuring
from tflottery.components.component import Component, Context, Passes
from tflottery.components.runs import State
from tflottery.models import weights
from tflottery.training import checkpoints

LINE_FILE = "line.json"
# Images of a batch of re-estimation, which is normalized by its own moments.
REESTIMATION_BATCH_SIZE = 128


@dataclasses.dataclass(frozen=True)
class Line(Component):
    """Errors and losses on the straight line between two states.

    Attributes:
      a: the end at alpha = 1.
      b: the end at alpha = 0.
      evaluation_examples: images measured of each split, a fixed random choice; None
        is all of them.
      splits: which are measured, of `measuring.SPLITS` and in that order.
      reestimation_examples: training images on which batch norm statistics are
        re-estimated, in whole batches; 0 makes no second reading.
    """

    KIND = "line"
    VERSION = 4
    FOLDER = "lines"
    FILES = (LINE_FILE,)

    a: State
    b: State
    evaluation_examples: int | None = None
    splits: tuple[str, ...] = measuring.SPLITS
    reestimation_examples: int = 0

    def execute(self, context: Context) -> None:
        """Writes line.json: alpha, l2_distance, and lists of values along the line."""
        a = checkpoints.read_weights(context.inputs["a"])
        b = checkpoints.read_weights(context.inputs["b"])
        evaluator = context.runtime.evaluator(self.a.run.network, self.a.run.data)

        def assign(
            alpha: float, reestimated: bool, meanwhile: Callable[[], None]
        ) -> None:
            evaluator.assign(interpolation.between(a, b, alpha))
            if reestimated:
                evaluator.reestimate(
                    self.reestimation_examples,
                    batch_size=REESTIMATION_BATCH_SIZE,
                    between=meanwhile,
                )

        # Every point as interpolated, and again with batch norm re-estimated there.
        readings = (False, True) if self.reestimation_examples else (False,)
        points = list(itertools.product(map(float, interpolation.ALPHAS), readings))
        measured = measuring.measure(
            [functools.partial(assign, *point) for point in points],
            evaluator,
            context,
            examples=self.evaluation_examples,
            splits=self.splits,
        )
        # A list per column, in the order of alpha.
        trainable = weights.trainable_paths(evaluator.model)
        result: dict[str, object] = {
            "alpha": [float(alpha) for alpha in interpolation.ALPHAS],
            "l2_distance": interpolation.l2_distance(a, b, paths=trainable),
        }
        for (_, reestimated), by_split in zip(points, measured, strict=True):
            suffix = "_reestimated" * reestimated
            for split, found in by_split.items():
                for measure, value in dataclasses.asdict(found).items():
                    name = f"{split}_{measure}{suffix}"
                    result.setdefault(name, []).append(value)
        (context.output / LINE_FILE).write_text(json.dumps(result))

    def passes(self) -> Passes:
        """Returns the forward passes that executing this takes."""
        images = measuring.num_images(
            self.a.run.data, self.evaluation_examples, self.splits
        )
        if self.reestimation_examples:
            images = 2 * images + self.reestimation_examples
        return Passes(self.a.run, len(interpolation.ALPHAS) * images)


def whole_batches(num_examples: int, *, num_train: int) -> int:
    """Returns how many of the images asked for fill whole batches of re-estimation."""
    available = min(num_examples, num_train)
    size = min(REESTIMATION_BATCH_SIZE, available)
    return available // size * size if size else 0


def read(folder: epath.Path) -> dict[str, object]:
    """Returns what `Line.execute` wrote into a folder."""
    return json.loads((folder / LINE_FILE).read_text())
