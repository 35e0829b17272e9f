"""How weights move in the early phase of training: magnitude, sign, distance, angle.

Follows *The Early Phase of Neural Network Training*, Section 4 and Figures 2 and 3.
Weights are the kernels of convolutions and dense layers, all of them together; biases
and batch norm are none here, nor can they be pruned. The paper does not say which
tensors it counts.

The sign of a weight is -1, 0 or 1: one that is exactly 0.0 has a sign of its own (the
same for -0.0), so moving onto zero or off it is a change.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tflottery.analysis import interpolation
from tflottery.core import seeds

# Phases end here. The paper's iterations 1 to 10 are the updates from state 0 to 10.
BOUNDARIES = (0, 10, 500, 2000)
NUM_CHOSEN = 10

Kernels = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Statistic:
    """What a phase of training is like (Figure 2).

    Attributes:
      phase_start: iteration of the state that the phase begins with.
      phase_end: iteration of the state that it ends with.
      num_iterations: states measured in the phase, both ends among them.
      name: the column it comes from and what it is of it.
      value: in the column's unit, or what the name says.
    """

    phase_start: int
    phase_end: int
    num_iterations: int
    name: str
    value: float


def mean_magnitude(kernels: Kernels) -> float:
    """Returns the mean of all weights' absolute values, summed in float64.

    Raises:
      ValueError: there are no weights.
    """
    total = math.fsum(
        np.sum(np.abs(kernel), dtype=np.float64) for kernel in kernels.values()
    )
    return total / _num_weights(kernels)


def fraction_of_signs_changed(
    kernels: Kernels, earlier: Kernels, *, masks: Kernels | None = None
) -> float:
    """Returns the fraction of weights whose sign is not what it was earlier.

    Args:
      kernels: arrays by variable path.
      earlier: arrays of the same paths and shapes, such as the initial ones.
      masks: of the same paths and shapes; only weights where a mask is not 0 count.
        None: all do.

    Returns:
      In [0, 1].

    Raises:
      ValueError: paths or shapes differ, or there are no weights.
    """
    _refuse_unlike(kernels, earlier)
    changed = {
        path: np.sign(kernel) != np.sign(earlier[path])
        for path, kernel in kernels.items()
    }
    if masks is not None:
        _refuse_unlike(kernels, masks)
        changed = {path: one[masks[path] != 0] for path, one in changed.items()}
    count = sum(np.count_nonzero(one) for one in changed.values())
    return int(count) / _num_weights(changed)


def l2_distance(kernels: Kernels, others: Kernels) -> float:
    """Returns the Euclidean distance of all weights, computed in float64.

    Raises:
      ValueError: paths or shapes differ.
    """
    _refuse_unlike(kernels, others)
    return interpolation.l2_distance(kernels, others, paths=kernels.keys())


def cosine(kernels: Kernels, others: Kernels) -> float:
    """Returns the cosine of the angle between all weights, computed in float64.

    Returns:
      In [-1, 1]; NaN where all weights of one are zero, which has no direction.

    Raises:
      ValueError: paths or shapes differ.
    """
    _refuse_unlike(kernels, others)
    product = _inner(kernels, others)
    squares = _inner(kernels, kernels) * _inner(others, others)
    if not squares:
        return math.nan
    # Rounding may take that of a vector with itself past 1.
    return min(1.0, max(-1.0, product / math.sqrt(squares)))


def chosen_weights(
    shapes: Mapping[str, tuple[int, ...]], *, seed: int, count: int = NUM_CHOSEN
) -> list[tuple[str, int]]:
    """Returns the places of weights drawn uniformly from all of them, without repeats.

    Args:
      shapes: of the kernels, by path, in network order.
      seed: of `core.seeds`, one per replicate.
      count: how many; of fewer weights than that all are returned.

    Returns:
      Pairs of path and position in the flattened kernel, in the order drawn.
    """
    sizes = [math.prod(shape) for shape in shapes.values()]
    ends = np.cumsum(sizes)
    words = seeds.raw_bits(seed, "chosen_weights", int(ends[-1]))
    # Those of the lowest words: a permutation's first, without sorting millions.
    lowest = np.argpartition(words, min(count, len(words)) - 1)[:count]
    paths, places = list(shapes), []
    for index in lowest[np.argsort(words[lowest], kind="stable")]:
        kernel = int(np.searchsorted(ends, index, side="right"))
        places.append((paths[kernel], int(index - ends[kernel] + sizes[kernel])))
    return places


def phases(
    iterations: Sequence[int],
    columns: Mapping[str, Sequence[float]],
    *,
    minima: Collection[str] = (),
) -> list[Statistic]:
    """Returns what the phases of Figure 2 are like for one network.

    Every column's value at the start and the end of a phase and its change per
    iteration between them; of those in `minima` also the lowest value in the phase, its
    iteration (the first of equals), and the rebound: by which fraction of the minimum
    the phase ends above it. The last phase ends with what was measured last. Phases of
    which an end was not measured are left out.

    Args:
      iterations: at which the network was measured, ascending.
      columns: values at these iterations, by name.
      minima: names of columns.

    Raises:
      ValueError: a column is of another length, or iterations do not ascend.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    ascending = list(iterations) == sorted(set(iterations))
    if set(lengths.values()) - {len(iterations)} or not ascending:
        raise ValueError(
            f"iterations={list(iterations)!r} and columns of lengths {lengths}: "
            "expected ascending iterations and a value of every column at each."
        )
    last = max(iterations, default=0)
    found = []
    for start, end in zip(BOUNDARIES, (*BOUNDARIES[1:], last), strict=True):
        if start < end and {start, end} <= set(iterations):
            inside = [index for index, k in enumerate(iterations) if start <= k <= end]
            measured = [iterations[index] for index in inside]
            for name, column in columns.items():
                values = [column[index] for index in inside]
                statistics = _ends(measured, values)
                statistics |= _minimum(measured, values) if name in minima else {}
                found += [
                    Statistic(start, end, len(inside), f"{name}_{kind}", value)
                    for kind, value in statistics.items()
                ]
    return found


