"""The layout of a figure: blocks of panels, a legend below each, and plain axes."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from tflottery.figures import reported

# Draws a panel on the axes that it is given.
Panel = Callable[[Axes], None]

_TITLE_INCHES = 0.5
# Of a legend, in inches: a letter, a line, and what stands before a label.
_LETTER_INCHES, _LINE_INCHES, _HANDLE_INCHES = 0.06, 0.19, 0.52


@dataclasses.dataclass(frozen=True)
class Block:
    """Panels under one title, with one legend below them all.

    Attributes:
      title: what they have in common.
      rows: the panels, row by row.
      footer: a panel as wide as the figure, below the others; None: there is none.
      footer_inches: its height.
      has_legend: whether there is a legend; the same label looks the same in all
        panels of a block.
      shares_y: whether all panels of a row have one scale of y.
    """

    title: str
    rows: Sequence[Sequence[Panel]]
    footer: Panel | None = None
    footer_inches: float = 0.0
    has_legend: bool = True
    shares_y: bool = False

    def height(self, panel_height: float) -> float:
        """Returns its height without a legend, in inches."""
        return panel_height * len(self.rows) + self.footer_inches + _TITLE_INCHES


def drawn(blocks: Sequence[Block], *, inches: tuple[float, float]) -> Figure:
    """Returns a figure of blocks, one below the other.

    Args:
      blocks: at least one.
      inches: width and height of a panel.
    """
    width, height = inches
    num_columns = max(len(row) for block in blocks for row in block.rows)
    heights = [block.height(height) for block in blocks]
    size = (width * num_columns, sum(heights))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(len(blocks), 1, height_ratios=heights)
    for index, block in enumerate(blocks):
        part = figure.add_subfigure(grid[index])
        part.suptitle(block.title, fontsize=11)
        _draw_panels(part, block, num_columns=num_columns, panel_height=height)
        if block.has_legend:
            heights[index] += _draw_legend(part, width=size[0])
    # Legends are below the panels, not at their cost.
    grid.set_height_ratios(heights)
    figure.set_size_inches(size[0], sum(heights))
    return figure


def _draw_panels(
    part: SubFigure, block: Block, *, num_columns: int, panel_height: float
) -> None:
    """Draws the panels of a block."""
    heights = [panel_height] * len(block.rows)
    heights += [block.footer_inches] if block.footer is not None else []
    grid = part.add_gridspec(len(heights), num_columns, height_ratios=heights)
    for row_index, row in enumerate(block.rows):
        first = None
        for column, draw in enumerate(row):
            shared = {"sharey": first} if block.shares_y else {}
            axes = part.add_subplot(grid[row_index, column], **shared)
            draw(axes)
            first = first or axes
    if block.footer is not None:
        block.footer(part.add_subplot(grid[-1, :]))


def _draw_legend(part: SubFigure, *, width: float) -> float:
    """Draws the legend below a block; returns its height in inches."""
    found: dict[str, object] = {}
    for axes in part.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if not found:
        return 0.0
    num_columns = _num_columns(list(found), width=width)
    part.legend(
        list(found.values()),
        list(found),
        loc="outside lower center",
        ncols=num_columns,
        fontsize=8,
        frameon=False,
        columnspacing=1.4,
    )
    return _LINE_INCHES * math.ceil(len(found) / num_columns)


def _num_columns(labels: Sequence[str], *, width: float) -> int:
    """Returns in how many columns labels fit a width in inches, in fewest lines."""
    for num_lines in range(1, len(labels) + 1):
        # Column by column, and evenly, as matplotlib fills them.
        columns = np.array_split(labels, math.ceil(len(labels) / num_lines))
        letters = [max(map(len, column)) for column in columns]
        if sum(_HANDLE_INCHES + _LETTER_INCHES * most for most in letters) <= width:
            break
    return len(letters)


def explain(axes: Axes, label: str, **look: object) -> None:
    """Adds a line to the legend that is not in the panel, or a patch without a style.

    Args:
      axes: any of the block.
      label: what the legend says.
      **look: color, and linestyle of a line.
    """
    if "linestyle" in look:
        axes.plot([], [], label=label, **look)
    else:
        axes.fill([], [], label=label, linewidth=0, **look)


def tidy(axes: Axes, *, title: str, x: str, y: str) -> None:
    """Sets title and names of the axes, and a light grid."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(True, color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def title(networks: pandas.DataFrame, *details: str) -> str:
    """Returns what networks of one setting are, in two lines.

    Args:
      networks: rows with the columns model, variant, dataset, training_iterations.
      *details: what else is to be said of them.
    """
    first = networks.iloc[0]
    network = reported.NETWORKS.get(first["model"], first["model"])
    length = f"{first['training_iterations']:,} iterations"
    said = ", ".join([first["variant"], length, *details])
    return f"{network} on {reported.learned(first)}\n{said}"


def refuse_empty(table: pandas.DataFrame, *, name: str) -> None:
    """Raises ValueError if a table has no rows."""
    if not len(table):
        raise ValueError(f"The table {name!r} has no rows: nothing can be drawn.")
