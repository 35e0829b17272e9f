"""The figures of pruning: accuracy against density (LMC Figures 5 and 8; EP 1 and A2).

For each setting in the tables a panel with IMP for every k, the random controls and the
band of the unpruned network; and, where IMP rewound to several k, a panel of the best
over all k beside the controls, with the studied density (Appendix A). Lines are means
and bars one standard deviation over networks.
"""

import functools

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.figures import densities, lines, panels
from tflottery.figures.densities import PERCENT, SETTING

_PANEL_INCHES = (4.8, 3.4)
_BEST_COLOR = "#0072b2"


def draw(accuracy: pandas.DataFrame, best: pandas.DataFrame) -> Figure:
    """Returns the figure of the tables of the lottery experiment.

    Args:
      accuracy: a row a network, as in accuracy.csv.
      best: a row a level, as in best.csv.

    Raises:
      ValueError: the table of accuracy has no rows.
    """
    accuracy = densities.with_accuracy(accuracy, name="accuracy")
    blocks = []
    for key, networks in accuracy.groupby(SETTING, sort=False):
        row = [functools.partial(_draw_kinds, networks=networks)]
        imp = networks[networks["subnetwork"] == "imp"]
        if imp["rewind_iteration"].nunique() > 1:
            own = best[(best[SETTING] == list(key)).all(axis=1)]
            row.append(functools.partial(_draw_best, networks=networks, best=own))
        replicates = networks["replicate"].nunique()
        title = densities.title(networks, num_replicates=replicates)
        blocks.append(panels.Block(title, [row]))
    return panels.drawn(blocks, inches=_PANEL_INCHES)


def _draw_kinds(axes: Axes, *, networks: pandas.DataFrame) -> None:
    """Draws every kind of network against density."""
    densities.draw_unpruned(axes, networks)
    for own, look in densities.kinds(networks):
        densities.draw(axes, own, **look)
    densities.finish(axes, networks, title="every k")


def _draw_best(
    axes: Axes, *, networks: pandas.DataFrame, best: pandas.DataFrame
) -> None:
    """Draws the best k of every level beside the first k, and what is studied."""
    densities.draw_unpruned(axes, networks)
    # Of several commands, the best of their k.
    best = best.sort_values("test_error_mean").drop_duplicates("level")
    best = best.sort_values("level")
    # Below the others: it may be the same as the first k.
    lines.draw_bars(
        axes,
        PERCENT * best["axis_density"],
        PERCENT * (1 - best["test_error_mean"]),
        PERCENT * best["test_error_std"].astype(float).fillna(0.0),
        color=_BEST_COLOR,
        label="IMP, best k",
        marker="D",
        size=6,
        width=2.6,
    )
    first = networks[networks["subnetwork"] == "imp"]["rewind_iteration"].min()
    for own, look in densities.kinds(networks):
        is_imp = own["subnetwork"].iloc[0] == "imp"
        if not is_imp or own["rewind_iteration"].iloc[0] == first:
            densities.draw(axes, own, **look)
    for density in best[best["studied"].eq(True)]["axis_density"][-1:]:
        axes.axvline(
            PERCENT * density,
            color="0.4",
            linestyle="--",
            linewidth=1,
            label=f"sparsest matching: {densities.percent(density)}%",
        )
    densities.finish(axes, networks, title="best over all k")
