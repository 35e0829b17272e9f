"""The timeline of the early phase (EP Figure 2, and A1 for ResNet-18).

A box for each phase with what is measured of it, means over replicates, and below the
line what the paper says of the same iterations.
"""

import math
from collections.abc import Callable, Iterator

import pandas
from matplotlib.axes import Axes

from tflottery.figures import reported
from tflottery.figures.timescales import iteration_name

PAPER, VARIANT = "early_phase", "early_phase"

_PERCENT = 100.0
_FONT_SIZE = 8
# Of the axis upwards: where boxes end, and how high a unit is.
_TOP, _UNIT_INCHES = 1.0, 1.35
# What boxes say: a name, the statistic's column, and how its values are written.
_SAID: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("test accuracy", "test_error", lambda error: f"{_PERCENT * (1 - error):.0f}%"),
    ("mean |w|", "mean_weight_magnitude", lambda value: f"{value:.3g}"),
    (
        "signs changed",
        "fraction_of_signs_changed",
        lambda part: f"{_PERCENT * part:.1f}%",
    ),
    ("gradient norm", "gradient_norm", lambda value: f"{value:.2f}"),
    ("L2 from initial", "l2_from_initial", lambda value: f"{value:.1f}"),
    ("cosine to initial", "cosine_to_initial", lambda value: f"{value:.2f}"),
)
_LOWEST = "gradient_norm"
# What the paper says of a moment: metric, and how the figure puts it.
_MOMENTS = {
    "gradient_magnitude_minimum_iteration": "gradient lowest",
    "gradient_magnitude_stable_iteration": "gradient settles",
    "rewinding_begins_effective_iteration": "rewinding helps from here",
    "matching_from_k_iteration": "rewinding matches from here",
    "rewinding_saturates_k_iteration": "rewinding gains no more",
    "hessian_eigenspectrum_separates_iteration": "eigenvalues of the Hessian separate",
    "critical_period_end_iteration": "critical period ends",
}
_METHODS = ("telemetry", "timeline", "timeline, iterations 10-500", "IMP rewinding")


def draw(axes: Axes, *, phases: pandas.DataFrame) -> None:
    """Draws the timeline of a setting.

    Args:
      axes: a wide panel.
      phases: rows of phases.csv of one setting, at least one.
    """
    ends = phases[["phase_start", "phase_end"]].drop_duplicates()
    bounds = sorted({int(k) for k in ends.to_numpy().flat})
    for place, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        own = phases[(phases["phase_start"] == start) & (phases["phase_end"] == end)]
        _draw_box(axes, place, "\n".join(_lines(own)))
    arrow = {"arrowstyle": "-|>", "color": "black", "lw": 1.5}
    axes.annotate("", (len(bounds) - 1 + 0.04, 0), (0, 0), arrowprops=arrow)
    for place, bound in enumerate(bounds):
        axes.plot([place, place], [-0.03, 0.03], color="black", linewidth=1.5)
        _write(axes, place, -0.06, iteration_name(bound), weight="bold")
    # The later, the higher, so that no line crosses a text.
    moments = sorted(_moments(phases).items(), reverse=True)
    for row, (iteration, said) in enumerate(moments):
        place, y = _place(iteration, bounds), -0.26 - 0.13 * row
        top = -0.18 if iteration in bounds else 0
        axes.plot([place, place], [top, y - 0.1], color="0.6", linewidth=0.8)
        text = f" {iteration_name(iteration)}: {'; '.join(said)} (paper)"
        _write(axes, place, y, text, horizontalalignment="left")
    axes.set_title("Timeline", fontsize=10)
    axes.set_xlim(-0.05, len(bounds) - 1 + 0.06)
    axes.set_ylim(_bottom(phases), _TOP)
    axes.set_axis_off()


def height(phases: pandas.DataFrame) -> float:
    """Returns how high the panel of a timeline is, in inches."""
    return _UNIT_INCHES * (_TOP - _bottom(phases))


def _bottom(phases: pandas.DataFrame) -> float:
    """Returns where a timeline ends: lower if the paper says something."""
    return -0.7 if _moments(phases) else -0.2


def _draw_box(axes: Axes, place: int, text: str) -> None:
    """Writes what a phase is like above its part of the line."""
    axes.text(
        place + 0.5,
        0.1,
        text,
        fontsize=_FONT_SIZE,
        horizontalalignment="center",
        verticalalignment="bottom",
        bbox={"boxstyle": "round", "facecolor": "0.95", "edgecolor": "0.6"},
    )


def _write(axes: Axes, x: float, y: float, text: str, **look: object) -> None:
    """Writes a text below a place of the line."""
    usual = {"horizontalalignment": "center", "verticalalignment": "top"}
    axes.text(x, y, text, fontsize=_FONT_SIZE, **(usual | look))


def _lines(phase: pandas.DataFrame) -> Iterator[str]:
    """Yields what is measured of a phase, from its start to its end."""
    values = dict(zip(phase["statistic"], phase["value"], strict=True))
    for name, column, written in _SAID:
        start, end = (values.get(f"{column}_at_{which}") for which in ("start", "end"))
        if start is None or end is None:
            continue
        line = f"{name} {written(start)} → {written(end)}"
        if column == _LOWEST and not math.isnan(
            values.get(f"{column}_rebound", math.nan)
        ):
            at = round(values[f"{column}_minimum_iteration"])
            line += f"\n(lowest {written(values[f'{column}_minimum'])} at {at})"
        paper = _reported_signs(phase) if column == "fraction_of_signs_changed" else ""
        yield line + paper


def _reported_signs(phase: pandas.DataFrame) -> str:
    """Returns what the paper says of the signs of the first phase; "" of others."""
    if phase["phase_start"].iloc[0] > 0:
        return ""
    found = _number(phase, "sign_changes_pct", "timeline, iterations 1-10")
    return f" (paper {found.value:g}%)" if found else ""


def _moments(phases: pandas.DataFrame) -> dict[int, list[str]]:
    """Returns what the paper says of iterations, up to the last one shown."""
    last = phases["phase_end"].max()
    found: dict[int, list[str]] = {}
    for metric, text in _MOMENTS.items():
        # A method and its figure may both say it.
        numbers = {_number(phases, metric, method) for method in _METHODS} - {None}
        for iteration in {int(number.value) for number in numbers}:
            if iteration <= last:
                found.setdefault(iteration, []).append(text)
    return found


def _number(
    phases: pandas.DataFrame, metric: str, method: str
) -> reported.Number | None:
    """Returns the paper's number for a network under the paper's recipe."""
    first = phases.iloc[0]
    if first["variant"] != VARIANT:
        return None
    which = {"model": first["model"], "dataset": reported.learned(first)}
    return reported.number(metric, paper=PAPER, method=method, **which)


def _place(iteration: int, bounds: list[int]) -> float:
    """Returns where an iteration stands: phases have the same length each."""
    place = max(index for index, bound in enumerate(bounds[:-1]) if bound <= iteration)
    # Within a phase as on a logarithmic axis: its beginning matters more.
    start, end = (math.log1p(bound) for bound in bounds[place : place + 2])
    return place + (math.log1p(iteration) - start) / (end - start)
