"""Pairs of networks and the lines between them: instability.csv, interpolation.csv.

How high the line rises is told in two ways, of error and of loss: above the mean of the
two ends (`_instability`, as LMC defines it) and above the straight line between the
values at the ends (`_barrier`). The two are the same where the ends are equally good.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from tflottery.analysis.instability import barrier, instability
from tflottery.studies.columns import NetworkKeys


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair(NetworkKeys):
    """Two copies at an iteration.

    Attributes:
      rewind_iteration: where they part.
      data_order_a: of network a; those of copies begin at 1.
      data_order_b: of network b.
      iteration: at which they are compared.
      network_a: its address in the store.
      network_b: likewise.
      mask: address of the masks of both; None where nothing is pruned.
    """

    rewind_iteration: int
    data_order_a: int
    data_order_b: int
    iteration: int
    network_a: str
    network_b: str
    mask: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row(Pair):
    """A pair of trained networks.

    Errors, their instabilities and barriers are fractions of the images, in [0, 1];
    losses are mean cross-entropies in nats, and what is worked out from them is missing
    where a loss on the line is no finite number.

    `dense_test_error` is that of the replicate's unpruned network, and `matching` says
    whether the mean test error of a and b is within a standard deviation of the mean of
    those over all replicates, or lower; both only for subnetworks at the end of
    training. `diverged_iteration` is that of a copy's training, or of one before it.
    """

    train_instability: float | None = None
    test_instability: float | None = None
    l2_distance: float | None = None
    train_error_a: float | None = None
    train_error_b: float | None = None
    test_error_a: float | None = None
    test_error_b: float | None = None
    train_error_barrier: float | None = None
    test_error_barrier: float | None = None
    train_loss_instability: float | None = None
    test_loss_instability: float | None = None
    train_loss_barrier: float | None = None
    test_loss_barrier: float | None = None
    train_loss_a: float | None = None
    train_loss_b: float | None = None
    test_loss_a: float | None = None
    test_loss_b: float | None = None
    train_instability_reestimated: float | None = None
    test_instability_reestimated: float | None = None
    train_error_a_reestimated: float | None = None
    train_error_b_reestimated: float | None = None
    test_error_a_reestimated: float | None = None
    test_error_b_reestimated: float | None = None
    train_error_barrier_reestimated: float | None = None
    test_error_barrier_reestimated: float | None = None
    train_loss_instability_reestimated: float | None = None
    test_loss_instability_reestimated: float | None = None
    train_loss_barrier_reestimated: float | None = None
    test_loss_barrier_reestimated: float | None = None
    train_loss_a_reestimated: float | None = None
    train_loss_b_reestimated: float | None = None
    test_loss_a_reestimated: float | None = None
    test_loss_b_reestimated: float | None = None
    diverged_iteration: int | None = None
    dense_test_error: float | None = None
    matching: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point(Pair):
    """A point on the line between two networks; alpha is network a's part of it."""

    alpha: float
    train_error: float | None = None
    test_error: float | None = None
    train_loss: float | None = None
    test_loss: float | None = None
    train_error_reestimated: float | None = None
    test_error_reestimated: float | None = None
    train_loss_reestimated: float | None = None
    test_loss_reestimated: float | None = None


# Along a line: the split, what is measured of it, how batch norm is set.
_SPLITS, _READINGS = ("train", "test"), ("", "_reestimated")


def summary(measured: Mapping[str, object]) -> dict[str, float | None]:
    """Returns the columns of a row, worked out from what was measured on its line.

    Args:
      measured: as `components.interpolating.read` returns it.
    """
    alphas = measured["alpha"]
    found = {"l2_distance": measured["l2_distance"]}
    for reading in _READINGS:
        for split in _SPLITS:
            errors = measured.get(f"{split}_error{reading}")
            losses = measured.get(f"{split}_loss{reading}")
            if errors is not None:
                found[f"{split}_instability{reading}"] = instability(errors)
                found |= _of_ends(f"{split}_error", errors, alphas, reading)
            if losses is not None:
                finite = all(map(math.isfinite, losses))
                name = f"{split}_loss_instability{reading}"
                found[name] = instability(losses) if finite else None
                found |= _of_ends(f"{split}_loss", losses, alphas, reading)
    return found


def points(keys: Mapping[str, object], measured: Mapping[str, object]) -> list[Point]:
    """Returns the points of a line as rows.

    Args:
      keys: the columns of the pair.
      measured: as `components.interpolating.read` returns it.
    """
    names = {field.name for field in dataclasses.fields(Point)} & measured.keys()
    columns = [measured[name] for name in names]
    return [
        Point(**keys, **dict(zip(names, values, strict=True)))
        for values in zip(*columns, strict=True)
    ]


def _of_ends(
    name: str, values: Sequence[float], alphas: Sequence[float], reading: str
) -> dict[str, float | None]:
    """Returns the values at the ends of a line, and the barrier between them."""
    finite = all(map(math.isfinite, values))
    # alpha runs from 0, where network b is, to 1, where network a is.
    return {
        f"{name}_b{reading}": values[0],
        f"{name}_a{reading}": values[-1],
        f"{name}_barrier{reading}": barrier(values, alphas) if finite else None,
    }
