"""The phases of training as rows of phases.csv: the timeline of EP, Figure 2."""

import dataclasses
from collections.abc import Sequence

from tflottery.analysis import movement, statistics
from tflottery.studies.columns import NetworkKeys, StudyKeys
from tflottery.studies.study import Study

# Columns that phases are described by, and those of which the minimum counts.
_DESCRIBED = (
    "test_error",
    "test_loss",
    "mean_weight_magnitude",
    "fraction_of_signs_changed",
    "gradient_norm",
    "mean_gradient_magnitude",
    "l2_from_initial",
    "l2_from_final",
    "cosine_to_initial",
    "cosine_to_final",
)
_WITH_MINIMUM = ("gradient_norm", "mean_gradient_magnitude")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase(StudyKeys):
    """A row of phases.csv: a statistic of a phase of the timeline (Figure 2).

    Replicates count that were measured at every iteration asked for; where there are
    several, `value` is their mean and `value_std` their standard deviation. A statistic
    is one of `analysis.movement.phases`, named after the column of telemetry.csv that
    it describes and how it does.
    """

    final_iteration: int
    gradient_examples: int
    phase_start: int
    phase_end: int
    num_iterations: int
    statistic: str
    num_replicates: int
    value: float
    value_std: float | None


def rows(
    study: Study, readings: Sequence[NetworkKeys], *, num_iterations: int
) -> list[Phase]:
    """Returns the rows of phases.csv.

    Args:
      study: whose networks were measured.
      readings: rows of telemetry.csv.
      num_iterations: at how many a replicate is measured that lacks none.
    """
    # The phases of every replicate that was measured whole.
    by_replicate: dict[int, list[NetworkKeys]] = {}
    for row in readings:
        by_replicate.setdefault(row.replicate, []).append(row)
    found: dict[tuple, list[float]] = {}
    for own in by_replicate.values():
        columns = {name: [getattr(row, name) for row in own] for name in _DESCRIBED}
        whole = all(None not in column for column in columns.values())
        if not whole or len(own) < num_iterations:
            continue
        iterations = [row.iteration for row in own]
        same = own[0].final_iteration, own[0].gradient_examples
        for one in movement.phases(iterations, columns, minima=_WITH_MINIMUM):
            place = (one.phase_start, one.phase_end, one.num_iterations, one.name)
            found.setdefault((*same, *place), []).append(one.value)
    # Mean and deviation over replicates.
    return [
        Phase(
            **study.columns(),
            final_iteration=final,
            gradient_examples=examples,
            phase_start=start,
            phase_end=end,
            num_iterations=count,
            statistic=name,
            num_replicates=len(values),
            value=statistics.mean(values),
            value_std=statistics.std_of_several(values),
        )
        for (final, examples, start, end, count, name), values in found.items()
    ]
