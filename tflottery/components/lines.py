"""The line between two networks: errors at 30 points, and the distance.

LMC, Algorithm 1. Batch norm statistics are interpolated like every other tensor, and in
a second reading re-estimated at every point and both ends.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping

from etils import epath

from tflottery.analysis import interpolation
from tflottery.components.component import Component, Context
from tflottery.components.inspection import Facts
from tflottery.components.runs import State
from tflottery.core.identities import Network
from tflottery.models import weights
from tflottery.training import checkpoints

LINE_FILE = "line.json"
SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Line(Component):
    """Errors on the straight line between two states.

    Attributes:
      a: the end at alpha = 1.
      b: the end at alpha = 0.
      evaluation_examples: images measured of each split, a fixed random choice; None
        is all of them.
    """

    VERSION = 2
    FOLDER = "lines"
    FILES = (LINE_FILE,)

    a: State
    b: State
    evaluation_examples: int | None = None

    def execute(self, context: Context) -> None:
        """Writes line.json: alpha, l2_distance, and lists of errors along the line.

        Errors are counted block by block in a fixed order; the counts so far are what
        an interrupted execution goes on from.
        """
        a = checkpoints.read_weights(context.inputs["a"])
        b = checkpoints.read_weights(context.inputs["b"])
        evaluator = context.workshop.evaluator(self.a.run.network, self.a.run.data)
        blocks = {
            split: evaluator.blocks(split, self.evaluation_examples) for split in SPLITS
        }
        readings = list(self._readings(evaluator.has_batch_norm))
        total = len(readings) * sum(map(len, blocks.values()))
        counts = list(context.remembered or [])
        position = 0
        for alpha, reestimated in readings:
            placed = False
            for split in SPLITS:
                for block in blocks[split]:
                    position += 1
                    if position <= len(counts):
                        continue
                    if not placed:
                        evaluator.assign(interpolation.between(a, b, alpha))
                        if reestimated:
                            evaluator.reestimate()
                        placed = True
                    counts.append(evaluator.measure(split, block).num_wrong)
                    context.remember(counts, position / total)
        sizes = {split: [len(one) for one in blocks[split]] for split in SPLITS}
        trainable = weights.trainable_paths(evaluator.model)
        result = {
            "alpha": [float(alpha) for alpha in interpolation.ALPHAS],
            "l2_distance": interpolation.l2_distance(a, b, paths=trainable),
            **self._errors(counts, sizes, evaluator.has_batch_norm),
        }
        (context.output / LINE_FILE).write_text(json.dumps(result))

    def flops(self, facts: Mapping[Network, Facts]) -> float:
        """Returns about what executing this costs."""
        known = facts[self.a.run.network]
        limit = self.evaluation_examples or known.data.num_train
        images = min(limit, known.data.num_train) + min(limit, known.data.num_test)
        if known.num_reestimation_examples:
            images = 2 * images + known.num_reestimation_examples
        return float(len(interpolation.ALPHAS) * images * known.flops_per_example)

    def _readings(self, has_batch_norm: bool) -> Iterator[tuple[float, bool]]:
        """Yields (alpha, whether statistics are re-estimated), in the order counted."""
        for alpha in interpolation.ALPHAS:
            yield float(alpha), False
            if has_batch_norm:
                yield float(alpha), True

    def _errors(
        self, counts: list[int], sizes: dict[str, list[int]], has_batch_norm: bool
    ) -> dict[str, list[float]]:
        """Returns the errors along the line from the counts of wrong answers."""
        errors: dict[str, list[float]] = {}
        remaining = iter(counts)
        for _, reestimated in self._readings(has_batch_norm):
            for split in SPLITS:
                name = f"{split}_error" + "_reestimated" * reestimated
                wrong = sum(next(remaining) for _ in sizes[split])
                errors.setdefault(name, []).append(wrong / sum(sizes[split]))
        return errors


def read(folder: epath.Path) -> dict[str, object]:
    """Returns what `Line.execute` wrote into a folder."""
    return json.loads((folder / LINE_FILE).read_text())
