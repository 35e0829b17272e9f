"""The figures of instability analysis (LMC Figures 2, 3, 4, 6, 7, Appendices B to E).

One row of panels for each setting in the tables: error along the line between two
copies for every k, of each split measured; instability against k, their distance
against k; for subnetworks their test error against k beside the dense network's; and,
where pairs were measured at several iterations, instability throughout training.

Lines are means and bands one standard deviation over all pairs and replicates. Solid
lines read networks on the line with interpolated batch norm statistics, as they come;
dashed ones with statistics re-estimated there.
"""

import math
from collections.abc import Iterator, Mapping

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tflottery.figures import lines, reported

PAPER = "linear_mode_connectivity"

_SETTING = ["model", "variant", "dataset", "training_iterations", "config"]
_SETTING += ["subnetwork", "level"]
_READINGS = {"": "-", "_reestimated": "--"}
_PERCENT = 100.0
_PANEL_INCHES = (3.3, 3.0)


def draw(
    instability: pandas.DataFrame,
    interpolation: pandas.DataFrame,
    *,
    chance: float | None = None,
) -> Figure:
    """Returns the figure of the two tables of instability analysis.

    Args:
      instability: a row a pair of networks, as in instability.csv.
      interpolation: a row a point on the line of a pair, as in interpolation.csv.
      chance: error of guessing, in [0, 1], drawn as a line where errors come near it;
        None draws none.

    Raises:
      ValueError: a table has no rows.
    """
    for name, table in (("instability", instability), ("interpolation", interpolation)):
        if not len(table):
            raise ValueError(f"The table {name!r} has no rows: nothing can be drawn.")
    highest = interpolation[["train_error", "test_error"]].max().max()
    # Out of sight, chance would only take room in the legend.
    chance = None if chance is not None and highest < chance / 2 else chance
    settings = list(_settings(instability, interpolation))
    colors = lines.iteration_colors(instability["rewind_iteration"].astype(int))
    num_panels = max(_num_panels(pairs) for _, pairs, _ in settings)
    width, height = _PANEL_INCHES
    figure = Figure(
        figsize=(width * num_panels, height * len(settings) + 0.5), layout="constrained"
    )
    rows = figure.subfigures(len(settings), 1, squeeze=False)[:, 0]
    for row, (setting, pairs, points) in zip(rows, settings, strict=True):
        row.suptitle(_title(setting, pairs), fontsize=11)
        panels = row.subplots(1, num_panels, squeeze=False)[0]
        _draw_setting(panels, setting, pairs, points, colors=colors, chance=chance)
    _draw_legend(
        figure, instability, colors=colors, chance=chance, num_panels=num_panels
    )
    return figure


def _settings(
    instability: pandas.DataFrame, interpolation: pandas.DataFrame
) -> Iterator[tuple[dict[str, object], pandas.DataFrame, pandas.DataFrame]]:
    """Yields each setting with its rows of both tables, in the order of the table."""
    for key, pairs in instability.groupby(_SETTING, sort=False):
        setting = dict(zip(_SETTING, key, strict=True))
        same = pandas.Series(True, index=interpolation.index)
        for column, value in setting.items():
            same &= interpolation[column] == value
        yield setting, pairs, interpolation[same]


def _num_panels(pairs: pandas.DataFrame) -> int:
    return 2 + len(_splits(pairs)) + _is_compared(pairs) + _shows_throughout(pairs)


def _splits(pairs: pandas.DataFrame) -> list[str]:
    """Returns the splits that were measured; each has a panel of its own."""
    return [
        split
        for split in lines.SPLIT_COLORS
        if pairs[f"{split}_instability"].notna().any()
    ]


def _is_compared(pairs: pandas.DataFrame) -> bool:
    """Returns whether the dense network's error stands beside the pairs'."""
    return "dense_test_error" in pairs and pairs["dense_test_error"].notna().any()


def _shows_throughout(pairs: pandas.DataFrame) -> bool:
    """Returns whether test images were measured at several iterations."""
    return pairs["iteration"].nunique() > 1 and "test" in _splits(pairs)


