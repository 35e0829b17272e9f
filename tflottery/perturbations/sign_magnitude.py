"""Does a ticket need its magnitudes or its signs? (EP, Section 5.1, Figure 4)

Magnitudes come from one source and signs from another: from the initial weights, from
those at k, or from weights drawn afresh as the initial ones were.
"""

from collections.abc import Mapping

import numpy as np

from tflottery.core.initializers import Initializers
from tflottery.core.registry import PERTURBATIONS
from tflottery.models.weights import Weights, initial_values
from tflottery.perturbations.arguments import refuse_unfit
from tflottery.pruning.masks import apply

_SOURCES = ("init", "k", "fresh")
_MIXES = {
    f"{magnitudes}:{signs}": (magnitudes, signs)
    for magnitudes in _SOURCES
    for signs in _SOURCES
}


@PERTURBATIONS.register(
    "sign_magnitude",
    version=1,
    options={"mixes": ("init:init", "fresh:k", "init:k", "k:init")},
)
def sign_magnitude(
    kernels: Weights,
    masks: Mapping[str, np.ndarray],
    *,
    initial: Weights,
    initializers: Initializers,
    seed: int,
    mixes: str,
) -> Weights:
    """Returns the magnitudes of one source with the signs of another.

    Args:
      kernels: the source "k".
      masks: 0 or 1.
      initial: the source "init".
      initializers: what `initial` was drawn from, and "fresh" is.
      seed: of the source "fresh" (`models.weights.initial_values`).
      mixes: one mix, "MAGNITUDES:SIGNS"; "k:k" gives the kernels back.

    Raises:
      ValueError: the arrays do not fit, or there is no such mix.
    """
    if mixes not in tuple(_MIXES):
        raise ValueError(
            f"mixes={mixes!r}, expected one 'MAGNITUDES:SIGNS' of {', '.join(_MIXES)}."
        )
    refuse_unfit(kernels, masks, initial=initial)
    sources = {"k": kernels, "init": initial}
    if "fresh" in _MIXES[mixes]:
        shapes = {path: kernel.shape for path, kernel in kernels.items()}
        sources["fresh"] = initial_values(shapes, seed, initializers)
    magnitudes, signs = (sources[source] for source in _MIXES[mixes])
    mixed = {path: with_signs(magnitudes[path], signs[path]) for path in kernels}
    return apply(mixed, masks)


def with_signs(magnitudes: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Returns the absolute values of one array with the signs of another.

    Where `signs` is exactly 0.0 (or -0.0) the result is positive: a product with the
    sign would prune a weight that the mask keeps.
    """
    magnitudes = np.abs(magnitudes)
    return np.where(signs < 0, -magnitudes, magnitudes)
