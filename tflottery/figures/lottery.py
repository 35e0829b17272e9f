"""The figures of pruning: accuracy against density (LMC Figures 5 and 8; EP 1 and A2).

For each setting in the tables a panel with IMP for every k, the random controls and the
band of the unpruned network; and, where IMP rewound to several k, a panel of the best
over all k with the studied density (Appendix A). Lines are means and bars one standard
deviation over networks.
"""

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from tflottery.figures import lines

_SETTING = ["model", "variant", "dataset", "training_iterations", "config"]
_PERCENT = 100.0
_PANEL_INCHES = (4.6, 3.4)
_CONTROLS = {
    "random_pruning": ("#009e73", "random pruning"),
    "random_reinit": ("#cc79a7", "random reinitialization"),
}
_BEST_COLOR = "#d55e00"
_LABELLED_EVERY = 3


def draw(accuracy: pandas.DataFrame, best: pandas.DataFrame) -> Figure:
    """Returns the figure of the tables of the lottery experiment.

    Args:
      accuracy: a row a network, as in accuracy.csv.
      best: a row a level, as in best.csv.

    Raises:
      ValueError: the table of accuracy has no rows.
    """
    if not len(accuracy):
        raise ValueError("The table 'accuracy' has no rows: nothing can be drawn.")
    accuracy = accuracy.assign(accuracy=_PERCENT * (1 - accuracy["test_error"]))
    settings = list(accuracy.groupby(_SETTING, sort=False))
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
            own = (best[_SETTING] == list(key)).all(axis=1)
            _draw_best(axes, networks, best[own])
            _finish(axes, networks, title="best over all k")
    return figure


def _draw_kinds(axes: Axes, networks: pandas.DataFrame) -> None:
    """Draws every kind of network against density."""
    _draw_dense(axes, networks)
    imp = networks[networks["subnetwork"] == "imp"]
    colors = lines.iteration_colors(imp["rewind_iteration"].astype(int))
    for k, color in colors.items():
        own = imp[imp["rewind_iteration"] == k]
        label = f"IMP, k = {lines.iteration_name(k)}"
        _draw_line(axes, own, color=color, label=label, marker="o")
    for kind, (color, name) in _CONTROLS.items():
        own = networks[networks["subnetwork"] == kind]
        for index, (k, part) in enumerate(own.groupby("rewind_iteration")):
            label = f"{name}, k = {lines.iteration_name(int(k))}"
            style = ("--", ":", "-.")[index % 3]
            _draw_line(axes, part, color=color, label=label, style=style)


def _draw_best(axes: Axes, networks: pandas.DataFrame, best: pandas.DataFrame) -> None:
    """Draws the best k of every level beside the first k, and what is studied."""
    _draw_dense(axes, networks)
    imp = networks[networks["subnetwork"] == "imp"]
    if not len(imp):
        return
    first = imp["rewind_iteration"].min()
    own = imp[imp["rewind_iteration"] == first]
    label = f"IMP, k = {lines.iteration_name(int(first))}"
    _draw_line(axes, own, color="0.2", label=label, marker="o")
    axes.errorbar(
        _PERCENT * best["axis_density"],
        _PERCENT * (1 - best["test_error_mean"]),
        _PERCENT * best["test_error_std"].astype(float).fillna(0.0),
        color=_BEST_COLOR,
        label="IMP, best k",
        marker="s",
        markersize=4,
        linewidth=1.4,
        capsize=2,
    )
    for density in best[best["studied"].eq(True)]["axis_density"]:
        axes.axvline(
            _PERCENT * density,
            color="0.4",
            linestyle="--",
            linewidth=1,
            label=f"sparsest matching: {_percent(density)}%",
        )


def _draw_dense(axes: Axes, networks: pandas.DataFrame) -> None:
    """Draws the unpruned network."""
    dense = networks[networks["subnetwork"] == "dense"]
    lines.draw_unpruned(axes, dense["accuracy"])


def _draw_line(
    axes: Axes,
    networks: pandas.DataFrame,
    *,
    color: object,
    label: str,
    style: str = "-",
    marker: str = "s",
) -> None:
    """Draws accuracy against density: means, and bars of one standard deviation."""
    table = lines.summary(networks, by="axis_density", value="accuracy")
    axes.errorbar(
        _PERCENT * table["axis_density"],
        table["mean"],
        table["std"],
        color=color,
        label=label,
        linestyle=style,
        marker=marker,
        markersize=3,
        linewidth=1.3,
        capsize=2,
    )


def _finish(axes: Axes, networks: pandas.DataFrame, *, title: str) -> None:
    """Labels a panel; density falls to the right, as in the papers."""
    lines.tidy(axes, title=title, x="density (%)", y="test accuracy (%)")
    axes.set_xscale("log")
    densities = sorted(networks["axis_density"].unique(), reverse=True)
    ticks = [_PERCENT * density for density in densities]
    axes.set_xlim(ticks[0] * 1.08, ticks[-1] / 1.08)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    every = _LABELLED_EVERY if len(ticks) > 2 * _LABELLED_EVERY else 1
    axes.set_xticklabels(
        [
            _percent(density) if index % every == 0 else ""
            for index, density in enumerate(densities)
        ]
    )
    lines.legend(axes, location="lower left")


def _percent(density: float) -> str:
    """Returns a density in percent, with a digit more where it is small."""
    value = _PERCENT * density
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"
