"""The figure of telemetry (EP Figure 3, and A3 for the other networks).

For each setting nine panels over the iterations: accuracy, loss, mean magnitude of the
weights, fraction of signs changed, ten weights one by one, norm and mean magnitude of
the gradient, distance and cosine to the initial and the final weights.

Lines are means and bands one standard deviation over replicates; the ten weights are
those of the first replicate. Losses and gradients are on logarithmic axes. Dotted lines
end the phases of Figure 2.
"""

from collections.abc import Iterator, Mapping, Sequence

import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.analysis.telemetry import BOUNDARIES
from tflottery.figures import lines, reported

PAPER, VARIANT = "early_phase", "early_phase"

_SETTING = ["model", "variant", "dataset", "training_iterations", "config"]
_SETTING += ["final_iteration", "gradient_examples"]
_PERCENT = 100.0
_PANEL_INCHES = (3.5, 2.5)
_NUM_ROWS, _NUM_COLUMNS = 3, 3
_ONE_COLOR = "0.25"
_END_COLORS = {"initial": "#0072b2", "final": "#d55e00"}
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


def draw(telemetry: pandas.DataFrame, weights: pandas.DataFrame) -> Figure:
    """Returns the figure of the tables of the telemetry experiment.

    Args:
      telemetry: a row a network at an iteration, as in telemetry.csv.
      weights: a row a weight at an iteration, as in weights.csv.

    Raises:
      ValueError: the table of telemetry has no rows.
    """
    if not len(telemetry):
        raise ValueError("The table 'telemetry' has no rows: nothing can be drawn.")
    settings = list(_settings(telemetry, weights))
    width, height = _PANEL_INCHES
    figure = Figure(
        figsize=(width * _NUM_COLUMNS, (height * _NUM_ROWS + 0.3) * len(settings)),
        layout="constrained",
    )
    blocks = figure.subfigures(len(settings), 1, squeeze=False)[:, 0]
    for block, (setting, readings, chosen) in zip(blocks, settings, strict=True):
        block.suptitle(_title(setting, readings), fontsize=11)
        panels = list(block.subplots(_NUM_ROWS, _NUM_COLUMNS).flat)
        _draw_performance(panels[:2], readings, setting)
        _draw_weights(panels[2:5], readings, chosen, setting)
        _draw_gradients(panels[5:7], readings, setting)
        _draw_directions(panels[7:], readings)
        for axes in panels:
            _finish(axes, last=readings["iteration"].max())
    return figure


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


def _draw_performance(
    panels: Sequence[Axes], readings: pandas.DataFrame, setting: Mapping[str, object]
) -> None:
    """Draws accuracy and loss on both splits."""
    accuracy, loss = panels
    for split, color in lines.SPLIT_COLORS.items():
        right = readings.assign(accuracy=1 - readings[f"{split}_error"])
        _draw_line(accuracy, right, "accuracy", color=color, label=split, scale=100.0)
        _draw_line(loss, readings, f"{split}_loss", color=color, label=split)
    _mark(accuracy, _ACCURACIES, readings, setting)
    lines.tidy(accuracy, title="Accuracy", x="", y="accuracy (%)")
    _draw_legend(accuracy, location="lower right")
    lines.tidy(loss, title="Loss", x="", y="cross-entropy (nats)")
    # Moving statistics that lag behind make the first losses very large.
    loss.set_yscale("log")
    _draw_legend(loss, location="upper right")


