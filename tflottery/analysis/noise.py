"""How far did a perturbation move the weights? (EP, Sections 5.1-5.3, Figure 8)

The paper prints the standard deviation of w_perturbed - w_k without saying over which
weights. `std` is over the surviving weights of all kernels together; `std_of_all`, over
the pruned ones too, is the other reading.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tflottery.core import key_mismatch


@dataclasses.dataclass(frozen=True)
class Effective:
    """Mean and standard deviation of the change, divided by n, not n - 1.

    Attributes:
      mean: of the surviving weights of all kernels.
      std: of the same; at least 0.
      std_of_all: the same with the pruned weights, as changes of zero.
      num_weights: how many survive.
    """

    mean: float
    std: float
    std_of_all: float
    num_weights: int


def is_none(sizes: Sequence[Sequence[float]] | np.ndarray) -> bool:
    """Returns whether a change left all weights as they were.

    Args:
      sizes: standard deviation and mean of the change, of each network that underwent
        it; NaN where that is not known.
    """
    sizes = np.asarray(sizes, dtype=np.float64)
    known = sizes[~np.isnan(sizes).any(axis=1)]
    return bool(known.size) and not known.any()


def effective_by_layer(
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
) -> dict[str, Effective]:
    """Returns the effective noise of each kernel alone, by its path.

    A kernel of which no weight survives is left out. Arguments and errors are those of
    `effective`.
    """
    _refuse_unfit(before, after, masks)
    return {
        path: effective({path: before[path]}, {path: after[path]}, {path: mask})
        for path, mask in masks.items()
        if mask.any()
    }


def effective(
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
) -> Effective:
    """Returns the effective noise: what after - before is like, in float64.

    Args:
      before: weights at k, by kernel path.
      after: perturbed weights of the same paths and shapes.
      masks: of the same paths and shapes; 0 is pruned, whatever the weights there.

    Raises:
      ValueError: paths or shapes differ, or nothing survives.
    """
    _refuse_unfit(before, after, masks)
    changes = np.concatenate([_changes(before, after, masks, p) for p in sorted(masks)])
    if not changes.size:
        raise ValueError(f"The masks of {sorted(masks)} keep no weight at all.")
    num_all = sum(mask.size for mask in masks.values())
    # Of the survivors' mean and variance and of num_all - n zeros.
    fraction = changes.size / num_all
    mean, variance = float(changes.mean()), float(changes.var())
    return Effective(
        mean=mean,
        std=variance**0.5,
        std_of_all=(fraction * variance + fraction * (1 - fraction) * mean**2) ** 0.5,
        num_weights=changes.size,
    )


def _changes(
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    path: str,
) -> np.ndarray:
    """Returns the changes of the surviving weights of one kernel: flat float64."""
    kept = masks[path] != 0
    return after[path][kept].astype(np.float64) - before[path][kept]


def _refuse_unfit(
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
) -> None:
    """Raises ValueError unless all three are of the same kernels, one at least."""
    if not masks:
        raise ValueError("masks is empty, expected those of at least one kernel.")
    for name, arrays in (("before", before), ("after", after)):
        if differing := key_mismatch.differing(arrays, expected=masks):
            raise ValueError(
                f"{name} is not for the kernels that have masks: {differing}."
            )
        for path, mask in masks.items():
            if arrays[path].shape != mask.shape:
                raise ValueError(
                    f"{name}[{path!r}] has shape {arrays[path].shape}, expected its "
                    f"mask's {mask.shape}."
                )
