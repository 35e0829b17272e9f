"""How iterations are told: 500, 2K, or in epochs where a paper counts in them."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

# Where LMC Figures 3 and 7 have a linear axis in epochs; the others are logarithmic.
_IN_EPOCHS = ("imagenet2012",)
# Labels on an axis keep this fraction of its length between each other.
_LABEL_GAP = 0.085


@dataclasses.dataclass(frozen=True)
class Timescale:
    """How a network's iterations k are named and laid out.

    Attributes:
      is_linear: whether axes of k are; logarithmic otherwise.
      epoch_iterations: iterations in an epoch, to tell k in epochs; None: in
        iterations.
    """

    is_linear: bool = False
    epoch_iterations: float | None = None

    @property
    def unit(self) -> str:
        """What k is counted in."""
        return "epochs" if self.epoch_iterations else "iterations"

    def number(self, iteration: int) -> str:
        """Returns an iteration as axes put it: "500", "2K", or "4" epochs."""
        if self.epoch_iterations:
            return f"{iteration / self.epoch_iterations:.3g}"
        return iteration_name(iteration)

    def name(self, iteration: int) -> str:
        """Returns an iteration as legends put it, with a unit where it is epochs."""
        return self.number(iteration) + (" ep" if self.epoch_iterations else "")

    def set_axis(self, axes: Axes, iterations: Sequence[int]) -> None:
        """Lays out the x axis, labelled at `iterations`, with 0 at its left end."""
        ticks = sorted(set(iterations))
        positive = [k for k in ticks if k > 0]
        axes.set_xlabel(f"k ({self.unit})", fontsize=9)
        if not positive:
            axes.set_xlim(-1, 1)
            axes.xaxis.set_major_locator(FixedLocator([0]))
            return
        if self.is_linear:
            axes.set_xscale("linear")
        elif ticks[0] == 0:
            # Linear from 0 to the first k, as long as a factor of two is beyond it.
            axes.set_xscale("symlog", linthresh=positive[0], linscale=0.5, base=2)
        else:
            axes.set_xscale("log", base=2)
        places = axes.xaxis.get_transform().transform(np.array(ticks, dtype=float))
        margin = 0.06 * (places[-1] - places[0]) or 0.5
        inverse = axes.xaxis.get_transform().inverted()
        axes.set_xlim(*inverse.transform([places[0] - margin, places[-1] + margin]))
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels(self._roomy_labels(ticks, places))

    def _roomy_labels(self, ticks: Sequence[int], places: np.ndarray) -> list[str]:
        """Returns a label for each tick, "" where it would touch the one before."""
        needed = _LABEL_GAP * (places[-1] - places[0])
        labels, last = [], -np.inf
        for tick, place in zip(ticks, places, strict=True):
            roomy = place - last >= needed
            labels.append(self.number(tick) if roomy else "")
            last = place if roomy else last
        return labels


def timescale(networks: pandas.DataFrame) -> Timescale:
    """Returns how the iterations of networks of one data set are told.

    Args:
      networks: rows with the column dataset; epochs need the column epoch_iterations
        of `figures.facts`.
    """
    first = networks.iloc[0]
    if first["dataset"] not in _IN_EPOCHS:
        return Timescale()
    known = first.get("epoch_iterations", math.nan)
    # Without it an epoch's length is not known, and the axis is one of iterations.
    return Timescale(True, None if pandas.isna(known) else float(known))


def iteration_name(iteration: int) -> str:
    """Returns 500 as "500", 2000 as "2K", 2500 as "2.5K"."""
    if iteration < 1000:
        return str(iteration)
    return f"{iteration / 1000:g}K"


def set_thousands_axis(axes: Axes) -> None:
    """Labels a linear axis of iterations as 0, 10K, 20K, ..."""
    axes.xaxis.set_major_formatter(lambda value, _: iteration_name(round(value)))