def _draw_setting(
    panels: list[Axes],
    setting: Mapping[str, object],
    pairs: pandas.DataFrame,
    points: pandas.DataFrame,
    *,
    colors: Mapping[int, tuple],
    chance: float | None,
) -> None:
    """Draws one setting's panels, most of them of the last iteration measured."""
    last = pairs["iteration"].max()
    ends, final = pairs[pairs["iteration"] == last], points[points["iteration"] == last]
    others = list(panels)
    for split in _splits(pairs):
        axes = others.pop(0)
        _draw_error_along_line(axes, final, split=split, colors=colors)
        if split == "test":
            _mark_reported_accuracy(axes, setting)
        if chance is not None:
            style = {"color": "0.5", "linestyle": ":", "linewidth": 1}
            axes.axhline(chance * _PERCENT, **style)
            # Limits were fixed before: the line may lie above them.
            axes.set_ylim(top=max(axes.get_ylim()[1], 1.04 * chance * _PERCENT))
    _draw_instability(others.pop(0), ends, setting)
    _draw_distance(others.pop(0), ends)
    if _is_compared(pairs):
        _draw_test_error(others.pop(0), ends)
    if _shows_throughout(pairs):
        _draw_throughout(others.pop(0), pairs, colors=colors)
    for axes in others:
        axes.set_axis_off()


def _draw_error_along_line(
    axes: Axes, points: pandas.DataFrame, *, split: str, colors: Mapping[int, tuple]
) -> None:
    """LMC Figure 2 and Appendix B."""
    for reading, style in _READINGS.items():
        column = f"{split}_error{reading}"
        for k, rows in points.groupby("rewind_iteration"):
            lines.draw(
                axes,
                lines.summary(rows, by="alpha", value=column),
                color=colors[int(k)],
                style=style,
                band=not reading,
                scale=_PERCENT,
            )
    lines.tidy(
        axes,
        title=f"{split.capitalize()} error along the line",
        x="interpolation α (0: copy b, 1: copy a)",
        y=f"{split} error (%)",
    )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(bottom=0)


def _mark_reported_accuracy(axes: Axes, setting: Mapping[str, object]) -> None:
    """Marks the paper's test error of trained networks at both ends of the line."""
    accuracy = _reported_accuracy(setting)
    if accuracy is None:
        return
    axes.errorbar(
        [0, 1],
        [100.0 - accuracy.value] * 2,
        yerr=accuracy.error,
        fmt="D",
        color="black",
        markerfacecolor="white",
        markersize=5,
        zorder=5,
        clip_on=False,
        label="in the paper",
    )
    lines.legend(axes, location="upper left")


def _draw_instability(
    axes: Axes, pairs: pandas.DataFrame, setting: Mapping[str, object]
) -> None:
    """LMC Figure 3: instability at the end of training against k."""
    for reading, style in _READINGS.items():
        for split in _splits(pairs):
            column = f"{split}_instability{reading}"
            lines.draw(
                axes,
                lines.summary(pairs, by="rewind_iteration", value=column),
                color=lines.SPLIT_COLORS[split],
                label=None if reading else split,
                style=style,
                marker="o" if not reading else "",
                band=not reading,
                scale=_PERCENT,
            )
    iterations = list(pairs["rewind_iteration"].astype(int))
    onset = _reported_onset(setting)
    if onset is not None and onset.value <= max(iterations):
        label = "stable from here\nin the paper"
        style = {"color": "black", "linestyle": (0, (1, 2)), "linewidth": 1.2}
        axes.axvline(onset.value, label=label, **style)
        iterations.append(int(onset.value))
    lines.iteration_axis(axes, iterations)
    lines.tidy(axes, title="Instability", x="k (iterations)", y="instability (%)")
    _start_near_zero(axes)
    lines.legend(axes, location="upper right")


def _draw_distance(axes: Axes, pairs: pandas.DataFrame) -> None:
    """LMC Appendix D: L2 distance between the copies against k."""
    table = lines.summary(pairs, by="rewind_iteration", value="l2_distance")
    lines.draw(axes, table, color="0.25", marker="o")
    lines.iteration_axis(axes, list(pairs["rewind_iteration"].astype(int)))
    lines.tidy(
        axes, title="Distance of the copies", x="k (iterations)", y="L2 distance"
    )
    axes.set_ylim(bottom=0)


