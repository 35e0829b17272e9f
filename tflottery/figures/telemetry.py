"""The figure of telemetry (EP Figures 2 and 3, A1 and A3 for the other networks).

For each setting nine panels over the iterations: accuracy, loss, mean magnitude of the
weights, fraction of signs changed, ten weights one by one, norm and mean magnitude of
the gradient, distance and cosine to the initial and the final weights. Below them the
timeline of Figure 2 (`figures.timeline`).

Lines are means and bands one standard deviation over replicates; the ten weights are
those of the first replicate. Losses and gradients are on logarithmic axes. Dotted lines
end the phases of Figure 2.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence

import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.analysis.movement import BOUNDARIES
from tflottery.core.amounts import counted
from tflottery.figures import lines, panels, reported, timeline
from tflottery.figures.densities import SETTING
from tflottery.figures.timescales import iteration_name, set_thousands_axis

PAPER, VARIANT = "early_phase", "early_phase"

_SETTING = [*SETTING, "final_iteration", "gradient_examples"]
_PERCENT = 100.0
_PANEL_INCHES = (3.5, 2.5)
_ONE_COLOR = "0.25"
_END_COLORS = {"initial": "#009e73", "final": "#cc79a7"}
# Where the paper gives a number of its plots: metric, method and iteration.
_ACCURACIES = tuple(
    ("top1_accuracy_pct", f"telemetry at iteration {k}", k) for k in (400, 2000)
)
_SIGNS = (("sign_changes_pct", "timeline, iterations 1-10", 10),)
_GRADIENTS = {
    "gradient_magnitude_minimum_iteration": "minimum",
    "gradient_magnitude_stable_iteration": "stable from here",
}
_GRADIENT_METHODS = ("telemetry", "timeline, iterations 10-500")


def draw(
    telemetry: pandas.DataFrame, weights: pandas.DataFrame, phases: pandas.DataFrame
) -> Figure:
    """Returns the figure of the tables of the telemetry experiment.

    Args:
      telemetry: a row a network at an iteration, as in telemetry.csv.
      weights: a row a weight at an iteration, as in weights.csv.
      phases: a row a statistic of a phase, as in phases.csv; without rows of a setting
        there is no timeline of it.

    Raises:
      ValueError: the table of telemetry has no rows.
    """
    panels.refuse_empty(telemetry, name="telemetry")
    blocks = []
    for setting, readings, chosen in _settings(telemetry, weights):
        of_all = {"readings": readings, "setting": setting}
        rows = [
            [
                functools.partial(_draw_accuracy, **of_all),
                functools.partial(_draw_loss, readings=readings),
                functools.partial(_draw_magnitude, readings=readings),
            ],
            [
                functools.partial(_draw_signs, **of_all),
                functools.partial(_draw_ten_weights, readings=readings, chosen=chosen),
                functools.partial(_draw_gradient_norm, **of_all),
            ],
            [
                functools.partial(_draw_gradient_magnitude, readings=readings),
                functools.partial(_draw_distance, readings=readings),
                functools.partial(_draw_angle, readings=readings),
            ],
        ]
        replicates = counted(readings["replicate"].nunique(), "replicate")
        title = panels.title(readings, replicates)
        own = phases[(phases[_SETTING] == list(setting.values())).all(axis=1)]
        footer = {}
        if len(own):
            footer["footer"] = functools.partial(timeline.draw, phases=own)
            footer["footer_inches"] = timeline.height(own)
        blocks.append(panels.Block(title, rows, **footer))
    return panels.drawn(blocks, inches=_PANEL_INCHES)


def _settings(
    telemetry: pandas.DataFrame, weights: pandas.DataFrame
) -> Iterator[tuple[dict[str, object], pandas.DataFrame, pandas.DataFrame]]:
    """Yields each setting with its readings and the weights of its first replicate."""
    # A row whose training diverged has no gradients, and belongs to its setting still.
    known = telemetry["gradient_examples"]
    known = known.fillna(known.groupby(telemetry["config"]).transform("max"))
    telemetry = telemetry.assign(gradient_examples=known)
    for key, readings in telemetry.groupby(_SETTING, sort=False, dropna=False):
        setting = dict(zip(_SETTING, key, strict=True))
        chosen = weights[weights["config"] == setting["config"]]
        first = chosen["replicate"] == chosen["replicate"].min()
        yield setting, readings, chosen[first]


def _draw_accuracy(
    axes: Axes, *, readings: pandas.DataFrame, setting: Mapping[str, object]
) -> None:
    """Draws accuracy on both splits."""
    for split, color in lines.SPLIT_COLORS.items():
        right = readings.assign(accuracy=1 - readings[f"{split}_error"])
        _draw_line(axes, right, "accuracy", color=color, label=split, scale=_PERCENT)
    _mark(axes, _ACCURACIES, readings, setting)
    _finish(axes, readings, title="Accuracy", y="accuracy (%)")


def _draw_loss(axes: Axes, *, readings: pandas.DataFrame) -> None:
    """Draws loss on both splits."""
    for split, color in lines.SPLIT_COLORS.items():
        _draw_line(axes, readings, f"{split}_loss", color=color, label=split)
    # Moving statistics that lag behind make the first losses very large.
    axes.set_yscale("log")
    _finish(axes, readings, title="Loss", y="cross-entropy (nats)")


def _draw_magnitude(axes: Axes, *, readings: pandas.DataFrame) -> None:
    """Draws the magnitude of all weights."""
    _draw_line(axes, readings, "mean_weight_magnitude", color=_ONE_COLOR)
    _finish(axes, readings, title="Weight magnitude", y="mean |w|")


def _draw_signs(
    axes: Axes, *, readings: pandas.DataFrame, setting: Mapping[str, object]
) -> None:
    """Draws how many weights have another sign than at initialization."""
    column = "fraction_of_signs_changed"
    _draw_line(axes, readings, column, color=_ONE_COLOR, scale=_PERCENT)
    _mark(axes, _SIGNS, readings, setting)
    _finish(axes, readings, title="Signs unlike initialization", y="weights (%)")
    axes.set_ylim(bottom=0)


def _draw_ten_weights(
    axes: Axes, *, readings: pandas.DataFrame, chosen: pandas.DataFrame
) -> None:
    """Draws ten weights of one replicate, one by one."""
    colors = matplotlib.colormaps["tab10"](np.linspace(0, 1, 10))
    for (_, own), color in zip(chosen.groupby("weight"), colors, strict=False):
        own = own.sort_values("iteration")
        axes.plot(own["iteration"], own["value"], color=color, linewidth=1)
    _finish(axes, readings, title="Ten random weights", y="weight")


def _draw_gradient_norm(
    axes: Axes, *, readings: pandas.DataFrame, setting: Mapping[str, object]
) -> None:
    """Draws the norm of the gradient, and when the paper's is lowest and settles."""
    _draw_line(axes, readings, "gradient_norm", color=_ONE_COLOR)
    last = readings["iteration"].max()
    for metric, linestyle in zip(_GRADIENTS, ("--", "-."), strict=True):
        style = {"color": "black", "linestyle": linestyle, "linewidth": 1}
        for method in _GRADIENT_METHODS:
            paper = _reported(setting, metric, method)
            if paper is not None and paper.value <= last:
                label = f"{_GRADIENTS[metric]} in the paper"
                axes.axvline(paper.value, label=label, **style)
    axes.set_yscale("log")
    _finish(axes, readings, title="Gradient norm", y="norm of g")


