"""How large the weights of a trained network are, and how many are zero (LS, Figure 6).

Magnitudes in ascending order, told at evenly spaced ranks, and the fraction below
machine precision.
"""

import dataclasses
import json

import numpy as np
from etils import epath

from tflottery.components.component import Component, Context
from tflottery.components.runs import State
from tflottery.pruning import natural_zeros
from tflottery.training import checkpoints

SIZES_FILE = "sizes.json"


@dataclasses.dataclass(frozen=True)
class WeightSizes(Component):
    """The sorted magnitudes of a network's weights.

    Attributes:
      of: the network.
      kernels: paths of the kernels whose weights count.
      num_quantiles: how many magnitudes are told, from the lowest to the highest; at
        least 2.
    """

    KIND = "weight_sizes"
    VERSION = 1
    FOLDER = "weight_sizes"
    FILES = (SIZES_FILE,)

    of: State
    kernels: tuple[str, ...]
    num_quantiles: int

    def execute(self, context: Context) -> None:
        """Writes sizes.json.

        num_weights that count, natural_sparsity (of them, the fraction that is zero, in
        [0, 1]) and abs_weights: of the quantiles 0 to 1, evenly spaced, the magnitude
        whose rank is nearest.
        """
        weights = checkpoints.read_weights(context.inputs["of"])
        chosen = np.concatenate([np.ravel(weights[path]) for path in self.kernels])
        magnitudes = np.sort(np.abs(chosen))
        last, steps = magnitudes.size - 1, self.num_quantiles - 1
        # Halves round up.
        ranks = (2 * last * np.arange(self.num_quantiles) + steps) // (2 * steps)
        found = {
            "num_weights": magnitudes.size,
            "natural_sparsity": float(natural_zeros.are_zero(magnitudes).mean()),
            "abs_weights": magnitudes[ranks].astype(float).tolist(),
        }
        (context.output / SIZES_FILE).write_text(json.dumps(found))


def read(folder: epath.Path) -> dict[str, object]:
    """Returns what `WeightSizes.execute` wrote."""
    return json.loads((folder / SIZES_FILE).read_text())
