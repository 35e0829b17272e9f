"""Labels at the points of a panel, where they cover neither points nor each other."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

_FONT_SIZE = 7.5
# Around a point, in pixels: its marker, and where a label may stand.
_MARKER, _NEAR = 6.0, 9.0
_MARGIN = (4.0, 1.0)
_DISTANCES = (_NEAR, 16.0, 26.0, 38.0, 52.0, 68.0, 86.0)
_NUM_DIRECTIONS = 16


class LabelledPoint(NamedTuple):
    """A point with a label.

    Attributes:
      x: its place, in data coordinates.
      y: likewise.
      bar: half the length of its vertical bar.
      text: its label.
      color: of the label.
    """

    x: float
    y: float
    bar: float
    text: str
    color: object


def draw(figure: Figure, points: Mapping[Axes, Sequence[LabelledPoint]]) -> None:
    """Writes a label beside each point, with a thin line where it stands apart.

    Args:
      figure: with all that it shows; it is laid out first.
      points: all that a panel shows, by panel of the figure.
    """
    figure.draw_without_rendering()
    for axes, of_panel in points.items():
        _draw_panel(figure, axes, of_panel)


def _draw_panel(figure: Figure, axes: Axes, points: Sequence[LabelledPoint]) -> None:
    """Writes the labels of a panel of a figure that is laid out."""
    places = axes.transData.transform([(point.x, point.y) for point in points])
    tops = axes.transData.transform([(one.x, one.y + one.bar) for one in points])
    # Left, bottom, right and top of what labels may not cover.
    taken = [_around(place, (_MARKER, _MARKER)) for place in places]
    taken += [
        _around(place, (_MARKER / 2, top[1] - place[1]))
        for place, top in zip(places, tops, strict=True)
    ]
    for (x, y, _, text, color), place in zip(points, places, strict=True):
        label = axes.annotate(
            text,
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=_FONT_SIZE,
            color=color,
            horizontalalignment="center",
            verticalalignment="center",
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.5, "shrinkA": 0},
        )
        # The panel has its size already.
        label.set_in_layout(False)
        # Of the text alone, without the line.
        extent = Text.get_window_extent(label)
        half = np.array([extent.width, extent.height]) / 2
        middle = _free_place(axes, place, half, taken)
        taken.append(_around(middle, half + _MARGIN))
        label.set_position(tuple((middle - place) * 72 / figure.dpi))
        _hide_short_line(label, distance=_gap(middle, half, place))


def _free_place(
    axes: Axes, place: np.ndarray, half: np.ndarray, taken: Sequence[np.ndarray]
) -> np.ndarray:
    """Returns the middle of a label: the nearest one at which it covers least."""
    inside = axes.get_window_extent()
    corners = np.array([inside.x0, inside.y0, inside.x1, inside.y1])
    middles = _middles(place, half)
    boxes = np.concatenate([middles - half, middles + half], axis=1)
    beyond = np.maximum(corners - boxes, 0)[:, :2].sum(axis=1)
    beyond += np.maximum(boxes - corners, 0)[:, 2:].sum(axis=1)
    covered = beyond * half.sum() + _overlaps(boxes, np.array(taken)).sum(axis=1)
    # The first of equals is the nearest.
    return middles[covered.argmin()]


def _middles(place: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Returns where a label may have its middle, the nearest first: [places, 2]."""
    angles = 2 * math.pi * np.arange(_NUM_DIRECTIONS) / _NUM_DIRECTIONS
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # As far as its edge is from its middle in that direction, and more.
    parts = np.maximum(abs(directions), 1e-9)
    edges = (half / parts).min(axis=1)
    reaches = np.array(_DISTANCES)[:, None] + edges
    return place + (reaches[:, :, None] * directions).reshape(-1, 2)


def _hide_short_line(label: Annotation, *, distance: float) -> None:
    """Keeps the line to its point only of a label that is not beside it."""
    if distance <= _NEAR + 1:
        label.arrow_patch.set_visible(False)


def _gap(middle: np.ndarray, half: np.ndarray, place: np.ndarray) -> float:
    """Returns how far a label's edge is from its point."""
    return float(np.linalg.norm(np.maximum(abs(middle - place) - half, 0)))


def _around(middle: np.ndarray, half: Sequence[float]) -> np.ndarray:
    """Returns left, bottom, right and top of a box."""
    return np.concatenate([np.subtract(middle, half), np.add(middle, half)])


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the areas that boxes have in common: [n, 4], [m, 4] to [n, m]."""
    ends = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    starts = np.maximum(boxes[:, None, :2], others[None, :, :2])
    return np.maximum(ends - starts, 0).prod(axis=2)
