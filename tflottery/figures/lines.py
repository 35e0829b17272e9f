"""How a line is drawn: means with a band or bars, and the same colours everywhere.

The unpruned network is red in every figure; a kind of subnetwork has its own colour,
and an iteration k a shade, dark for the earliest.
"""

from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

# Train and test, told apart in print and by colour-blind readers alike.
SPLIT_COLORS = {"train": "#0072b2", "test": "#d55e00"}
UNPRUNED, UNPRUNED_COLOR = "unpruned", "#c00000"

_KINDS = {
    "dense": (UNPRUNED, UNPRUNED_COLOR),
    "imp": ("IMP", "#0072b2"),
    "random_pruning": ("random pruning", "#e69f00"),
    "random_reinit": ("random reinitialization", "#cc79a7"),
    "adjusted_random": ("adjusted random pruning", "#999933"),
    "lr_rewinding": ("learning-rate rewinding", "#117733"),
    "fine_tuning": ("fine-tuning", "#882255"),
    "gradual_pruning": ("gradual pruning (tfmot)", "#332288"),
    "snip": ("SNIP", "#009e73"),
    "grasp": ("GraSP", "#d55e00"),
    "synflow": ("SynFlow", "#7a5195"),
}
# The papers' controls, which are dashed.
_RANDOM = ("random_pruning", "random_reinit", "adjusted_random")
# How the controls of a criterion, of its colour, are put and marked.
_CONTROLS = {
    "shuffled": ("shuffled within layers", "^"),
    "reinit": ("reinitialized", "v"),
}
# Of pruning criteria of one's own, in turn.
_OTHER_COLORS = ("#009e73", "#56b4e9", "#7a5195", "#8c564b")
_STYLES = ("--", ":", "-.")
_BAND_ALPHA = 0.18


def summary(frame: pandas.DataFrame, *, by: str, value: str) -> pandas.DataFrame:
    """Returns mean, deviation and error of a column for each value of `by`.

    Rows in which the column is missing do not count. Columns: `by`, mean, std (n - 1),
    stderr (of the mean), count; sorted by `by`. Where there is one row, std and stderr
    are 0.
    """
    # Two columns of what may have dozens: a figure has dozens of lines.
    known = frame[value].notna()
    groups = frame[value][known].groupby(frame[by][known], sort=True)
    std, count = groups.std().fillna(0.0), groups.count()
    columns = {"mean": groups.mean(), "std": std, "count": count}
    columns["stderr"] = std / count**0.5
    return pandas.DataFrame(columns).reset_index()


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
        edges = mean - std, mean + std
        axes.fill_between(x, *edges, color=color, alpha=_BAND_ALPHA, lw=0)
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


def draw_bars(
    axes: Axes,
    x: Sequence[float],
    mean: Sequence[float],
    error: Sequence[float],
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
        error,
        color=color,
        label=label,
        linestyle=style,
        marker=marker,
        markersize=size,
        linewidth=width,
        capsize=2,
    )


def draw_unpruned(axes: Axes, values: pandas.Series, *, error: str = "std") -> None:
    """Draws the dense networks: their mean, and a band of an error of `summary`."""
    found = summary(
        values.to_frame("value").assign(dense=True), by="dense", value="value"
    )
    if not len(found):
        return
    mean, half = found["mean"].iloc[0], found[error].iloc[0]
    edges = mean - half, mean + half
    axes.axhspan(*edges, color=UNPRUNED_COLOR, alpha=_BAND_ALPHA, linewidth=0)
    axes.axhline(mean, color=UNPRUNED_COLOR, linewidth=1.2, label=UNPRUNED)


def style_of(index: int) -> str:
    """Returns one of the styles of lines that are not solid."""
    return _STYLES[index % len(_STYLES)]


def kind_name(kind: str) -> str:
    """Returns how legends put a kind of network; a criterion has its own name."""
    name, control = _base(kind)
    known = _KINDS[name][0] if name in _KINDS else name.replace("_", " ")
    return f"{known}, {_CONTROLS[control][0]}" if control else known


def kind_look(kind: str, index: int) -> dict[str, str]:
    """Returns style and marker of a kind of network, at the k of that index.

    Of a criterion the first k is a whole line; its controls are dotted there.
    """
    name, control = _base(kind)
    if control:
        return {"style": style_of(index + 1), "marker": _CONTROLS[control][1]}
    whole = not index and name not in _RANDOM
    return {"style": "-" if whole else style_of(index), "marker": "s"}


def kind_colors(kinds: Iterable[str]) -> dict[str, str]:
    """Returns the colour of each kind of network, the papers' kinds first.

    The controls of a criterion have its own colour.
    """
    found = {kind: _base(kind)[0] for kind in kinds}
    others = sorted(set(found.values()) - _KINDS.keys())
    colors = {name: color for name, (_, color) in _KINDS.items()}
    for index, name in enumerate(others):
        colors[name] = _OTHER_COLORS[index % len(_OTHER_COLORS)]
    ordered = sorted(found, key=lambda kind: (list(colors).index(found[kind]), kind))
    return {kind: colors[found[kind]] for kind in ordered}


def iteration_colors(iterations: Iterable[int]) -> dict[int, tuple]:
    """Returns a colour for each iteration, dark for the earliest; none is red."""
    ordered = sorted(set(iterations))
    shades = np.linspace(0.0, 0.9, max(len(ordered), 2))
    colors = matplotlib.colormaps["viridis"](shades)
    return {k: tuple(color) for k, color in zip(ordered, colors, strict=False)}


def _base(kind: str) -> tuple[str, str | None]:
    """Returns the criterion of a kind and which control of it that is, if it is one."""
    name, _, control = kind.rpartition("_")
    is_control = kind not in _KINDS and name and control in _CONTROLS
    return (name, control) if is_control else (kind, None)
