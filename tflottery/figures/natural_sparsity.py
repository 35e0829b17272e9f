"""The figure of sorted magnitudes (limited supervision, Figures 6 and 9).

One panel for each network and data set: the magnitudes of its weights in ascending
order on a logarithmic axis that ends at machine precision, a line an optimizer, and the
natural sparsity that the paper reports. Lines are means and bands one standard
deviation over replicates.
"""

import functools

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.core.amounts import counted
from tflottery.figures import lines, panels, reported
from tflottery.figures.densities import PANEL_INCHES, PERCENT

# Where the paper's axis ends; what is lower is drawn there.
_FLOOR = 1e-7
_COLORS = {"adam": "#0072b2", "sgd": "#d55e00"}
# Optimizers share a panel, though `config` tells them apart.
_SETTING = ["model", "variant", "dataset", "task", "training_iterations"]


def draw(weights: pandas.DataFrame) -> Figure:
    """Returns the figure of the table of sorted weights.

    Args:
      weights: a row a network and quantile, as in sorted_weights.csv.

    Raises:
      ValueError: the table has no rows.
    """
    panels.refuse_empty(weights, name="sorted_weights")
    weights = weights.assign(
        percentile=PERCENT * weights["quantile"],
        drawn=weights["abs_weight"].clip(lower=_FLOOR),
    )
    blocks = []
    for _, own in weights.groupby(_SETTING, sort=False):
        panel = functools.partial(_draw_panel, weights=own)
        replicates = counted(own["replicate"].nunique(), "replicate")
        blocks.append(panels.Block(panels.title(own, replicates), [[panel]]))
    return panels.drawn(blocks, inches=PANEL_INCHES)


def _draw_panel(axes: Axes, *, weights: pandas.DataFrame) -> None:
    """Draws the magnitudes of one network, trained with each optimizer."""
    axes.set_yscale("log")
    kinds = weights.groupby(["optimizer", "config"], sort=False)
    several = kinds.ngroups > weights["optimizer"].nunique()
    seen: dict[str, int] = {}
    for (optimizer, config), own in kinds:
        index = seen[optimizer] = seen.get(optimizer, -1) + 1
        table = lines.summary(own, by="percentile", value="drawn")
        lines.draw(
            axes,
            table,
            color=_COLORS[optimizer],
            label=f"{optimizer} ({config})" if several else optimizer,
            style="-" if index == 0 else lines.style_of(index - 1),
        )
    first = weights.iloc[0]
    for optimizer in seen:
        paper = reported.natural_sparsity(
            first["model"], dataset=reported.learned(first), optimizer=optimizer
        )
        if paper is not None:
            axes.plot(paper.value, _FLOOR, "D", **reported.LOOK)
    panels.tidy(
        axes,
        title="sorted magnitudes",
        x="weights with a lower magnitude (%)",
        y="magnitude",
    )
    axes.set_xlim(0, PERCENT)
    axes.set_ylim(bottom=_FLOOR)