def _draw_gradient_magnitude(axes: Axes, *, readings: pandas.DataFrame) -> None:
    """Draws the mean magnitude of the gradient."""
    _draw_line(axes, readings, "mean_gradient_magnitude", color=_ONE_COLOR)
    axes.set_yscale("log")
    _finish(axes, readings, title="Gradient magnitude", y="mean |g|", x="iteration")


def _draw_distance(axes: Axes, *, readings: pandas.DataFrame) -> None:
    """Draws the distance to both ends of training."""
    _draw_ends(axes, readings, "l2_from")
    _finish(axes, readings, title="Distance of weights", y="L2 distance", x="iteration")
    axes.set_ylim(bottom=0)


def _draw_angle(axes: Axes, *, readings: pandas.DataFrame) -> None:
    """Draws the angle to both ends of training."""
    _draw_ends(axes, readings, "cosine_to")
    _finish(axes, readings, title="Angle of weights", y="cosine", x="iteration")


def _draw_ends(axes: Axes, readings: pandas.DataFrame, measure: str) -> None:
    """Draws a measure of both ends of training."""
    final = iteration_name(int(readings["final_iteration"].iloc[0]))
    for end, color in _END_COLORS.items():
        label = "to initial" if end == "initial" else f"to final ({final})"
        _draw_line(axes, readings, f"{measure}_{end}", color=color, label=label)


def _draw_line(
    axes: Axes,
    readings: pandas.DataFrame,
    column: str,
    *,
    color: object,
    label: str | None = None,
    scale: float = 1.0,
) -> None:
    """Draws a column over the iterations."""
    table = lines.summary(readings, by="iteration", value=column)
    lines.draw(axes, table, color=color, label=label, scale=scale)


def _mark(
    axes: Axes,
    places: Sequence[tuple[str, str, int]],
    readings: pandas.DataFrame,
    setting: Mapping[str, object],
) -> None:
    """Marks the paper's numbers in a panel."""
    found = [
        (iteration, number.value)
        for metric, method, iteration in places
        if (number := _reported(setting, metric, method)) is not None
        and iteration <= readings["iteration"].max()
    ]
    if found:
        axes.plot(*zip(*found, strict=True), "D", **reported.LOOK)


def _reported(
    setting: Mapping[str, object], metric: str, method: str
) -> reported.Number | None:
    """Returns the paper's number for a network under the paper's recipe."""
    if setting["variant"] != VARIANT:
        return None
    return reported.number(
        metric,
        paper=PAPER,
        model=setting["model"],
        dataset=reported.learned(setting),
        method=method,
    )


def _finish(
    axes: Axes, readings: pandas.DataFrame, *, title: str, y: str, x: str = ""
) -> None:
    """Labels a panel, which shows all iterations, and where phases end."""
    panels.tidy(axes, title=title, x=x, y=y)
    last = readings["iteration"].max()
    for boundary in BOUNDARIES[1:]:
        if boundary < last:
            axes.axvline(boundary, color="0.55", linestyle=":", linewidth=1, zorder=1)
    set_thousands_axis(axes)
    axes.tick_params(which="minor", labelsize=7)
    axes.set_xlim(0, max(last, 1))
