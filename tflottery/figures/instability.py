"""The figures of instability analysis (LMC Figures 2, 3, 4, 6, 7, Appendices B to E).

One block of panels for each setting and level in the tables, beside the dense network
of the setting. Of one kind of network: error along the line between two copies for
every k, of each split measured; instability against k; the copies' distance against k;
of subnetworks their test error against k beside the dense network's; and, where pairs
were measured at several iterations, instability throughout training. Of several kinds:
a line a kind in each of these panels, the dense network's in red, along the line at
the first k (Figure 6); below it each kind along the line for every k (Appendix C).

Lines are means and bands one standard deviation over all pairs and replicates. Solid
lines read networks on the line with interpolated batch norm statistics, as they come;
dashed ones with statistics re-estimated there.
"""

import functools
from collections.abc import Sequence

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.figures import facts, lines, pairs, panels, reported
from tflottery.figures.densities import PERCENT
from tflottery.figures.pairs import DENSE, Looks, ShownPairs
from tflottery.figures.panels import Panel
from tflottery.figures.timescales import set_thousands_axis

PAPER = "linear_mode_connectivity"

_READINGS = {"": "-", "_reestimated": "--"}
_PANEL_INCHES = (3.3, 3.0)
_ALONG = "error along the line"
_ONE_COLOR = "0.25"


def draw(instability: pandas.DataFrame, interpolation: pandas.DataFrame) -> Figure:
    """Returns the figure of the two tables of instability analysis.

    Args:
      instability: a row a pair of networks, as in instability.csv.
      interpolation: a row a point on the line of a pair, as in interpolation.csv; with
        the column num_classes of `figures.facts` chance is drawn where errors come
        near it. Without rows there is no panel along the line.

    Raises:
      ValueError: the table of instability has no rows.
    """
    panels.refuse_empty(instability, name="instability")
    blocks = []
    both = (instability["test_error_a"] + instability["test_error_b"]) / 2
    instability = instability.assign(test_error=both)
    for shown in pairs.arranged(instability, interpolation):
        single = len(shown.kinds) == 1
        rows = [_of_one_kind(shown)] if single else _of_several_kinds(shown)
        blocks.append(panels.Block(pairs.title(shown), rows))
    return panels.drawn(blocks, inches=_PANEL_INCHES)


def _of_one_kind(shown: ShownPairs) -> list[Panel]:
    """Returns the panels of one kind of network."""
    (kind,) = shown.kinds
    along = functools.partial(_draw_every_k, shown=shown, kind=kind)
    row = [
        functools.partial(along, split=split, title=f"{split.capitalize()} {_ALONG}")
        for split in (shown.splits if len(shown.points) else ())
    ]
    row += _against_k(shown)
    if _shows_throughout(shown):
        title = "Test instability throughout training"
        draw_over = functools.partial(_draw_throughout, shown=shown, kind=kind)
        row.append(functools.partial(draw_over, title=title))
    return row


def _of_several_kinds(shown: ShownPairs) -> list[list[Panel]]:
    """Returns the panels of several kinds: a line a kind, then a panel a kind."""
    first, of_a_kind = _against_k(shown), []
    if len(shown.points):
        first.insert(0, functools.partial(_draw_first_k, shown=shown))
        of_a_kind.append(functools.partial(_draw_every_k, split=shown.split))
    if _shows_throughout(shown):
        of_a_kind.append(_draw_throughout)
    rows = [
        [
            functools.partial(
                draw_one, shown=shown, kind=kind, title=lines.kind_name(kind)
            )
            for kind in shown.kinds
        ]
        for draw_one in of_a_kind
    ]
    return [first, *rows]


def _against_k(shown: ShownPairs) -> list[Panel]:
    """Returns the panels with k as their x axis."""
    row = [_draw_instability, _draw_distance]
    if shown.dense_error.notna().any():
        row.append(_draw_test_error)
    return [functools.partial(draw_one, shown=shown) for draw_one in row]


def _shows_throughout(shown: ShownPairs) -> bool:
    """Returns whether test images were measured at several iterations."""
    return shown.pairs["iteration"].nunique() > 1 and "test" in shown.splits