def _draw_test_error(axes: Axes, pairs: pandas.DataFrame) -> None:
    """LMC Figure 7, rows 2 and 4: test error against k, and the dense band."""
    # Of a replicate whose first pair diverged another one knows it.
    known = pairs.dropna(subset=["dense_test_error"]).drop_duplicates("replicate")
    lines.draw_unpruned(axes, _PERCENT * known["dense_test_error"])
    both = (pairs["test_error_a"] + pairs["test_error_b"]) / 2
    table = lines.summary(
        pairs.assign(test_error=both), by="rewind_iteration", value="test_error"
    )
    color = lines.SPLIT_COLORS["test"]
    lines.draw(axes, table, color=color, label="copies", marker="o", scale=_PERCENT)
    lines.iteration_axis(axes, list(pairs["rewind_iteration"].astype(int)))
    lines.tidy(axes, title="Test error", x="k (iterations)", y="test error (%)")
    lines.legend(axes, location="best")


def _draw_throughout(
    axes: Axes, pairs: pandas.DataFrame, *, colors: Mapping[int, tuple]
) -> None:
    """LMC Figure 4: test instability against the iteration at which it is measured."""
    for reading, style in _READINGS.items():
        column = f"test_instability{reading}"
        for k, rows in pairs.groupby("rewind_iteration"):
            lines.draw(
                axes,
                lines.summary(rows, by="iteration", value=column),
                color=colors[int(k)],
                style=style,
                band=not reading,
                scale=_PERCENT,
            )
    lines.tidy(
        axes,
        title="Test instability throughout training",
        x="iteration",
        y="test instability (%)",
    )
    lines.thousands_axis(axes)
    axes.set_xlim(left=0)
    _start_near_zero(axes)


def _start_near_zero(axes: Axes) -> None:
    """Keeps 0 in sight, and noise about 0 from filling the panel."""
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.02 * max(high, 1.0)), max(high, 1.0))


def _draw_legend(
    figure: Figure,
    instability: pandas.DataFrame,
    *,
    colors: Mapping[int, tuple],
    chance: float | None,
    num_panels: int,
) -> None:
    """Draws one legend for all panels below them."""
    handles = [
        Line2D([], [], color=color, linewidth=2, label=f"k = {lines.iteration_name(k)}")
        for k, color in colors.items()
    ]
    handles.append(Patch(color="0.8", label="± 1 std"))
    reestimated = [f"{split}_instability_reestimated" for split in lines.SPLIT_COLORS]
    if instability[reestimated].notna().any(axis=None):
        label = "batch norm re-estimated"
        handles.append(Line2D([], [], color="0.3", linestyle="--", label=label))
    if chance is not None:
        handles.append(Line2D([], [], color="0.5", linestyle=":", label="chance"))
    num_rows = math.ceil(len(handles) / (3.5 * num_panels))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=math.ceil(len(handles) / num_rows),
        fontsize=8,
        frameon=False,
        handlelength=1.8,
        columnspacing=1.4,
    )


def _reported_accuracy(setting: Mapping[str, object]) -> reported.Number | None:
    """Returns the paper's test accuracy (%) of the dense network."""
    if setting["subnetwork"] != "dense":
        return None
    return reported.number(
        "top1_accuracy_pct",
        paper=PAPER,
        model=setting["model"],
        dataset=setting["dataset"],
        method=setting["variant"],
    )


def _reported_onset(setting: Mapping[str, object]) -> reported.Number | None:
    """Returns the k from which the paper calls the dense network stable."""
    if setting["subnetwork"] != "dense" or setting["variant"] != "standard":
        return None
    return reported.number(
        "stability_emerges_iteration",
        paper=PAPER,
        model=setting["model"],
        dataset=setting["dataset"],
        method="full network",
    )


def _title(setting: Mapping[str, object], pairs: pandas.DataFrame) -> str:
    """Returns what one row of panels shows."""
    network = reported.NETWORKS.get(setting["model"], setting["model"])
    dataset = reported.DATASETS.get(setting["dataset"], setting["dataset"])
    kind = ""
    if setting["subnetwork"] != "dense":
        kind = f", {setting['subnetwork']} at {pairs['axis_density'].iloc[0]:.1%}"
    replicates = pairs["replicate"].nunique()
    each = pairs.drop_duplicates(["replicate", "data_order_a", "data_order_b"])
    return (
        f"{network} on {dataset} ({setting['variant']}{kind}, "
        f"{setting['training_iterations']:,} iterations; {len(each)} pairs of "
        f"{replicates} replicate{'s' if replicates > 1 else ''})"
    )
