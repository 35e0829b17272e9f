"""How many weights change their sign between two iterations (EP, section 5.1)."""

import dataclasses
import json

import numpy as np
from etils import epath

from tflottery.analysis import movement
from tflottery.components import masking
from tflottery.components.component import Artifact, Component, Context
from tflottery.components.runs import State
from tflottery.models.weights import Weights
from tflottery.pruning import masks as pruning_masks
from tflottery.training import checkpoints

SIGNS_FILE = "signs.json"


@dataclasses.dataclass(frozen=True)
class SignChanges(Component):
    """Weights of two states that differ in sign.

    Attributes:
      earlier: the network before.
      later: the network after.
      kernels: paths of the kernels whose weights count.
      mask: holds masks of these kernels, and only the weights that they keep count;
        None: all do.
    """

    KIND = "sign_changes"
    VERSION = 2
    FOLDER = "sign_changes"
    FILES = (SIGNS_FILE,)

    earlier: State
    later: State
    kernels: tuple[str, ...]
    mask: Artifact | None = None

    def execute(self, context: Context) -> None:
        """Writes signs.json: num_weights that count, and fraction_of_signs_changed."""
        earlier, later = (self._kernels(context, name) for name in ("earlier", "later"))
        if self.mask is not None:
            masks = masking.read(context, "mask")
        else:
            masks = {path: np.ones(kernel.shape) for path, kernel in earlier.items()}
        found = {
            "num_weights": pruning_masks.num_ones(masks),
            "fraction_of_signs_changed": movement.fraction_of_signs_changed(
                later, earlier, masks=masks
            ),
        }
        (context.output / SIGNS_FILE).write_text(json.dumps(found))

    def _kernels(self, context: Context, name: str) -> Weights:
        """Returns the kernels of an input whose weights count."""
        weights = checkpoints.read_weights(context.inputs[name])
        return {path: weights[path] for path in self.kernels}


def read(folder: epath.Path) -> dict[str, float]:
    """Returns what `SignChanges.execute` wrote."""
    return json.loads((folder / SIGNS_FILE).read_text())