def _draw_weights(
    panels: Sequence[Axes],
    readings: pandas.DataFrame,
    chosen: pandas.DataFrame,
    setting: Mapping[str, object],
) -> None:
    """Draws magnitude and signs of all weights, and ten of them."""
    magnitude, signs, traces = panels
    _draw_line(magnitude, readings, "mean_weight_magnitude", color=_ONE_COLOR)
    lines.tidy(magnitude, title="Weight magnitude", x="", y="mean |w|")
    column = "share_of_signs_changed"
    _draw_line(signs, readings, column, color=_ONE_COLOR, scale=_PERCENT)
    _mark(signs, _SIGNS, readings, setting)
    _draw_legend(signs, location="lower right")
    lines.tidy(signs, title="Signs unlike initialization", x="", y="weights (%)")
    signs.set_ylim(bottom=0)
    colors = matplotlib.colormaps["tab10"](np.linspace(0, 1, 10))
    for (number, own), color in zip(chosen.groupby("weight"), colors, strict=False):
        own = own.sort_values("iteration")
        label = f"weight {number}"
        style = {"color": color, "label": label, "linewidth": 1}
        traces.plot(own["iteration"], own["value"], **style)
    lines.tidy(traces, title="Ten random weights", x="", y="weight")


def _draw_gradients(
    panels: Sequence[Axes], readings: pandas.DataFrame, setting: Mapping[str, object]
) -> None:
    """Draws both readings of the gradient's magnitude."""
    norm, mean = panels
    _draw_line(norm, readings, "gradient_norm", color=_ONE_COLOR)
    _draw_line(mean, readings, "mean_gradient_magnitude", color=_ONE_COLOR)
    last = readings["iteration"].max()
    for metric, linestyle in zip(_GRADIENTS, ("--", "-."), strict=True):
        style = {"color": "black", "linestyle": linestyle, "linewidth": 1}
        for method in _GRADIENT_METHODS:
            paper = _reported(setting, metric, method)
            if paper is not None and paper.value <= last:
                label = f"{_GRADIENTS[metric]}\nin the paper"
                norm.axvline(paper.value, label=label, **style)
    _draw_legend(norm, location="upper right")
    lines.tidy(norm, title="Gradient norm", x="", y="norm of g")
    lines.tidy(mean, title="Gradient magnitude", x="iteration", y="mean |g|")
    for axes in panels:
        axes.set_yscale("log")


def _draw_directions(panels: Sequence[Axes], readings: pandas.DataFrame) -> None:
    """Draws distances and angles to both ends of training."""
    distance, angle = panels
    final = lines.iteration_name(int(readings["final_iteration"].iloc[0]))
    for end, color in _END_COLORS.items():
        label = "to initial" if end == "initial" else f"to final ({final})"
        _draw_line(distance, readings, f"l2_from_{end}", color=color, label=label)
        _draw_line(angle, readings, f"cosine_to_{end}", color=color, label=label)
    lines.tidy(distance, title="Distance of weights", x="iteration", y="L2 distance")
    distance.set_ylim(bottom=0)
    lines.tidy(angle, title="Angle of weights", x="iteration", y="cosine")
    for axes in panels:
        _draw_legend(axes, location="best")


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
        axes.plot(
            *zip(*found, strict=True),
            "D",
            color="black",
            markerfacecolor="white",
            markersize=5,
            zorder=5,
            clip_on=False,
            label="in the paper",
        )


def _draw_legend(axes: Axes, *, location: str) -> None:
    """Draws the legend of a panel that shows anything."""
    if axes.get_legend_handles_labels()[0]:
        lines.legend(axes, location=location)


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
        dataset=setting["dataset"],
        method=method,
    )


def _finish(axes: Axes, *, last: int) -> None:
    """Has a panel show all iterations, and where phases end."""
    for boundary in BOUNDARIES[1:]:
        if boundary < last:
            axes.axvline(boundary, color="0.55", linestyle=":", linewidth=1, zorder=1)
    lines.thousands_axis(axes)
    axes.tick_params(which="minor", labelsize=7)
    axes.set_xlim(0, max(last, 1))


def _title(setting: Mapping[str, object], readings: pandas.DataFrame) -> str:
    """Returns what a setting's panels show."""
    network = reported.NETWORKS.get(setting["model"], setting["model"])
    dataset = reported.DATASETS.get(setting["dataset"], setting["dataset"])
    replicates = readings["replicate"].nunique()
    return (
        f"{network} on {dataset} ({setting['variant']}, "
        f"{setting['training_iterations']:,} iterations; {replicates} "
        f"replicate{'s' if replicates > 1 else ''})"
    )
