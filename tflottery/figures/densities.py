"""Accuracy of pruned networks against density: what the figures about them share.

Lines are means and bars one standard deviation over networks; density falls to the
right, as in the papers.
"""

import math
from collections.abc import Iterator, Sequence

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from tflottery.figures import lines, reported

# The columns whose values have a row of panels of their own.
SETTING = ["model", "variant", "dataset", "training_iterations", "config"]
PERCENT = 100.0

_PANEL_INCHES = (4.2, 3.2)
_TITLE_HEIGHT = 0.4
_LABELLED_EVERY = 3
_STYLES = ("--", ":", "-.")
_CONTROLS = {
    "random_pruning": ("#009e73", "random pruning"),
    "random_reinit": ("#cc79a7", "random reinitialization"),
}
# Of a figure's legend, in inches: a letter, a line, and what stands before a label.
_LETTER_WIDTH, _LINE_HEIGHT, _HANDLE_WIDTH = 0.058, 0.19, 0.45


def with_accuracy(networks: pandas.DataFrame, *, name: str) -> pandas.DataFrame:
    """Returns a table of networks with their test accuracy (%) as a column more.

    Args:
      networks: a row a network, as in accuracy.csv.
      name: of the table, for the error.

    Raises:
      ValueError: the table has no rows.
    """
    refuse_empty(networks, name=name)
    return networks.assign(accuracy=PERCENT * (1 - networks["test_error"]))


def refuse_empty(table: pandas.DataFrame, *, name: str) -> None:
    """Raises ValueError if a table has no rows."""
    if not len(table):
        raise ValueError(f"The table {name!r} has no rows: nothing can be drawn.")


def kinds(
    networks: pandas.DataFrame,
) -> Iterator[tuple[pandas.DataFrame, dict[str, object]]]:
    """Yields the subnetworks of each kind and k, and how `draw` draws them."""
    imp = networks[networks["subnetwork"] == "imp"]
    colors = lines.iteration_colors(imp["rewind_iteration"].astype(int))
    for k, color in colors.items():
        label = f"IMP, k = {lines.iteration_name(k)}"
        look = {"color": color, "label": label, "style": "-", "marker": "o"}
        yield imp[imp["rewind_iteration"] == k], look
    for kind, (color, name) in _CONTROLS.items():
        own = networks[networks["subnetwork"] == kind]
        for index, (k, part) in enumerate(own.groupby("rewind_iteration")):
            label = f"{name}, k = {lines.iteration_name(int(k))}"
            style = style_of(index)
            yield part, {"color": color, "label": label, "style": style, "marker": "s"}


def style_of(index: int) -> str:
    """Returns one of the styles of lines that are not solid."""
    return _STYLES[index % len(_STYLES)]


def draw_unpruned(axes: Axes, networks: pandas.DataFrame) -> None:
    """Draws the dense ones among the networks: their mean, and a band."""
    dense = networks[networks["subnetwork"] == "dense"]
    lines.draw_unpruned(axes, dense["accuracy"])


def draw(
    axes: Axes,
    networks: pandas.DataFrame,
    *,
    color: object,
    label: str,
    style: str = "-",
    marker: str = "o",
) -> None:
    """Draws accuracy against density: means, and bars of one standard deviation."""
    table = lines.summary(networks, by="axis_density", value="accuracy")
    draw_bars(
        axes,
        PERCENT * table["axis_density"],
        table["mean"],
        table["std"],
        color=color,
        label=label,
        style=style,
        marker=marker,
    )


def draw_bars(
    axes: Axes,
    x: Sequence[float],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    color: object,
    label: str,
    style: str = "-",
    marker: str = "o",
    size: float = 3,
    width: float = 1.3,
) -> None:
    """Draws points with a bar each; with style "none" no line joins them."""
    axes.errorbar(
        x,
        mean,
        std,
        color=color,
        label=label,
        linestyle=style,
        marker=marker,
        markersize=size,
        linewidth=width,
        capsize=2,
    )


def finish(axes: Axes, networks: pandas.DataFrame, *, title: str) -> None:
    """Labels a panel of accuracy against density, of which these have all there are."""
    lines.tidy(axes, title=title, x="density (%)", y="test accuracy (%)")
    axes.set_xscale("log")
    densities = sorted(networks["axis_density"].unique(), reverse=True)
    ticks = [PERCENT * density for density in densities]
    axes.set_xlim(ticks[0] * 1.08, ticks[-1] / 1.08)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    every = _LABELLED_EVERY if len(ticks) > 2 * _LABELLED_EVERY else 1
    axes.set_xticklabels(
        [
            percent(density) if index % every == 0 else ""
            for index, density in enumerate(densities)
        ]
    )


def percent(density: float) -> str:
    """Returns a density in percent, with a digit more where it is small."""
    value = PERCENT * density
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def panels(
    titles: Sequence[str], num_panels: Sequence[int]
) -> tuple[Figure, list[list[Axes]]]:
    """Returns a figure with a row of panels under each title, and the panels.

    Args:
      titles: of the rows.
      num_panels: of each row; the others' places stay empty.
    """
    width, height = _PANEL_INCHES
    size = (width * max(num_panels), (height + _TITLE_HEIGHT) * len(titles))
    figure = Figure(figsize=size, layout="constrained")
    grid = []
    rows = figure.subfigures(len(titles), 1, squeeze=False)[:, 0]
    for row, title_, used in zip(rows, titles, num_panels, strict=True):
        row.suptitle(title_, fontsize=11)
        places = list(row.subplots(1, max(num_panels), squeeze=False)[0])
        for axes in places[used:]:
            axes.set_axis_off()
        grid.append(places[:used])
    return figure, grid


def title(networks: pandas.DataFrame, *, num_replicates: int) -> str:
    """Returns what networks of one setting are, in two lines."""
    first = networks.iloc[0]
    network = reported.NETWORKS.get(first["model"], first["model"])
    dataset = reported.DATASETS.get(first["dataset"], first["dataset"])
    return (
        f"{network} on {dataset}\n{first['variant']}, "
        f"{first['training_iterations']:,} iterations, {num_replicates} "
        f"replicate{'s' if num_replicates > 1 else ''}"
    )


def draw_legends(figure: Figure) -> None:
    """Draws a legend below each row of panels, and makes room for it.

    Args:
      figure: of `panels`, drawn; the same label looks the same in all panels of a row.
    """
    width, height = figure.get_size_inches()
    most = 0
    for row in figure.subfigs:
        found: dict[str, object] = {}
        for axes in row.axes:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                found.setdefault(label, handle)
        if not found:
            continue
        column = _HANDLE_WIDTH + _LETTER_WIDTH * max(map(len, found))
        num_lines = math.ceil(len(found) / max(1, int(width / column)))
        most = max(most, num_lines)
        row.legend(
            list(found.values()),
            list(found),
            loc="outside lower center",
            ncols=math.ceil(len(found) / num_lines),
            fontsize=8,
            frameon=False,
            columnspacing=1.4,
        )
    figure.set_size_inches(width, height + _LINE_HEIGHT * most * len(figure.subfigs))
