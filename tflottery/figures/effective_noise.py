"""The figure of effective noise (EP Figures 8 and A8).

One block for each setting and level in the table, and in it a panel for each k:
accuracy of perturbed tickets against the standard deviation of the change over their
surviving weights. Points are means and bars one standard deviation over replicates; a
colour is a perturbation, and a label beside each point says which. Above stands
Pearson's correlation of the points, and the paper's.
"""

import functools
from collections.abc import Iterator, Mapping

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.figures import densities, labels, lines, panels, perturbation, reported
from tflottery.figures.densities import PERCENT, SETTING
from tflottery.figures.timescales import iteration_name

PAPER, VARIANT = "early_phase", "early_phase"

_BLOCK = [*SETTING, "level"]
_PANEL_INCHES = (6.0, 4.4)
_COLORS = {
    "none": "black",
    "gaussian_noise": "#0072b2",
    "sign_magnitude": "#d55e00",
    "shuffle": "#009e73",
}
_OTHER_COLOR = "#cc79a7"
_MARKERS = "os^Dv*PX<>"


def draw(points: pandas.DataFrame, correlation: pandas.DataFrame) -> Figure:
    """Returns the figure of the tables of the experiment on effective noise.

    Args:
      points: a row a perturbation at a k, as in points.csv.
      correlation: a row a k, as in correlation.csv.

    Raises:
      ValueError: the table of points has no rows.
    """
    panels.refuse_empty(points, name="points")
    points = perturbation.with_conditions(points)
    looks = _looks(points)
    blocks, shown = [], []
    for _, own in points.groupby(_BLOCK, sort=False):
        of_each_k = [here for _, here in own.groupby("rewind_iteration", sort=True)]
        row = [
            functools.partial(
                _draw_points, points=here, looks=looks, correlation=correlation
            )
            for here in of_each_k
        ]
        title = densities.title(own, num_replicates=own["num_replicates"].max())
        blocks.append(panels.Block(title, [row], has_legend=False))
        shown += of_each_k
    figure = panels.drawn(blocks, inches=_PANEL_INCHES)
    labels.draw(
        figure,
        {
            axes: _labelled(here, looks)
            for axes, here in zip(figure.axes, shown, strict=True)
        },
    )
    return figure


def _looks(points: pandas.DataFrame) -> dict[tuple[str, str], dict[str, str]]:
    """Returns how each perturbation is drawn, the same in all panels."""
    looks = {}
    conditions = points[["perturbation", "condition"]].drop_duplicates()
    for name, own in conditions.groupby("perturbation", sort=False):
        for index, condition in enumerate(own["condition"]):
            looks[name, condition] = {
                "color": _COLORS.get(name, _OTHER_COLOR),
                "label": perturbation.label(name, condition),
                "marker": _MARKERS[index % len(_MARKERS)],
            }
    return looks


def _draw_points(
    axes: Axes,
    *,
    points: pandas.DataFrame,
    looks: Mapping[tuple[str, str], Mapping[str, str]],
    correlation: pandas.DataFrame,
) -> None:
    """Draws the points of a k."""
    for own, look in _of_each_condition(points, looks):
        lines.draw_bars(
            axes,
            own["effective_std"],
            PERCENT * (1 - own["test_error_mean"]),
            PERCENT * own["test_error_std"].astype(float).fillna(0.0),
            style="none",
            size=6,
            **look,
        )
    panels.tidy(
        axes,
        title=_title(points, correlation),
        x="standard deviation of the change",
        y="mean test accuracy (%)",
    )
    # Labels stand beside the outermost points too.
    axes.margins(x=0.12, y=0.08)


def _labelled(
    points: pandas.DataFrame, looks: Mapping[tuple[str, str], Mapping[str, str]]
) -> list[labels.LabelledPoint]:
    """Returns the points of a panel, each with which perturbation it is."""
    return [
        labels.LabelledPoint(
            x=row.effective_std,
            y=PERCENT * (1 - row.test_error_mean),
            bar=0.0
            if pandas.isna(row.test_error_std)
            else row.test_error_std * PERCENT,
            text=look["label"],
            color=look["color"],
        )
        for own, look in _of_each_condition(points, looks)
        for row in own.itertuples()
        if not pandas.isna(row.test_error_mean)
    ]


def _of_each_condition(
    points: pandas.DataFrame, looks: Mapping[tuple[str, str], Mapping[str, str]]
) -> Iterator[tuple[pandas.DataFrame, Mapping[str, str]]]:
    """Yields the points of each perturbation, and how they are drawn."""
    for (name, condition), look in looks.items():
        same = (points["perturbation"] == name) & (points["condition"] == condition)
        if same.any():
            yield points[same], look


def _title(points: pandas.DataFrame, correlation: pandas.DataFrame) -> str:
    """Returns k, density and correlation of a panel, and the paper's correlation."""
    here = points.iloc[0]
    keys = [*_BLOCK, "rewind_iteration"]
    same = (correlation[keys] == list(here[keys])).all(axis=1)
    k = iteration_name(here["rewind_iteration"])
    title = f"k = {k}, density {densities.percent(here['axis_density'])}%"
    for row in correlation[same].itertuples():
        title += f"\n{_correlation(row.r, row.p)} ({row.num_points} points)"
    return title + _reported_correlation(here)


def _correlation(r: float, p: float) -> str:
    """Returns a correlation as the paper prints it."""
    if pandas.isna(r):
        return "r undefined"
    return f"r = {r:.3f}, p {'< 0.001' if p < 0.0005 else f'= {p:.3f}'}"


def _reported_correlation(here: pandas.Series) -> str:
    """Returns a line with the paper's correlation; "" if it has none."""
    if here["variant"] != VARIANT:
        return ""
    dataset = reported.learned(here)
    which = {"paper": PAPER, "model": here["model"], "dataset": dataset}
    method = f"k={here['rewind_iteration']}"
    r, p = (
        reported.number(f"{name}_stddev_vs_accuracy", method=method, **which)
        for name in ("pearson_r", "p_value")
    )
    if r is None or p is None:
        return ""
    # Its caption says another density than its panels.
    density = reported.number("fixed_density", method="panel title", **which)
    at = f" at {densities.percent(density.value)}%" if density else ""
    return f"\npaper{at}: {_correlation(r.value, p.value)}"
