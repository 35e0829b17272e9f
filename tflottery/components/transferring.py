"""Weights carried over from one task to another, as for pre-training (EP, section 6).

The body and its batch norm statistics stay as they are; what has another shape, the
head where the tasks differ in their classes, is drawn afresh. The paper does not say
how; a head drawn once per seed is part of the initialization of all that follows.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tflottery.components import masking
from tflottery.components.component import Artifact, Component, Context
from tflottery.components.inspection import Facts
from tflottery.components.masking import Kernels
from tflottery.components.runs import MASK_FILE, WEIGHTS_FILE
from tflottery.core.identities import Data, Network
from tflottery.models import weights as model_weights
from tflottery.training import checkpoints


@dataclasses.dataclass(frozen=True)
class Transferred(Component):
    """Weights of one network as those of another of the same model.

    Attributes:
      of: the state, or other artifact with weights, they are carried over from.
      network: whose weights they become.
      data: what that network is for.
      seed: decides what is drawn afresh.
    """

    VERSION = 1
    FOLDER = "transferred"
    FILES = (WEIGHTS_FILE,)

    of: Artifact
    network: Network
    data: Data
    seed: int

    def execute(self, context: Context) -> None:
        """Writes the weights.

        Raises:
          ValueError: the networks have other variables, not only other shapes.
        """
        evaluator = context.workshop.evaluator(self.network, self.data)
        shapes = model_weights.variable_shapes(evaluator.model)
        known = checkpoints.read_weights(context.inputs["of"])
        missing = sorted(shapes.keys() - known.keys())
        unknown = sorted(known.keys() - shapes.keys())
        if missing or unknown:
            raise ValueError(
                f"These weights are not of model {self.network.model!r}: missing "
                f"{missing}, too much {unknown}."
            )
        carried = {
            path: value for path, value in known.items() if value.shape == shapes[path]
        }
        fresh = {path: shape for path, shape in shapes.items() if path not in carried}
        drawn = model_weights.initial_values(fresh, self.seed)
        checkpoints.write(context.output, carried | drawn)

    def num_bytes(self, facts: Mapping[Network, Facts]) -> int:
        """Returns about what the weights take on disk."""
        return facts[self.network].num_weights * np.dtype(np.float32).itemsize


@dataclasses.dataclass(frozen=True)
class TransferredMask(Component):
    """Masks of one network as those of another: of the kernels whose shape it has.

    Attributes:
      of: the masks.
      kernels: of the network they are to fit.
    """

    VERSION = 1
    FOLDER = "masks"
    FILES = (MASK_FILE,)

    of: Artifact
    kernels: Kernels

    def execute(self, context: Context) -> None:
        """Writes the masks that fit; other kernels are not pruned.

        Raises:
          ValueError: none fits.
        """
        shapes = dict(self.kernels)
        masks = masking.read(context, "of")
        fitting = {
            path: mask for path, mask in masks.items() if mask.shape == shapes.get(path)
        }
        if not fitting:
            raise ValueError(
                f"None of the masks of {sorted(masks)} fits a kernel of {shapes}."
            )
        checkpoints.write_arrays(context.output / MASK_FILE, fitting)
