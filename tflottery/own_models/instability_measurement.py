"""Instability analysis of a user's own model (*Linear Mode Connectivity*, Algorithm 1).

Two copies of the network at iteration k, optimizer's state included, are trained on
different orders of the data; instability is the highest error on the line between them,
less the mean of its ends.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tflottery.analysis import instability, interpolation
from tflottery.core.durations import Duration
from tflottery.own_models import inline_execution, problem
from tflottery.own_models.own_components import LINE_FILE, OwnLine
from tflottery.own_models.problem import Problem
from tflottery.own_models.ticket_search import in_iterations, trunk
from tflottery.store.store import Store

# Of metrics whose name ends so, 1 less the value is what rises on the line.
_HIGHER_IS_BETTER = (
    "accuracy",
    "acc",
    "auc",
    "precision",
    "recall",
    "f1_score",
    "fbeta_score",
    "r2_score",
    "iou",
)


def measure_instability(
    build_model: Callable[[], keras.Model],
    data: object,
    *,
    test_data: object,
    optimizer: object,
    loss: object,
    metrics: Sequence[object] = (),
    batch_size: int = 32,
    training_iterations: Duration = "10ep",
    rewind_iterations: Sequence[Duration] = (0, "5%"),
    replicates: int = 3,
    num_points: int = interpolation.NUM_ALPHAS,
    store: str | os.PathLike | None = None,
) -> list[dict[str, object]]:
    """Returns how stable your own model is to the order of its data, by k.

    Args:
      build_model: as of `find_ticket`; likewise all arguments but these:
      rewind_iterations: the k at which copies part, such as 100 or "5%".
      num_points: of the line, both ends included.

    Returns:
      A row for each replicate and k, for pandas: instability in the loss and in each
      metric, as <split>_<name>_instability; of accuracies and the like in 1 less the
      value. Also test_<name>, the mean of the two copies. None where one diverged.

    Raises:
      ValueError: an argument is wrong; nothing was trained.
      RuntimeError: a training failed.
    """
    if num_points < 2:
        raise ValueError(f"num_points={num_points!r}, expected the two ends at least.")
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
    ks = [
        in_iterations(one, stated, training_iterations=last)
        for one in rewind_iterations
    ]
    lines = [
        (replicate, k, _line(stated, replicate, k, last=last, num_points=num_points))
        for replicate in range(1, replicates + 1)
        for k in dict.fromkeys(ks)
    ]
    kept = Store(store)
    absent = inline_execution.make([line for *_, line in lines], kept)
    return [
        {"replicate": replicate, "rewind_iteration": k, "iteration": last}
        | _measured(line, kept, absent)
        for replicate, k, line in lines
    ]


def _line(
    stated: Problem, replicate: int, k: int, *, last: int, num_points: int
) -> OwnLine:
    """Returns the line between two copies that part at iteration k."""
    start = trunk(stated, replicate, k)
    a, b = (
        dataclasses.replace(
            start, start=start, first_iteration=k, iteration=last, data_order=order
        )
        for order in (1, 2)
    )
    return OwnLine(problem=start.problem, a=a, b=b, num_points=num_points)


def _measured(
    line: OwnLine, store: Store, absent: frozenset[str]
) -> dict[str, float | None]:
    """Returns the instability on each split, by loss and metrics."""
    if line.address in absent:
        return {"test_loss_instability": None}
    found = json.loads((store.open(line.address) / LINE_FILE).read_text())
    row = {}
    for split, values in found.items():
        for name, along in values.items():
            falls = name.endswith(_HIGHER_IS_BETTER)
            errors = 1 - np.array(along) if falls else np.array(along)
            row[f"{split}_{name}_instability"] = instability.instability(errors)
    ends = {name: (along[0] + along[-1]) / 2 for name, along in found["test"].items()}
    return row | {f"test_{name}": value for name, value in ends.items()}
