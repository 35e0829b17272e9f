"""Masks from scores: exactly as many survivors as asked for, and nested.

Pruning is iterative or one-shot by how it is called. Iterative: train, then
`keep_highest` by the scores of that training's end, with the level's count and the
masks of the level before as `previous`; and again. One-shot: a single call with the
final count and without `previous`, by the scores of the dense network.

Masks are float32, 1 keeps and 0 prunes, of the kernel's shape, by the kernel's path.
Of equal scores the first is kept: first by path in sorted order, then by index in the
flattened kernel. So neither the order of a dictionary nor of the layers matters.
"""

import numbers
from collections.abc import Mapping

import numpy as np

from tflottery.core import key_mismatch
from tflottery.models.weights import Weights

Masks = dict[str, np.ndarray]
Scores = dict[str, np.ndarray]


def keep_highest(
    scores: Mapping[str, np.ndarray],
    *,
    num_survivors: int,
    previous: Mapping[str, np.ndarray] | None = None,
) -> Masks:
    """Returns masks that keep the highest scores of all the kernels together.

    Args:
      scores: by kernel path; any real dtypes, infinite allowed, NaN not.
      num_survivors: how many weights are kept in total, from 1 to their number.
      previous: masks of the same paths and shapes; what they prune stays pruned,
        whatever its score. None: every weight may be kept.

    Returns:
      New masks in the order of `scores`, with exactly `num_survivors` ones.

    Raises:
      ValueError: there are no scores or one is NaN, paths or shapes of `previous`
        differ, or it keeps fewer than `num_survivors`.
    """
    allowed = _allowed(scores, previous)
    order = sorted(scores)
    flat = np.concatenate([np.ravel(scores[path]) for path in order])
    flat_allowed = np.concatenate([allowed[path] for path in order])
    _refuse_count("num_survivors", num_survivors, least=1, allowed=flat_allowed)
    kept = _highest(flat, num_survivors, allowed=flat_allowed)
    ends = np.cumsum([allowed[path].size for path in order])[:-1]
    parts = dict(zip(order, np.split(kept, ends), strict=True))
    return {path: _mask(parts[path], np.shape(scores[path])) for path in scores}


def keep_highest_per_layer(
    scores: Mapping[str, np.ndarray],
    *,
    num_survivors: Mapping[str, int],
    previous: Mapping[str, np.ndarray] | None = None,
) -> Masks:
    """Returns masks that keep the highest scores within each kernel.

    With the `counts` of other masks: a control that is pruned layer by layer as they
    are.

    Args:
      scores: as in `keep_highest`.
      num_survivors: how many weights of each path are kept, from 0 (other masks may
        have emptied a layer) to the number of its weights.
      previous: as in `keep_highest`.

    Returns:
      New masks in the order of `scores`, with exactly these numbers of ones.

    Raises:
      ValueError: as in `keep_highest`, or paths of `num_survivors` differ.
    """
    allowed = _allowed(scores, previous)
    _refuse_other_paths("num_survivors", num_survivors, expected=scores)
    kept = {}
    for path, values in scores.items():
        name = f"num_survivors[{path!r}]"
        _refuse_count(name, num_survivors[path], least=0, allowed=allowed[path])
        flat = np.ravel(values)
        kept[path] = _highest(flat, num_survivors[path], allowed=allowed[path])
    return {path: _mask(kept[path], np.shape(scores[path])) for path in scores}


def num_eligible(
    scores: Mapping[str, np.ndarray],
    *,
    previous: Mapping[str, np.ndarray] | None = None,
) -> int:
    """Returns how many weights may be kept: all but those with a score of -inf.

    Args:
      scores: as in `keep_highest`.
      previous: as in `keep_highest`.

    Raises:
      ValueError: as in `keep_highest`, but for the number of survivors.
    """
    allowed = _allowed(scores, previous)
    return sum(
        int(np.count_nonzero(allowed[path] & (np.ravel(values) > -np.inf)))
        for path, values in scores.items()
    )


