"""The figure of effective noise (EP Figures 8 and A8).

One row for each setting and level in the table, and in it a panel for each k: accuracy
of perturbed tickets against the standard deviation of the change over their surviving
weights. Points are means and bars one standard deviation over replicates; a colour is a
perturbation, a shape its options. Above stands Pearson's correlation of the points, and
the paper's.
"""

from collections.abc import Mapping

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.figures import densities, lines, perturbation, reported
from tflottery.figures.densities import PERCENT, SETTING

PAPER, VARIANT = "early_phase", "early_phase"

_ROW = [*SETTING, "level"]
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
    densities.refuse_empty(points, name="points")
    points = perturbation.with_conditions(points)
    settings = [own for _, own in points.groupby(_ROW, sort=False)]
    titles = [
        densities.title(own, num_replicates=own["num_replicates"].max())
        for own in settings
    ]
    num_panels = [own["rewind_iteration"].nunique() for own in settings]
    figure, rows = densities.panels(titles, num_panels)
    looks = _looks(points)
    for panels, own in zip(rows, settings, strict=True):
        of_each_k = own.groupby("rewind_iteration", sort=True)
        for axes, (_, here) in zip(panels, of_each_k, strict=True):
            _draw_points(axes, here, looks=looks)
            lines.tidy(
                axes,
                title=_title(here, correlation),
                x="standard deviation of the change",
                y="mean test accuracy (%)",
            )
    densities.draw_legends(figure)
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
    points: pandas.DataFrame,
    *,
    looks: Mapping[tuple[str, str], Mapping[str, str]],
) -> None:
    """Draws the points of a k."""
    for (name, condition), look in looks.items():
        same = (points["perturbation"] == name) & (points["condition"] == condition)
        own = points[same]
        if len(own):
            densities.draw_bars(
                axes,
                own["effective_std"],
                PERCENT * (1 - own["test_error_mean"]),
                PERCENT * own["test_error_std"].astype(float).fillna(0.0),
                style="none",
                size=6,
                **look,
            )


def _title(points: pandas.DataFrame, correlation: pandas.DataFrame) -> str:
    """Returns k, density and correlation of a panel, and the paper's correlation."""
    here = points.iloc[0]
    keys = [*_ROW, "rewind_iteration"]
    same = (correlation[keys] == list(here[keys])).all(axis=1)
    k = lines.iteration_name(here["rewind_iteration"])
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
    which = {"paper": PAPER, "model": here["model"], "dataset": here["dataset"]}
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
