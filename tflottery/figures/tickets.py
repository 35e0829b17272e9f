"""The figures of tickets by how they were found (Finding Winning Tickets).

Each setting in the table has a panel; where only the first convolutions were pruned one
for each number of them, as in Figures 2 and 8. Accuracy against the density of what was
pruned: a colour for each search that found tickets, dashed where their weights were
reinitialized (Figure 11), in grey what is random, and the band of the unpruned network.
Adjusted random pruning is dashed on top of plain, with which it is one where training
makes no weights zero. Searches that found the same tickets are one line of both names.
Lines are means and bars, as in the paper, one standard error of the mean over
replicates. Diamonds are what the paper's tables say, in the line's colour.
"""

import functools
import itertools
import math

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.figures import densities, lines, panels, reported, reported_tickets
from tflottery.figures.densities import PERCENT, SETTING
from tflottery.figures.timescales import iteration_name

_PANEL_INCHES = (5.4, 3.9)
# Several beside each other.
_SMALL_PANEL_INCHES = (4.2, 3.2)
_ERROR = "stderr"
# The paper's density counts what may be pruned, without the head.
_X = "density"
_COLORS = ("#0072b2", "#d55e00", "#e69f00", "#56b4e9", "#009e73", "#cc79a7")
_COLORS += ("#7a5195", "#8c564b", "#117733", "#999933")
_GREYS = ("0.6", "0.75", "0.45")
# Seen on top of another line that it may coincide with.
_ADJUSTED, _ADJUSTED_LOOK = "adjusted_random", {"color": "0.15", "style": "--"}
_MARKERS = ("o", "^", "v", "s", "P", "X")
# By kind of the tickets: what the legend adds, and the style of the line.
_KINDS = {"imp": ("", "-"), "random_reinit": (", reinitialized", "--")}


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
        title = densities.title(own, num_replicates=own["replicate"].nunique())
        looks = _looks(own)
        row = [
            functools.partial(_draw_panel, networks=networks, looks=looks, title=name)
            for name, networks in _panels(own)
        ]
        blocks.append(panels.Block(title, [row], shares_y=True))
    is_wide = any(len(block.rows[0]) > 1 for block in blocks)
    inches = _SMALL_PANEL_INCHES if is_wide else _PANEL_INCHES
    return panels.drawn(blocks, inches=inches)


def _panels(networks: pandas.DataFrame) -> list[tuple[str, pandas.DataFrame]]:
    """Returns title and networks of each panel; the dense ones are in all of them."""
    is_dense = networks["subnetwork"] == "dense"
    depths = networks[~is_dense]["first_convolutions"]
    # All that the recipe prunes comes last.
    found = []
    for depth in sorted(depths.dropna().unique()):
        here = networks["first_convolutions"] == depth
        number = f"{int(depth)} convolutions" if depth > 1 else "convolution"
        title = f"first {number} pruned"
        found.append((title, networks[is_dense | here]))
    if depths.isna().any() or not found:
        title = "all layers pruned" if found else "tickets by how they were found"
        whole = networks["first_convolutions"].isna()
        found.append((title, networks[is_dense | whole]))
    return found


def _looks(networks: pandas.DataFrame) -> dict[tuple, dict[str, object]]:
    """Returns how each line of a setting is drawn, by search, kind and k.

    Those that no search found have the search None.
    """
    sparse = networks[networks["subnetwork"] != "dense"]
    looks: dict[tuple, dict[str, object]] = {}
    tickets = sparse[sparse["search"].notna()]
    names = _names(tickets)
    tickets = tickets[tickets["search"].isin(names)]
    for index, (search, found) in enumerate(tickets.groupby("search", sort=False)):
        color = _COLORS[index % len(_COLORS)]
        for kind, own in found.groupby("subnetwork", sort=False):
            usual = f", {lines.kind_name(kind)}", lines.style_of(1)
            told, style = _KINDS.get(kind, usual)
            look = {"color": color, "style": style}
            for k, more in _by_k(own, f"{names[search]}{told}"):
                looks[search, kind, k] = look | more
    random = sparse[sparse["search"].isna()]
    # What is drawn later is on top.
    kinds = sorted(random["subnetwork"].unique(), key=lambda one: one == _ADJUSTED)
    for index, kind in enumerate(kinds):
        own = random[random["subnetwork"] == kind]
        look = {"color": _GREYS[index % len(_GREYS)]}
        if kind == _ADJUSTED:
            look = _ADJUSTED_LOOK
        for k, more in _by_k(own, lines.kind_name(kind)):
            looks[None, kind, k] = look | more
    return looks


def _names(tickets: pandas.DataFrame) -> dict[str, str]:
    """Returns what legends call each search, all those of the same networks as one.

    Rules that say the same k in several ways find the same tickets (Figure 7).
    """
    found: dict[frozenset | str, list[str]] = {}
    for search, own in tickets.groupby("search", sort=False):
        networks = frozenset(own["network"].dropna())
        found.setdefault(networks or search, []).append(search)
    return {searches[0]: ", ".join(searches) for searches in found.values()}


def _by_k(networks: pandas.DataFrame, name: str) -> list[tuple[int, dict[str, object]]]:
    """Returns every k of some networks, and how legend and points tell it.

    In iterations: how long an epoch is each search has by itself.
    """
    found = []
    ks = sorted(networks["rewind_iteration"].unique())
    for k, marker in zip(ks, itertools.cycle(_MARKERS), strict=False):
        told = f", k = {iteration_name(int(k))}" if len(ks) > 1 else ""
        found.append((k, {"label": f"{name}{told}", "marker": marker}))
    return found


def _draw_panel(
    axes: Axes,
    *,
    networks: pandas.DataFrame,
    looks: dict[tuple, dict[str, object]],
    title: str,
) -> None:
    """Draws the tickets of every search against density, and the paper's beside."""
    densities.draw_unpruned(axes, networks, error=_ERROR)
    dense = networks[networks["subnetwork"] == "dense"]
    is_reported = _draw_reported(axes, dense, color=lines.UNPRUNED_COLOR)
    for (search, kind, k), look in looks.items():
        is_search = networks["search"].isna()
        if search is not None:
            is_search = networks["search"] == search
        is_k = networks["rewind_iteration"] == k
        own = networks[is_search & is_k & (networks["subnetwork"] == kind)]
        if len(own):
            densities.draw(axes, own, x=_X, error=_ERROR, **look)
            is_reported |= _draw_reported(axes, own, color=look["color"])
    if is_reported:
        axes.plot([], [], "D", **reported.LOOK | {"clip_on": True})
    densities.finish(axes, networks, title=title, x=_X)


def _draw_reported(axes: Axes, networks: pandas.DataFrame, *, color: object) -> bool:
    """Draws the paper's numbers of a line, where it has any; returns whether."""
    found = []
    for _, row in networks.drop_duplicates(_X).iterrows():
        number = reported_tickets.number(row)
        if number is not None:
            error = math.nan if number.error is None else number.error
            found.append((PERCENT * row[_X], number.value, error))
    if not found:
        return False
    x, mean, error = zip(*sorted(found), strict=True)
    look = reported.LOOK | {"color": color, "markerfacecolor": "none"}
    # The legend has one for all of them.
    look |= {"label": "_in the paper", "elinewidth": 1.0}
    axes.errorbar(x, mean, error, fmt="D", capsize=2, **look)
    return True