def _ends(iterations: Sequence[int], values: Sequence[float]) -> dict[str, float]:
    """Returns a phase's first and last value, and the change between them."""
    change = (values[-1] - values[0]) / (iterations[-1] - iterations[0])
    return {
        "at_start": values[0],
        "at_end": values[-1],
        "change_per_iteration": change,
    }


def _minimum(iterations: Sequence[int], values: Sequence[float]) -> dict[str, float]:
    """Returns a phase's lowest value, where it is, and how far it ends above it."""
    lowest = min(values)
    return {
        "minimum": lowest,
        "minimum_iteration": float(iterations[values.index(lowest)]),
        "rebound": values[-1] / lowest - 1 if lowest else math.nan,
    }


def _num_weights(kernels: Kernels) -> int:
    """Returns how many weights there are; raises ValueError if there is none."""
    count = sum(np.size(kernel) for kernel in kernels.values())
    if not count:
        raise ValueError(f"There are no weights in the kernels {sorted(kernels)}.")
    return count


def _inner(a: Kernels, b: Kernels) -> float:
    """Returns the inner product of all weights, in float64."""
    return math.fsum(
        np.sum(np.multiply(kernel, b[path], dtype=np.float64))
        for path, kernel in a.items()
    )


def _refuse_unlike(a: Kernels, b: Kernels) -> None:
    """Raises ValueError unless both have the same paths and shapes."""
    first, second = ({path: np.shape(k) for path, k in one.items()} for one in (a, b))
    if first != second:
        raise ValueError(
            "Kernels of two networks, or of one at two iterations, have to agree: only "
            f"in the first {sorted(first.items() - second.items())}, only in the "
            f"second {sorted(second.items() - first.items())}."
        )