def _draw_every_k(
    axes: Axes, *, shown: ShownPairs, kind: str, split: str, title: str
) -> None:
    """LMC Figure 2 and Appendices B and C: a kind's error along the line, by k."""
    points = shown.along_the_line(kind)
    if split == "test" and kind != DENSE:
        lines.draw_unpruned(axes, PERCENT * shown.dense_error)
    _draw_lines(
        axes,
        points,
        x="alpha",
        value=f"{split}_error",
        by="rewind_iteration",
        looks=shown.by_k,
    )
    if split == "test" and kind == DENSE:
        _mark_reported_accuracy(axes, shown)
    _finish_along_the_line(axes, points, split=split, title=title)


def _draw_first_k(axes: Axes, *, shown: ShownPairs) -> None:
    """LMC Figure 6: error along the line of every kind, at the first k."""
    points, split = shown.along_the_line(), shown.split
    first = points["rewind_iteration"].min()
    points = points[points["rewind_iteration"] == first]
    if split == "test" and DENSE not in shown.kinds:
        lines.draw_unpruned(axes, PERCENT * shown.dense_error)
    _draw_lines(
        axes,
        points,
        x="alpha",
        value=f"{split}_error",
        by="subnetwork",
        looks=shown.by_kind,
    )
    k = shown.scale.name(int(first))
    title = f"{split.capitalize()} {_ALONG}, k = {k}"
    _finish_along_the_line(axes, points, split=split, title=title)


def _finish_along_the_line(
    axes: Axes, points: pandas.DataFrame, *, split: str, title: str
) -> None:
    """Labels a panel along the line, and draws chance where errors come near it."""
    x = "interpolation α (0: copy b, 1: copy a)"
    panels.tidy(axes, title=title, x=x, y=f"{split} error (%)")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(bottom=0)
    chance = facts.chance_error(points)
    # Out of sight, chance would only take room in the legend.
    if chance is not None and points[f"{split}_error"].max() >= chance / 2:
        style = {"color": "0.5", "linestyle": ":", "linewidth": 1, "label": "chance"}
        axes.axhline(chance * PERCENT, **style)
        # Limits were fixed before: the line may lie above them.
        axes.set_ylim(top=max(axes.get_ylim()[1], 1.04 * chance * PERCENT))


def _draw_instability(axes: Axes, *, shown: ShownPairs) -> None:
    """LMC Figures 3 and 7: at the end of training, of each split or of each kind."""
    by_split, y = {shown.split: shown.by_kind}, f"{shown.split} instability (%)"
    if len(shown.kinds) == 1:
        colors, (kind,) = lines.SPLIT_COLORS, shown.kinds
        by_split = {split: {kind: (colors[split], split)} for split in shown.splits}
        y = "instability (%)"
    for split, looks in by_split.items():
        _draw_against_k(axes, shown, f"{split}_instability", looks=looks)
    more = []
    onset = _reported_onset(shown)
    if onset is not None and onset.value <= shown.ended["rewind_iteration"].max():
        style = {"color": "black", "linestyle": (0, (1, 2)), "linewidth": 1.2}
        axes.axvline(onset.value, label="stable from here in the paper", **style)
        more = [int(onset.value)]
    panels.explain(axes, "± 1 std", color="0.8")
    reestimated = [f"{split}_instability_reestimated" for split in lines.SPLIT_COLORS]
    if shown.pairs[reestimated].notna().any(axis=None):
        look = {"color": "0.3", "linestyle": "--"}
        panels.explain(axes, "batch norm re-estimated", **look)
    _finish_against_k(axes, shown, title="Instability", y=y, more=more)
    _start_near_zero(axes)


def _draw_distance(axes: Axes, *, shown: ShownPairs) -> None:
    """LMC Appendices D and E: L2 distance between the copies against k."""
    looks = shown.by_kind
    if len(looks) == 1:
        looks = {shown.kinds[0]: (_ONE_COLOR, None)}
    _draw_against_k(axes, shown, "l2_distance", looks=looks, scale=1.0)
    title = "Distance of the copies"
    _finish_against_k(axes, shown, title=title, y="L2 distance")
    # Of a single k the panel would end at its marker.
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])