def counts(masks: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Returns how many weights each mask keeps, by path."""
    return {path: int(np.count_nonzero(mask)) for path, mask in masks.items()}


def num_ones(masks: Mapping[str, np.ndarray]) -> int:
    """Returns how many weights the masks keep together."""
    return sum(counts(masks).values())


def apply(weights: Weights, masks: Mapping[str, np.ndarray]) -> Weights:
    """Returns the weights with the pruned ones exactly 0.0.

    Args:
      weights: arrays by variable path; may hold more than the masked kernels.
      masks: 0 or 1 of any dtype, by kernel path.

    Returns:
      New arrays of the same dtypes where there is a mask; the others are the very
      objects that came.

    Raises:
      ValueError: a mask has no weights or not their shape, or is not 0 and 1.
    """
    unknown = sorted(masks.keys() - weights.keys())
    if unknown:
        raise ValueError(
            f"Masks for weights that are missing: {unknown}. There are "
            f"{sorted(weights)}."
        )
    for path, mask in masks.items():
        _refuse_mask(path, mask, shape=np.shape(weights[path]))
    return {
        # A product would leave -0.0 where a negative weight was.
        path: np.where(masks[path], value, np.zeros_like(value))
        if path in masks
        else value
        for path, value in weights.items()
    }


def _highest(flat: np.ndarray, count: int, *, allowed: np.ndarray) -> np.ndarray:
    """Returns which `count` of the allowed scores are highest: [scores] bool.

    A partition finds the lowest score that is kept, since sorting takes several times
    as long; the ties at it are filled by index.
    """
    if not count:
        return np.zeros_like(allowed)
    candidates = flat[allowed]
    place = candidates.size - count
    candidates.partition(place)
    kept = allowed & (flat > candidates[place])
    ties = np.flatnonzero(allowed & (flat == candidates[place]))
    kept[ties[: count - np.count_nonzero(kept)]] = True
    return kept


def _allowed(
    scores: Mapping[str, np.ndarray], previous: Mapping[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    """Returns which weights may be kept, flat by path; refuses what cannot be ranked.

    Raises:
      ValueError: no scores, NaN among them, or previous masks that do not fit.
    """
    if not scores:
        raise ValueError("scores is empty, expected those of at least one kernel.")
    for path, values in scores.items():
        if np.isnan(values).any():
            raise ValueError(
                f"The scores of {path!r} hold NaN, expected numbers that have an order."
            )
    if previous is None:
        return {path: np.ones(np.size(v), np.bool_) for path, v in scores.items()}
    _refuse_other_paths("previous", previous, expected=scores)
    for path, values in scores.items():
        _refuse_mask(path, previous[path], shape=np.shape(values))
    return {path: np.ravel(previous[path]) != 0 for path in scores}


def _mask(kept: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns flat choices as a mask: float32 of the kernel's shape."""
    return kept.reshape(shape).astype(np.float32)


def _refuse_count(name: str, count: object, *, least: int, allowed: np.ndarray) -> None:
    """Raises ValueError unless so many of the weights may be kept."""
    most = np.count_nonzero(allowed)
    if isinstance(count, numbers.Integral) and least <= count <= most:
        return
    reason = (
        f" The previous masks keep {most} of {allowed.size} weights, and what they "
        "prune stays pruned."
        if most < allowed.size
        else ""
    )
    raise ValueError(
        f"{name}={count!r}, expected a whole number from {least} to {most}.{reason}"
    )


def _refuse_other_paths(
    name: str, found: Mapping[str, object], *, expected: Mapping[str, object]
) -> None:
    """Raises ValueError unless both have the same paths."""
    if differing := key_mismatch.differing(found, expected=expected):
        raise ValueError(
            f"{name} is not for the kernels that have scores: {differing}."
        )


def _refuse_mask(path: str, mask: np.ndarray, *, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless it is a mask of a kernel of this shape."""
    mask = np.asarray(mask)
    if mask.shape != shape:
        raise ValueError(
            f"The mask of {path!r} has shape {mask.shape}, expected its kernel's "
            f"{shape}."
        )
    wrong = mask[(mask != 0) & (mask != 1)]
    if wrong.size:
        raise ValueError(
            f"The mask of {path!r} holds {wrong[0].item()!r}, expected 0 (pruned) or "
            "1 (kept)."
        )
