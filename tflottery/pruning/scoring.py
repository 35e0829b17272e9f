"""Scores of all prunable kernels by a registered criterion."""

import typing
from collections.abc import Mapping

import numpy as np

from tflottery.core import key_mismatch
from tflottery.core.registry import CRITERIA
from tflottery.pruning.masks import Scores


def score(
    criterion: str,
    weights: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    seed: int = 0,
    probe: typing.Any = None,
) -> Scores:
    """Returns how much every weight that may be pruned is worth.

    Args:
      criterion: name in the registry, such as "magnitude".
      weights: arrays by variable path; may hold more than the kernels to score, and
        nothing where the criterion needs no weights.
      shapes: of the kernels to score, by path.
      seed: of criteria that are random.
      probe: the network beside data (`training.probing.Probe`), for criteria that ask
        for `examples`.

    Returns:
      Scores in the order of `shapes`; the highest are to be kept.

    Raises:
      ValueError: there is no such criterion, a kernel is missing or of another shape,
        or the criterion returns scores of other kernels.
    """
    entry = CRITERIA[criterion]
    given: dict[str, np.ndarray] = {}
    if entry["scored_weights"] != "none":
        given = {path: weights[path] for path in shapes if path in weights}
        _refuse_others(f"{criterion!r} scores weights", given, shapes)
    more = {} if entry["examples"] is None else {"probe": probe}
    scores = entry.function(given, shapes=dict(shapes), seed=seed, **more)
    _refuse_others(f"Pruning criterion {criterion!r} returned scores", scores, shapes)
    return {path: scores[path] for path in shapes}


def _refuse_others(
    what: str, found: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raises ValueError unless the arrays are of exactly these kernels."""
    differing = key_mismatch.differing(found, expected=shapes)
    if not differing:
        other = {
            path: np.shape(value)
            for path, value in found.items()
            if np.shape(value) != tuple(shapes[path])
        }
        expected = {path: tuple(shapes[path]) for path in other}
        differing = f"shapes {other}, expected {expected}" if other else ""
    if differing:
        raise ValueError(f"{what} of other kernels than those to prune: {differing}.")
