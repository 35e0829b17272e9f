"""The figures of pruning: accuracy against density (LMC Figures 5 and 8; EP 1 and A2).

For each setting in the tables a panel with IMP for every k, the random controls and the
band of the unpruned network; and, where IMP rewound to several k, a panel of the best
over all k with the studied density (Appendix A). Lines are means and bars one standard
deviation over networks.
"""

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.figures import densities, lines
from tflottery.figures.densities import PERCENT, SETTING

_PANEL_INCHES = (4.6, 3.4)
_BEST_COLOR = "#d55e00"


def draw(accuracy: pandas.DataFrame, best: pandas.DataFrame) -> Figure:
    """Returns the figure of the tables of the lottery experiment.

    Args:
      accuracy: a row a network, as in accuracy.csv.
      best: a row a level, as in best.csv.

    Raises:
      ValueError: the table of accuracy has no rows.
    """
    accuracy = densities.with_accuracy(accuracy, name="accuracy")
    settings = list(accuracy.groupby(SETTING, sort=False))
    several = accuracy[accuracy["subnetwork"] == "imp"]["rewind_iteration"].nunique()
    num_panels = 2 if several > 1 else 1
    width, height = _PANEL_INCHES
    figure = Figure(
        figsize=(width * num_panels, height * len(settings) + 0.3), layout="constrained"
    )
    grid = figure.subplots(len(settings), num_panels, squeeze=False)
    for panels, (key, networks) in zip(grid, settings, strict=True):
        model, variant, dataset, length, _ = key
        title = f"{model}, {variant}, {dataset}, {length:,} iterations"
        _draw_kinds(panels[0], networks)
        _finish(panels[0], networks, title=title)
        for axes in panels[1:]:
            own = (best[SETTING] == list(key)).all(axis=1)
            _draw_best(axes, networks, best[own])
            _finish(axes, networks, title="best over all k")
    return figure


def _draw_kinds(axes: Axes, networks: pandas.DataFrame) -> None:
    """Draws every kind of network against density."""
    densities.draw_unpruned(axes, networks)
    for own, look in densities.kinds(networks):
        densities.draw(axes, own, **look)


def _draw_best(axes: Axes, networks: pandas.DataFrame, best: pandas.DataFrame) -> None:
    """Draws the best k of every level beside the first k, and what is studied."""
    densities.draw_unpruned(axes, networks)
    imp = networks[networks["subnetwork"] == "imp"]
    if not len(imp):
        return
    first = imp["rewind_iteration"].min()
    own = imp[imp["rewind_iteration"] == first]
    label = f"IMP, k = {lines.iteration_name(int(first))}"
    densities.draw(axes, own, color="0.2", label=label)
    densities.draw_bars(
        axes,
        PERCENT * best["axis_density"],
        PERCENT * (1 - best["test_error_mean"]),
        PERCENT * best["test_error_std"].astype(float).fillna(0.0),
        color=_BEST_COLOR,
        label="IMP, best k",
        marker="s",
        size=4,
        width=1.4,
    )
    for density in best[best["studied"].eq(True)]["axis_density"]:
        axes.axvline(
            PERCENT * density,
            color="0.4",
            linestyle="--",
            linewidth=1,
            label=f"sparsest matching: {densities.percent(density)}%",
        )


def _finish(axes: Axes, networks: pandas.DataFrame, *, title: str) -> None:
    """Labels a panel, and draws its legend."""
    densities.finish(axes, networks, title=title)
    lines.legend(axes, location="lower left")
