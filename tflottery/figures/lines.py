"""Lines: a mean with its standard deviation, on the papers' axes."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

# Train and test, told apart in print and by colour-blind readers alike.
SPLIT_COLORS = {"train": "#0072b2", "test": "#d55e00"}
# Labels on an axis keep this fraction of its length between each other.
_LABEL_GAP = 0.085


def summary(frame: pandas.DataFrame, *, by: str, value: str) -> pandas.DataFrame:
    """Returns mean and standard deviation (n - 1) of a column for each value of `by`.

    Rows in which the column is missing do not count. Columns: `by`, mean, std (0 where
    there is one row), count; sorted by `by`.
    """
    groups = frame.dropna(subset=[value]).groupby(by, sort=True)[value]
    table = groups.agg(["mean", "std", "count"]).reset_index()
    return table.fillna({"std": 0.0})


def draw(
    axes: Axes,
    table: pandas.DataFrame,
    *,
    color: object,
    label: str | None = None,
    style: str = "-",
    marker: str = "",
    band: bool = True,
    scale: float = 1.0,
) -> Line2D | None:
    """Draws a table of `summary`: a line of means and a band of one deviation.

    Returns:
      The line; None if the table is empty.
    """
    if not len(table):
        return None
    x = table.iloc[:, 0].to_numpy(float)
    mean, std = (table[name].to_numpy(float) * scale for name in ("mean", "std"))
    if band and len(table) == 1:
        # A band needs a width: one point gets a bar instead.
        axes.errorbar(x, mean, std, color=color, alpha=0.5, capsize=3)
    elif band:
        axes.fill_between(x, mean - std, mean + std, color=color, alpha=0.18, lw=0)
    (line,) = axes.plot(
        x,
        mean,
        color=color,
        label=label,
        linestyle=style,
        linewidth=1.6 if style == "-" else 1.1,
        marker=marker,
        markersize=4,
    )
    return line


def draw_unpruned(axes: Axes, values: pandas.Series) -> None:
    """Draws the dense networks: their mean, and a band of one standard deviation."""
    values = values.dropna()
    if not len(values):
        return
    mean, std = values.mean(), values.std() if len(values) > 1 else 0.0
    axes.axhspan(mean - std, mean + std, color="0.85", linewidth=0)
    axes.axhline(mean, color="0.5", linewidth=1, label="unpruned")


def iteration_name(iteration: int) -> str:
    """Returns 500 as "500", 2000 as "2K", 2500 as "2.5K"."""
    if iteration < 1000:
        return str(iteration)
    return f"{iteration / 1000:g}K"


def iteration_colors(iterations: Sequence[int]) -> dict[int, tuple]:
    """Returns a colour for each iteration, dark for the earliest."""
    ordered = sorted(set(iterations))
    shades = np.linspace(0.0, 0.88, max(len(ordered), 2))
    colors = matplotlib.colormaps["plasma"](shades)
    return {k: tuple(color) for k, color in zip(ordered, colors, strict=False)}


def iteration_axis(axes: Axes, iterations: Sequence[int]) -> None:
    """Makes the x axis logarithmic with 0 at its left end, labelled at `iterations`."""
    ticks = sorted(set(iterations))
    positive = [k for k in ticks if k > 0]
    if not positive:
        axes.set_xlim(-1, 1)
        axes.xaxis.set_major_locator(FixedLocator([0]))
        return
    if ticks[0] == 0:
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
    axes.set_xticklabels(_roomy_labels(ticks, places))


def legend(axes: Axes, *, location: str) -> None:
    """Draws the legend of a panel, legible over its lines."""
    axes.legend(
        fontsize=7.5, loc=location, facecolor="white", framealpha=0.85, edgecolor="none"
    )


def thousands_axis(axes: Axes) -> None:
    """Labels a linear axis of iterations as 0, 10K, 20K, ..."""
    axes.xaxis.set_major_formatter(lambda value, _: iteration_name(round(value)))


def tidy(axes: Axes, *, title: str, x: str, y: str) -> None:
    """Sets title and names of the axes, and a light grid."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(True, color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _roomy_labels(ticks: Sequence[int], places: np.ndarray) -> list[str]:
    """Returns a label for each tick, "" where it would run into the one before."""
    needed = _LABEL_GAP * (places[-1] - places[0])
    labels, last = [], -np.inf
    for tick, place in zip(ticks, places, strict=True):
        roomy = place - last >= needed
        labels.append(iteration_name(tick) if roomy else "")
        last = place if roomy else last
    return labels
