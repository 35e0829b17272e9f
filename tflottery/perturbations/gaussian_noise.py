"""How much noise do the weights at k endure? (EP, Section 5.3, Figure 7)

The noise of a layer is measured in standard deviations of what its own initial weights
were drawn from. The paper does not name its initializer: here it is the recipe's, and
1x1 and dense kernels have theirs as all others do.
"""

import math
import numbers
from collections.abc import Mapping

import numpy as np

from tflottery.core import seeds
from tflottery.core.initializers import Initializers
from tflottery.core.registry import PERTURBATIONS
from tflottery.models.weights import Weights, initial_std
from tflottery.perturbations.arguments import refuse_unfit
from tflottery.pruning.masks import apply


@PERTURBATIONS.register(
    "gaussian_noise", version=1, options={"noise_scales": (0.5, 1.0, 2.0, 3.0)}
)
def gaussian_noise(
    kernels: Weights,
    masks: Mapping[str, np.ndarray],
    *,
    initial: Weights,
    initializers: Initializers,
    seed: int,
    noise_scales: float,
) -> Weights:
    """Returns the surviving weights plus normal noise of mean 0.

    Args:
      kernels: the weights to add to.
      masks: 0 or 1.
      initial: not used but for its fit.
      initializers: what `initial` was drawn from.
      seed: of the noise; one stream a path. All scales multiply the same numbers.
      noise_scales: one scale, finite and at least 0: the standard deviation of the
        noise, in those of the layer's initializer (`models.weights.initial_std`).

    Raises:
      ValueError: the arrays do not fit, or the scale is not such a number.
    """
    _refuse_scale(noise_scales)
    refuse_unfit(kernels, masks, initial=initial)
    noisy = {}
    for path, kernel in kernels.items():
        std = np.float32(noise_scales * initial_std(kernel.shape, initializers))
        normal = seeds.standard_normal(seed, f"gaussian_noise {path}", kernel.shape)
        noisy[path] = kernel + std * normal
    return apply(noisy, masks)


def _refuse_scale(scale: object) -> None:
    """Raises ValueError unless it is one number, finite and at least 0."""
    is_number = isinstance(scale, numbers.Real) and not isinstance(scale, bool)
    if not is_number or not math.isfinite(scale) or scale < 0:
        raise ValueError(
            f"noise_scales={scale!r}, expected one finite number of at least 0."
        )
