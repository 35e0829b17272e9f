"""Perturbed weights as artifacts: a state at iteration k after one change (EP, 5).

What the change amounts to, its mean and its standard deviation over the surviving
weights of all kernels and of each, is found here too.
"""

import dataclasses
import json
from collections.abc import Mapping

import numpy as np
from etils import epath

from tflottery.analysis import noise
from tflottery.components import masking
from tflottery.components.component import Artifact, Component, Context
from tflottery.components.masking import Kernels
from tflottery.components.metadata import Facts
from tflottery.components.runs import WEIGHTS_FILE, State
from tflottery.core.identities import Network
from tflottery.core.registry import PERTURBATIONS
from tflottery.models.weights import Weights
from tflottery.pruning import masks as pruning_masks
from tflottery.pruning.masks import Masks
from tflottery.training import checkpoints

NOISE_FILE = "noise.json"


@dataclasses.dataclass(frozen=True)
class Perturbed(Component):
    """The weights of a state, its prunable kernels changed; all others as they were.

    Attributes:
      perturbation: name in the registry.
      version: of the perturbation, as registered.
      options: name and value of each of its options, in order.
      of: the state that is changed.
      mask: what is pruned, before the change and after it; None: nothing.
      initial: the state at iteration 0 of a run from weights drawn afresh, for changes
        that look back at it, or at what they were drawn from.
      kernels: those that may be pruned.
      seed: decides what is random.
    """

    KIND = "perturbed"
    VERSION = 2
    FOLDER = "perturbed"
    FILES = (WEIGHTS_FILE, NOISE_FILE)

    perturbation: str
    version: int
    options: tuple[tuple[str, object], ...]
    of: State
    mask: Artifact | None
    initial: State
    kernels: Kernels
    seed: int

    def execute(self, context: Context) -> None:
        """Writes the changed weights, and noise.json with what the change amounts to.

        Raises:
          ValueError: the perturbation returns other kernels than it was given.
        """
        weights = checkpoints.read_weights(context.inputs["of"])
        initial = checkpoints.read_weights(context.inputs["initial"])
        masks = self._masks(context)
        pruned = pruning_masks.apply(weights, masks)
        before = {path: pruned[path] for path in masks}
        after = PERTURBATIONS[self.perturbation].function(
            before,
            masks,
            initial={path: initial[path] for path in masks},
            initializers=self.initial.run.initial.initializers,
            seed=self.seed,
            **dict(self.options),
        )
        _validate(self.perturbation, before, after)
        checkpoints.write(context.output, {**weights, **after})
        amount = dataclasses.asdict(noise.effective(before, after, masks))
        by_layer = noise.effective_by_layer(before, after, masks)
        amount["layers"] = {
            path: dataclasses.asdict(own) for path, own in by_layer.items()
        }
        (context.output / NOISE_FILE).write_text(json.dumps(amount))

    def num_bytes(self, facts: Mapping[Network, Facts]) -> int:
        """Returns about what the weights take on disk."""
        size = facts[self.of.run.network].num_weights
        return size * np.dtype(np.float32).itemsize

    def _masks(self, context: Context) -> Masks:
        """Returns the masks, ones where nothing is pruned."""
        if self.mask is None:
            return {path: np.ones(shape, np.float32) for path, shape in self.kernels}
        return masking.read(context, "mask")


def read(folder: epath.Path) -> dict[str, object]:
    """Returns what the change amounts to.

    Fields of `analysis.noise.Effective`, and `layers`: the same of each kernel that has
    surviving weights, by its path.
    """
    return json.loads((folder / NOISE_FILE).read_text())


def _validate(name: str, before: Weights, after: Weights) -> None:
    """Raises ValueError unless both have the same paths and shapes, all finite."""
    shapes = {path: np.shape(kernel) for path, kernel in before.items()}
    found = {path: np.shape(kernel) for path, kernel in after.items()}
    if found != shapes:
        raise ValueError(
            f"Perturbation {name!r} returned kernels of shapes {found}, expected "
            f"{shapes}."
        )
    strange = [path for path, value in after.items() if not np.isfinite(value).all()]
    if strange:
        raise ValueError(
            f"Perturbation {name!r} returned numbers that are not finite in {strange}."
        )
