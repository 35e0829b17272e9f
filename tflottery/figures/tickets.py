"""The figure of tickets by how they were found (limited supervision, Figure 1).

One panel for each setting in the table: accuracy against density, a colour for each
search that found the tickets and a style for each k, beside random pruning and the band
of the unpruned network. Lines are means and bars one standard deviation over
replicates.
"""

import functools

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.figures import densities, lines, panels
from tflottery.figures.densities import PANEL_INCHES, SETTING
from tflottery.figures.timescales import timescale

_COLORS = ("#0072b2", "#d55e00", "#e69f00", "#56b4e9", "#009e73", "#cc79a7")


def draw(accuracy: pandas.DataFrame) -> Figure:
    """Returns the figure of the table of an experiment on how tickets are found.

    Args:
      accuracy: a row a network, as in accuracy.csv.

    Raises:
      ValueError: the table has no rows.
    """
    accuracy = densities.with_accuracy(accuracy, name="accuracy")
    blocks = []
    for _, own in accuracy.groupby(SETTING, sort=False):
        panel = functools.partial(_draw_panel, networks=own)
        title = densities.title(own, num_replicates=own["replicate"].nunique())
        blocks.append(panels.Block(title, [[panel]]))
    return panels.drawn(blocks, inches=PANEL_INCHES)


def _draw_panel(axes: Axes, *, networks: pandas.DataFrame) -> None:
    """Draws the tickets of every search against density."""
    densities.draw_unpruned(axes, networks)
    scale = timescale(networks)
    tickets = networks[networks["search"].notna()]
    for number, search in enumerate(tickets["search"].unique()):
        own = tickets[tickets["search"] == search]
        color = _COLORS[number % len(_COLORS)]
        for index, (k, part) in enumerate(own.groupby("rewind_iteration")):
            label = f"tickets of {search}, k = {scale.name(int(k))}"
            style = "-" if index == 0 else lines.style_of(index - 1)
            densities.draw(axes, part, color=color, label=label, style=style)
    for own, look in densities.kinds(networks[networks["search"].isna()]):
        densities.draw(axes, own, **(look | {"color": "0.4"}))
    densities.finish(axes, networks, title="tickets of each search")
