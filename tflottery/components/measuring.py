"""Measuring a network at one or many settings of its weights, block by block.

What was counted so far is remembered after every block, so that an interrupted
measurement goes on where it was.
"""

import dataclasses
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
      error: share of wrong answers, in [0, 1].
      loss: mean cross-entropy, in nats.
    """

    error: float
    loss: float


def measure(
    settings: Sequence[Callable[[], None]],
    evaluator: "Evaluator",
    context: Context,
    *,
    examples: int | None,
) -> list[dict[str, Result]]:
    """Returns what is measured at each setting, by split.

    Args:
      settings: each puts the evaluator's network at the weights to measure.
      evaluator: measures.
      context: of the component that executes; remembers the counts so far.
      examples: images measured of each split, a fixed random choice; None is all.
    """
    blocks = [
        (split, block)
        for split in SPLITS
        for block in evaluator.blocks(split, examples)
    ]
    counts = list(context.remembered or [])
    total = len(settings) * len(blocks)
    done = len(counts)
    for index, place in enumerate(settings):
        if done >= (index + 1) * len(blocks):
            continue
        place()
        for split, block in blocks[max(done - index * len(blocks), 0) :]:
            measured = evaluator.measure(split, block)
            counts.append([measured.num_wrong, measured.loss])
            context.remember(counts, len(counts) / total)
    starts = range(0, total, len(blocks))
    return [_by_split(counts[at : at + len(blocks)], blocks) for at in starts]


def num_images(data: Data, examples: int | None) -> int:
    """Returns how many images of both splits are measured."""
    sizes = (data.num_train, data.num_test)
    return sum(min(examples or size, size) for size in sizes)


def _by_split(
    counts: Sequence[tuple[int, float]], blocks: Sequence[tuple[str, Sequence[int]]]
) -> dict[str, Result]:
    """Returns the results of one setting from the counts of its blocks."""
    results = {}
    for split in SPLITS:
        own = [
            (wrong, loss, len(block))
            for (wrong, loss), (name, block) in zip(counts, blocks, strict=True)
            if name == split
        ]
        wrong, loss, size = map(sum, zip(*own, strict=True))
        results[split] = Result(error=wrong / size, loss=loss / size)
    return results
