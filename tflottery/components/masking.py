"""Masks as artifacts: pruned by magnitude from a trained network, or at random.

Neither names a level, a share or an experiment: how many weights survive is enough, so
that one-shot and iterative pruning share what is the same.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from tflottery.components.component import Artifact, Component, Context
from tflottery.components.metadata import Facts
from tflottery.components.runs import MASK_FILE, State
from tflottery.core.identities import Network
from tflottery.pruning import masks, scores
from tflottery.training import checkpoints

# The path and shape of each kernel that is pruned.
Kernels = tuple[tuple[str, tuple[int, ...]], ...]


class _Masks(Component):
    """What masks have in common; each says which `kernels` are pruned."""

    FOLDER = "masks"
    FILES = (MASK_FILE,)

    def num_bytes(self, facts: Mapping[Network, Facts]) -> int:
        """Returns about what the masks take on disk: a byte an entry."""
        del facts
        return sum(math.prod(shape) for _, shape in self.kernels)


@dataclasses.dataclass(frozen=True)
class MagnitudeMask(_Masks):
    """Keeps the weights of highest magnitude, over all prunable kernels together.

    Attributes:
      trained: the network whose weights are compared.
      previous: what it prunes stays pruned; None: any weight may survive.
      kernels: those that are pruned.
      num_survivors: how many of their weights are kept.
    """

    KIND = "magnitude_mask"
    VERSION = 1

    trained: State
    previous: Artifact | None
    kernels: Kernels
    num_survivors: int

    def execute(self, context: Context) -> None:
        """Writes the masks: uint8 0 or 1 of the kernels' shapes, by kernel path."""
        weights = checkpoints.read_weights(context.inputs["trained"])
        chosen = masks.keep_highest(
            scores.magnitude(weights, [path for path, _ in self.kernels]),
            num_survivors=self.num_survivors,
            previous=read(context, "previous") if self.previous is not None else None,
        )
        _write(chosen, context)


@dataclasses.dataclass(frozen=True)
class RandomMask(_Masks):
    """Keeps weights at random: uniformly over all prunable kernels, or layer by layer.

    One seed is one ranking of the weights, so masks of fewer survivors lie inside those
    of more.

    Attributes:
      seed: decides the ranking.
      kernels: those that are pruned.
      num_survivors: how many of their weights are kept.
      layers_of: masks whose number of survivors in each kernel is kept too; None: the
        kernels' shares are left to chance.
    """

    KIND = "random_mask"
    VERSION = 1

    seed: int
    kernels: Kernels
    num_survivors: int
    layers_of: Artifact | None = None

    def execute(self, context: Context) -> None:
        """Writes the masks: uint8 0 or 1 of the kernels' shapes, by kernel path."""
        ranking = scores.random(dict(self.kernels), seed=self.seed)
        if self.layers_of is None:
            chosen = masks.keep_highest(ranking, num_survivors=self.num_survivors)
        else:
            counts = masks.counts(read(context, "layers_of"))
            if sum(counts.values()) != self.num_survivors:
                raise ValueError(
                    f"num_survivors={self.num_survivors!r}, but the masks whose layers "
                    f"are to be matched keep {sum(counts.values())} weights."
                )
            chosen = masks.keep_highest_per_layer(ranking, num_survivors=counts)
        _write(chosen, context)


def read(context: Context, name: str) -> masks.Masks:
    """Returns the masks of an input of a component."""
    return checkpoints.read_arrays(context.inputs[name] / MASK_FILE)


def _write(chosen: masks.Masks, context: Context) -> None:
    """Writes masks a byte an entry."""
    small = {path: mask.astype(np.uint8) for path, mask in chosen.items()}
    checkpoints.write_arrays(context.output / MASK_FILE, small)
