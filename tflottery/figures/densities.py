"""Accuracy of pruned networks against density: what the figures about them share.

Lines are means and bars one standard deviation over networks, or the error of the mean
as one of the papers has it; density falls to the right, as in the papers.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import pandas
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from tflottery.core.amounts import counted
from tflottery.figures import lines, panels
from tflottery.figures.timescales import timescale

# The columns whose values have a block of panels of their own.
SETTING = ["model", "variant", "dataset", "task", "training_iterations", "config"]
PERCENT = 100.0
PANEL_INCHES = (4.2, 3.2)

_LABELLED_EVERY = 3


def with_accuracy(networks: pandas.DataFrame, *, name: str) -> pandas.DataFrame:
    """Returns a table of networks with their test accuracy (%) as a column more.

    Args:
      networks: a row a network, as in accuracy.csv.
      name: of the table, for the error.

    Raises:
      ValueError: the table has no rows.
    """
    panels.refuse_empty(networks, name=name)
    return networks.assign(accuracy=PERCENT * (1 - networks["test_error"]))


def kinds(
    networks: pandas.DataFrame,
) -> Iterator[tuple[pandas.DataFrame, dict[str, object]]]:
    """Yields the subnetworks of each kind and k, and how `draw` draws them.

    IMP has a shade for each k; every other kind a colour, and a style for each k.
    """
    sparse = networks[networks["subnetwork"] != "dense"]
    if not len(sparse):
        return
    scale = timescale(sparse)
    of_imp = sparse[sparse["subnetwork"] == "imp"]["rewind_iteration"].astype(int)
    shades = lines.iteration_colors(of_imp)
    for kind, color in lines.kind_colors(sparse["subnetwork"]).items():
        own = sparse[sparse["subnetwork"] == kind]
        for index, (k, part) in enumerate(own.groupby("rewind_iteration")):
            look = {"label": f"{lines.kind_name(kind)}, k = {scale.name(int(k))}"}
            if kind == "imp":
                look |= {"color": shades[int(k)], "style": "-", "marker": "o"}
            else:
                look |= {"color": color, **lines.kind_look(kind, index)}
            yield part, look


def draw_unpruned(
    axes: Axes, networks: pandas.DataFrame, *, error: str = "std"
) -> None:
    """Draws the dense ones among the networks: their mean, and a band."""
    dense = networks[networks["subnetwork"] == "dense"]
    lines.draw_unpruned(axes, dense["accuracy"], error=error)


def draw(
    axes: Axes,
    networks: pandas.DataFrame,
    *,
    color: object,
    label: str,
    style: str = "-",
    marker: str = "o",
    x: str = "axis_density",
    error: str = "std",
) -> None:
    """Draws accuracy against density: means and bars.

    Args:
      axes: the panel.
      networks: a row a network, with the columns accuracy and `x`.
      color: of the line.
      label: what the legend says.
      style: of the line.
      marker: of its points.
      x: which density, a column.
      error: how long bars are: "std" or "stderr", as of `lines.summary`.
    """
    table = lines.summary(networks, by=x, value="accuracy")
    lines.draw_bars(
        axes,
        PERCENT * table[x],
        table["mean"],
        table[error],
        color=color,
        label=label,
        style=style,
        marker=marker,
    )


def finish(
    axes: Axes, networks: pandas.DataFrame, *, title: str, x: str = "axis_density"
) -> None:
    """Labels a panel of accuracy against density, of which these have all there are."""
    panels.tidy(axes, title=title, x="density (%)", y="test accuracy (%)")
    axes.set_xscale("log")
    densities = sorted(networks[x].unique(), reverse=True)
    ticks = [PERCENT * density for density in densities]
    axes.set_xlim(ticks[0] * 1.08, ticks[-1] / 1.08)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(_roomy_labels(densities))


def _roomy_labels(densities: Sequence[float]) -> list[str]:
    """Returns a label for each density, "" where many would stand too close."""
    places = [-math.log(density) for density in densities]
    steps = [after - one for one, after in itertools.pairwise(places)]
    is_roomy = len(places) <= 2 * _LABELLED_EVERY
    # Levels are even steps but for rounding; where some are left out they are longer.
    needed = 0.0 if is_roomy else (_LABELLED_EVERY - 0.5) * min(steps)
    labels, last = [], -math.inf
    for place, density in zip(places, densities, strict=True):
        is_labelled = place - last >= needed
        labels.append(percent(density) if is_labelled else "")
        last = place if is_labelled else last
    return labels


def percent(density: float) -> str:
    """Returns a density in percent, with a digit more where it is small."""
    value = PERCENT * density
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def title(networks: pandas.DataFrame, *, num_replicates: int) -> str:
    """Returns what networks of one setting are, in two lines."""
    return panels.title(networks, counted(num_replicates, "replicate"))
