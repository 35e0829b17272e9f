"""Weights carried over from one task to another, as for pre-training (EP, section 6).

The body and its batch norm statistics stay as they are; between tasks of other classes
the head is drawn afresh. The paper does not say how; a head drawn once per seed is part
of the initialization of all that follows. Heads are the layers called "head", or with a
name that ends in "_head".
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tflottery.components import masking
from tflottery.components.component import Artifact, Component, Context
from tflottery.components.metadata import Facts
from tflottery.components.runs import MASK_FILE, WEIGHTS_FILE
from tflottery.core import fingerprints, key_mismatch
from tflottery.core.identities import Data, Network
from tflottery.core.initializers import Initializers
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
      new_head: whether the heads are; False keeps them.
      initializers: what they are drawn from.
    """

    KIND = "transferred"
    VERSION = 1
    FOLDER = "transferred"
    FILES = (WEIGHTS_FILE,)

    of: Artifact
    network: Network
    data: Data
    seed: int
    new_head: bool
    initializers: Initializers = dataclasses.field(
        default=Initializers(), metadata=fingerprints.LATER
    )

    def execute(self, context: Context) -> None:
        """Writes the weights.

        Raises:
          ValueError: the networks differ in more than their heads.
        """
        evaluator = context.runtime.evaluator(self.network, self.data)
        shapes = model_weights.variable_shapes(evaluator.model)
        known = checkpoints.read_weights(context.inputs["of"])
        if differing := key_mismatch.differing(known, expected=shapes):
            raise ValueError(
                f"These weights are not of model {self.network.model!r}: {differing}."
            )
        heads = {path for path in shapes if is_head(path)} if self.new_head else set()
        carried = {path: value for path, value in known.items() if path not in heads}
        for path, value in carried.items():
            if value.shape != shapes[path]:
                raise ValueError(
                    f"{path!r} has shape {value.shape}, but {shapes[path]} for the "
                    "other task. Only heads may differ, between tasks that declare "
                    "classes of their own."
                )
        drawn = model_weights.initial_values(
            {path: shapes[path] for path in shapes if path in heads},
            self.seed,
            self.initializers,
        )
        checkpoints.write(context.output, carried | drawn)

    def num_bytes(self, facts: Mapping[Network, Facts]) -> int:
        """Returns about what the weights take on disk."""
        return facts[self.network].num_weights * np.dtype(np.float32).itemsize


@dataclasses.dataclass(frozen=True)
class BodyMask(Component):
    """Masks without those of the heads, for a task that has heads of its own.

    Attributes:
      of: the masks.
    """

    KIND = "body_mask"
    VERSION = 1
    FOLDER = "masks"
    FILES = (MASK_FILE,)

    of: Artifact

    def execute(self, context: Context) -> None:
        """Writes the masks; heads are not pruned."""
        masks = masking.read(context, "of")
        body = {path: mask for path, mask in masks.items() if not is_head(path)}
        checkpoints.write_arrays(context.output / MASK_FILE, body)


def is_head(path: str) -> bool:
    """Returns whether a variable is of a layer that gives logits, by its path."""
    layer = path.split("/", 1)[0]
    return layer == "head" or layer.endswith("_head")
