"""Measuring a network at one or many settings of its weights, block by block.

What was counted so far is remembered after every block, so that an interrupted
measurement goes on where it was.
"""

import dataclasses
import json
import math
import typing
from collections.abc import Callable, Sequence

from tflottery.components.component import Context
from tflottery.core.identities import Data

if typing.TYPE_CHECKING:
    from tflottery.training.evaluation import Evaluator

SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Result:
    """A network on a split.

    Attributes:
      error: fraction of misclassified examples, in [0, 1]; of what the task counts as
        an error, where it has its own.
      loss: mean cross-entropy, in nats; or the mean of the task's own loss.
    """

    error: float
    loss: float


class Counts:
    """What was measured so far, one plain value a block, in the order of the blocks."""

    def __init__(self, context: Context, *, of: object, total: int):
        """Args:
        context: of the component that executes; remembers the values.
        of: what decides where one value ends and the next begins, such as the sizes
          of the blocks, in plain values. What was remembered of anything else is
          left: values of other blocks do not add up to the same measurement.
        total: how many values there will be.
        """
        self._context = context
        self._of = json.loads(json.dumps(of))
        self._total = total
        self.values: list = []
        found = context.remembered
        if isinstance(found, dict) and found.get("of") == self._of:
            self.values = list(found["values"])

    def add(self, value: object) -> None:
        """Takes the next value and remembers all; raises where the work has to stop."""
        self.values.append(value)
        self.remember()

    def remember(self) -> None:
        """Remembers all values; raises where the work has to stop.

        To be called now and then while a value takes more than some seconds.
        """
        remembered = {"of": self._of, "values": self.values}
        self._context.remember(remembered, len(self.values) / self._total)


def measure(
    settings: Sequence[Callable[[Callable[[], None]], None]],
    evaluator: "Evaluator",
    context: Context,
    *,
    examples: int | None,
    splits: Sequence[str],
) -> list[dict[str, Result]]:
    """Returns what is measured at each setting, by split.

    Args:
      settings: each puts the evaluator's network at the weights to measure, and is
        given what to call every few seconds if that takes longer.
      evaluator: measures.
      context: of the component that executes; remembers the counts so far.
      examples: images measured of each split, a fixed random choice; None is all.
      splits: of `SPLITS`, in that order.
    """
    blocks = [
        (split, block)
        for split in splits
        for block in evaluator.blocks(split, examples)
    ]
    total = len(settings) * len(blocks)
    sizes = [[split, len(block)] for split, block in blocks]
    counts = Counts(context, of=[len(settings), sizes], total=total)
    done = len(counts.values)
    for index, assign in enumerate(settings):
        if done >= (index + 1) * len(blocks):
            continue
        assign(counts.remember)
        for split, block in blocks[max(done - index * len(blocks), 0) :]:
            measured = evaluator.measure(split, block)
            counts.add([measured.num_misclassified, measured.loss])
    starts = range(0, total, len(blocks))
    return [_by_split(counts.values[at : at + len(blocks)], blocks) for at in starts]


def num_images(data: Data, examples: int | None, splits: Sequence[str]) -> int:
    """Returns how many images of these splits are measured."""
    return sum(min(examples or size, size) for size in sizes(data, splits))


def sizes(data: Data, splits: Sequence[str]) -> list[int]:
    """Returns how many images there are of each of these splits."""
    return [{"train": data.num_train, "test": data.num_test}[one] for one in splits]


def _by_split(
    counts: Sequence[tuple[int, float]], blocks: Sequence[tuple[str, Sequence[int]]]
) -> dict[str, Result]:
    """Returns the results of one setting from the counts of its blocks."""
    results = {}
    for split in dict.fromkeys(name for name, _ in blocks):
        own = [
            (wrong, loss, len(block))
            for (wrong, loss), (name, block) in zip(counts, blocks, strict=True)
            if name == split
        ]
        wrong, losses, size = zip(*own, strict=True)
        # Rounded once, so that it does not matter what was added up first.
        loss = math.fsum(losses) / sum(size)
        results[split] = Result(error=sum(wrong) / sum(size), loss=loss)
    return results
