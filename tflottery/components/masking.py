"""Masks as artifacts: the weights that a criterion scores highest are kept.

A mask names neither level nor experiment: how many weights survive is enough, so that
one-shot and iterative pruning share what is the same.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from tflottery.components.component import Absent, Artifact, Component, Context
from tflottery.components.metadata import Facts
from tflottery.components.runs import MASK_FILE, State
from tflottery.core import fingerprints
from tflottery.core.identities import Network
from tflottery.pruning import masks, scoring
from tflottery.training import checkpoints

# The path and shape of each kernel that is pruned.
Kernels = tuple[tuple[str, tuple[int, ...]], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mask(Component):
    """Keeps the weights of the highest scores, over all prunable kernels together.

    Attributes:
      criterion: name in the registry.
      criterion_version: as registered.
      scored: the network whose weights are scored; None where the criterion needs no
        weights.
      previous: masks whose pruned weights stay pruned; None: any weight may survive.
      kernels: those that are pruned.
      num_survivors: how many of their weights are kept.
      seed: of criteria that are random. One seed is one ranking of the weights, so
        masks of fewer survivors lie inside those of more; None for the others.
      layers_of: masks whose number of survivors in each kernel is kept too; None: the
        scores decide how many that are.
      examples: training images that the criterion is shown beside the network, that of
        `scored`, as it is trained; None: it reads weights alone.
    """

    KIND = "mask"
    VERSION = 1
    FOLDER = "masks"
    FILES = (MASK_FILE,)

    criterion: str
    criterion_version: int
    scored: State | None = None
    previous: Artifact | None = None
    kernels: Kernels
    num_survivors: int
    seed: int | None = None
    layers_of: Artifact | None = None
    examples: int | None = dataclasses.field(default=None, metadata=fingerprints.LATER)

    def execute(self, context: Context) -> None:
        """Writes the masks: uint8 0 or 1 of the kernels' shapes, by kernel path.

        Raises:
          ValueError: the criterion scores other kernels than it was given, or the
            masks to be matched keep another number of weights.
          Absent: fewer weights may be kept than are to survive.
        """
        previous = read(context, "previous") if self.previous is not None else None
        scores = self._scores(context, previous)
        eligible = masks.num_eligible(scores, previous=previous)
        if eligible < self.num_survivors:
            raise Absent(
                f"{self.criterion!r} keeps {eligible:,} weights at most, and "
                f"{self.num_survivors:,} are to survive."
            )
        if self.layers_of is None:
            chosen = masks.keep_highest(
                scores, num_survivors=self.num_survivors, previous=previous
            )
        else:
            chosen = masks.keep_highest_per_layer(
                scores, num_survivors=self._counts(context), previous=previous
            )
        small = {path: mask.astype(np.uint8) for path, mask in chosen.items()}
        checkpoints.write_arrays(context.output / MASK_FILE, small)

    def num_bytes(self, facts: Mapping[Network, Facts]) -> int:
        """Returns about what the masks take on disk: a byte a weight."""
        del facts
        return sum(math.prod(shape) for _, shape in self.kernels)

    def _scores(self, context: Context, previous: masks.Masks | None) -> masks.Scores:
        """Returns the score of every weight that may be pruned."""
        weights, probe = {}, None
        if self.scored is not None:
            held = checkpoints.read_weights(context.inputs["scored"])
            weights = masks.apply(held, previous or {})
        if self.examples is not None:
            run = self.scored.run
            probe = context.runtime.probe(
                run.network,
                run.data,
                recipe=run.recipe,
                weights=weights,
                examples=self.examples,
                num_survivors=self.num_survivors,
            )
        return scoring.score(
            self.criterion,
            weights,
            dict(self.kernels),
            seed=self.seed or 0,
            probe=probe,
        )

    def _counts(self, context: Context) -> dict[str, int]:
        """Returns the number of survivors of each kernel in the masks to be matched."""
        counts = masks.counts(read(context, "layers_of"))
        if sum(counts.values()) != self.num_survivors:
            raise ValueError(
                f"num_survivors={self.num_survivors!r}, but the masks whose layers "
                f"are to be matched keep {sum(counts.values())} weights."
            )
        return counts


def read(context: Context, name: str) -> masks.Masks:
    """Returns the masks of an input of a component."""
    return checkpoints.read_arrays(context.inputs[name] / MASK_FILE)