def _draw_test_error(axes: Axes, *, shown: ShownPairs) -> None:
    """LMC Figure 7, rows 2 and 4: test error against k, and the dense band."""
    lines.draw_unpruned(axes, PERCENT * shown.dense_error)
    # The dense network has its band.
    looks = {kind: look for kind, look in shown.by_kind.items() if kind != DENSE}
    if len(shown.kinds) == 1:
        looks = dict.fromkeys(looks, (lines.SPLIT_COLORS["test"], "test"))
    _draw_against_k(axes, shown, "test_error", looks=looks)
    _finish_against_k(axes, shown, title="Test error", y="test error (%)")


def _draw_throughout(axes: Axes, *, shown: ShownPairs, kind: str, title: str) -> None:
    """LMC Figure 4: test instability against the iteration at which it is measured."""
    _draw_lines(
        axes,
        shown.pairs[shown.pairs["subnetwork"] == kind],
        x="iteration",
        value="test_instability",
        by="rewind_iteration",
        looks=shown.by_k,
    )
    panels.tidy(axes, title=title, x="iteration", y="test instability (%)")
    set_thousands_axis(axes)
    axes.set_xlim(left=0)
    _start_near_zero(axes)


def _draw_against_k(
    axes: Axes, shown: ShownPairs, value: str, *, looks: Looks, scale: float = PERCENT
) -> None:
    """Draws a column of the pairs at the end of training against k, a line a kind."""
    _draw_lines(
        axes,
        shown.ended,
        x="rewind_iteration",
        value=value,
        by="subnetwork",
        looks=looks,
        marker="o",
        scale=scale,
    )


def _draw_lines(
    axes: Axes,
    table: pandas.DataFrame,
    *,
    x: str,
    value: str,
    by: str,
    looks: Looks,
    marker: str = "",
    scale: float = PERCENT,
) -> None:
    """Draws means of a column against another, a line a look, in both readings."""
    for reading, style in _READINGS.items():
        column = f"{value}{reading}"
        if column not in table or table[column].isna().all():
            continue
        values = table[[x, column]]
        for name, (color, label) in looks.items():
            own = lines.summary(values[table[by] == name], by=x, value=column)
            lines.draw(
                axes,
                own,
                color=color,
                label=None if reading else label,
                style=style,
                marker="" if reading else marker,
                band=not reading,
                scale=scale,
            )


def _finish_against_k(
    axes: Axes, shown: ShownPairs, *, title: str, y: str, more: Sequence[int] = ()
) -> None:
    """Labels a panel with k as its x axis; `more` are k to label beside the pairs'."""
    panels.tidy(axes, title=title, x="", y=y)
    iterations = shown.ended["rewind_iteration"].astype(int)
    shown.scale.set_axis(axes, [*iterations, *more])


def _start_near_zero(axes: Axes) -> None:
    """Keeps 0 in sight, and noise about 0 from filling the panel."""
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.02 * max(high, 1.0)), max(high, 1.0))


def _mark_reported_accuracy(axes: Axes, shown: ShownPairs) -> None:
    """Marks the paper's test error of the dense network at both ends of the line."""
    accuracy = _reported(
        shown, "top1_accuracy_pct", method=shown.pairs["variant"].iloc[0]
    )
    if accuracy is None:
        return
    axes.errorbar(
        [0, 1],
        [100.0 - accuracy.value] * 2,
        yerr=accuracy.error,
        fmt="D",
        **reported.LOOK,
    )


def _reported_onset(shown: ShownPairs) -> reported.Number | None:
    """Returns the k from which the paper calls the dense network stable."""
    is_paper = shown.pairs["variant"].iloc[0] == "standard"
    if list(shown.kinds) != [DENSE] or not is_paper:
        return None
    return _reported(shown, "stability_emerges_iteration", method="full network")


def _reported(shown: ShownPairs, metric: str, *, method: str) -> reported.Number | None:
    """Returns the paper's number for the dense network."""
    first = shown.pairs.iloc[0]
    which = {"model": first["model"], "dataset": reported.learned(first)}
    return reported.number(metric, paper=PAPER, method=method, **which)
