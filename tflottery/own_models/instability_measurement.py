"""Instability analysis of a user's own model (*Linear Mode Connectivity*, Algorithm 1).

Two copies of the network at iteration k, optimizer's state included, are trained on
different orders of the data; instability is the highest error on the line between them,
less the mean of its ends.
"""

import dataclasses
import functools
import json
import numbers
import os
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from tflottery.analysis import instability, interpolation
from tflottery.core.durations import Duration
from tflottery.own_models import execution, own_components, problem
from tflottery.own_models import workers as own_workers
from tflottery.own_models.own_components import LINE_FILE, OwnLine, OwnState
from tflottery.own_models.problem import Problem
from tflottery.own_models.ticket_search import in_iterations, initial_digests, trunk
from tflottery.own_models.update_loop import UpdateLoop
from tflottery.store.store import Store


def measure_instability(
    build_model: Callable[[], keras.Model],
    data: object,
    *,
    test_data: object,
    optimizer: object,
    loss: object,
    metrics: object = (),
    batch_size: int = 32,
    training_iterations: Duration = "10ep",
    rewind_iterations: Sequence[Duration] = (0, "5%"),
    replicates: int = 3,
    num_points: int = interpolation.NUM_ALPHAS,
    higher_is_better: Mapping[str, bool] | None = None,
    store: str | os.PathLike | None = None,
    workers: int = 1,
) -> list[dict[str, object]]:
    """Returns how stable your own model is to the order of its data, by k.

    Args:
      build_model: as of `find_ticket`; likewise all arguments but these:
      rewind_iterations: the k at which copies part, such as 100 or "5%".
      num_points: of the line, both ends included.
      higher_is_better: by name, of metrics of your own, such as {"f1": True}; those of
        Keras say so themselves.

    Returns:
      A row for each replicate and k, for pandas: instability in the loss and in each
      metric, as <split>_<name>_instability; of accuracies and the like in 1 less the
      value. Also test_<name>, the mean of the two copies. None where one diverged, or
      where a value on the line is not finite.

    Raises:
      ValueError: an argument is wrong, or a metric does not say whether higher is
        better; nothing was trained.
      RuntimeError: a training failed.
    """
    _validate_num_points(num_points)
    stated = problem.of_arguments(
        build_model,
        data,
        test_data=test_data,
        optimizer=optimizer,
        loss=loss,
        metrics=metrics,
        batch_size=batch_size,
        unpruned=None,
    )
    last = in_iterations(training_iterations, stated)
    ks = _parting(rewind_iterations, stated, last)
    own_workers.validate(stated, workers)
    with own_components.kept(stated) as loop:
        rises = _directions(loop, higher_is_better or {})
        starts = _starts(loop, replicates, ks)
        lines = [_line(start, last, num_points) for start in starts]
        kept = Store(store)
        absent = execution.make(lines, kept, loop=loop, num_workers=workers)
    return [_row(line, kept, absent, rises) for line in lines]


def _validate_num_points(given: object) -> None:
    """Raises ValueError unless it is a number of points with both ends."""
    if isinstance(given, bool) or not isinstance(given, numbers.Integral) or given < 2:
        raise ValueError(
            f"num_points={given!r}, expected a whole number from 2, the two ends."
        )


def _parting(durations: Sequence[Duration], stated: Problem, last: int) -> list[int]:
    """Returns the iterations at which copies part.

    Raises:
      ValueError: it is no list, is empty, or one is not within the training.
    """
    if isinstance(durations, str | int) or not len(durations):
        raise ValueError(
            f"rewind_iterations={durations!r}, expected a list of at least one, such "
            'as (0, "5%").'
        )
    within = functools.partial(in_iterations, training_iterations=last)
    return [within(one, stated) for one in durations]


def _directions(loop: UpdateLoop, stated: Mapping[str, bool]) -> dict[str, bool]:
    """Returns whether a higher value of loss or metric is better, by name.

    Raises:
      ValueError: that is not known of a metric, or stated of one that is not there.
    """
    found = {**loop.rises(), **stated}
    unknown = sorted(name for name, rises in found.items() if rises is None)
    if unknown or stated.keys() - loop.rises().keys():
        raise ValueError(
            f"higher_is_better={dict(stated)!r}, and the metrics are "
            f"{sorted(loop.rises())}: expected True or False for each of {unknown}, "
            "which do not say so themselves, and no others."
        )
    return found


def _starts(loop: UpdateLoop, replicates: int, ks: Sequence[int]) -> list[OwnState]:
    """Returns the states at which copies part, of all replicates."""
    return [
        trunk(loop, replicate, digest, iteration=k)
        for replicate, digest in initial_digests(loop, replicates).items()
        for k in dict.fromkeys(ks)
    ]


def _line(start: OwnState, last: int, num_points: int) -> OwnLine:
    """Returns the line between two copies that part at a state."""
    a, b = (
        dataclasses.replace(
            start,
            start=start,
            first_iteration=start.iteration,
            iteration=last,
            data_order=order,
        )
        for order in (1, 2)
    )
    return OwnLine(problem=start.problem, a=a, b=b, num_points=num_points)


def _row(
    line: OwnLine, store: Store, absent: frozenset[str], rises: Mapping[str, bool]
) -> dict[str, object]:
    """Returns the row of a line: instability on each split, by loss and metrics."""
    row: dict[str, object] = {
        "replicate": line.a.replicate,
        "rewind_iteration": line.a.first_iteration,
        "iteration": line.a.iteration,
    }
    if line.address in absent:
        return row | {"test_loss_instability": None}
    found = json.loads((store.open(line.address) / LINE_FILE).read_text())
    for split, values in found.items():
        for name, along in values.items():
            errors = 1 - np.array(along) if rises[name] else np.array(along)
            finite = np.isfinite(errors).all()
            row[f"{split}_{name}_instability"] = (
                instability.instability(errors) if finite else None
            )
    ends = {name: (along[0] + along[-1]) / 2 for name, along in found["test"].items()}
    return row | {f"test_{name}": value for name, value in ends.items()}
