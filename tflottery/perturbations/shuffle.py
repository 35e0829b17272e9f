"""Does it matter which weight has which value? (EP, Section 5.2, Figures 5 and 6)

Surviving weights change places with each other; pruned places stay pruned. The paper
says neither what a filter is nor which places are shuffled: a filter is one kernel of
height x width, of one input and one output channel, and only survivors move, which the
effective standard deviations that it prints agree with. It also tried the weights that
enter a neuron (footnote 1): the scope "channels".
"""

import math
from collections.abc import Mapping

import numpy as np

from tflottery.core import seeds
from tflottery.core.initializers import Initializers
from tflottery.core.registry import PERTURBATIONS
from tflottery.models.weights import Weights
from tflottery.perturbations.arguments import refuse_unfit
from tflottery.perturbations.sign_magnitude import with_signs
from tflottery.pruning.masks import apply

# The last axes of a kernel that stay apart: weights of equal indices there change
# places. A convolution's are height, width, channels, filters; a dense kernel's the
# last two.
_AXES_APART = {"layers": 0, "channels": 1, "filters": 2}
_SCOPES = ("globally", *_AXES_APART)


@PERTURBATIONS.register(
    "shuffle",
    version=1,
    options={
        "scope": ("globally", "layers", "filters"),
        "keep_signs": False,
        "initial_signs": False,
    },
)
def shuffle(
    kernels: Weights,
    masks: Mapping[str, np.ndarray],
    *,
    initial: Weights,
    initializers: Initializers,
    seed: int,
    scope: str,
    keep_signs: bool = False,
    initial_signs: bool = False,
) -> Weights:
    """Returns the surviving weights in random order within their scope.

    Args:
      kernels: the weights to shuffle.
      masks: 0 or 1; places where they are 0 take no part.
      initial: signs for `initial_signs`.
      initializers: not used.
      seed: of the order; one stream a path.
      scope: one of "globally" (all kernels together), "layers" (within a kernel),
        "channels" (of one output channel, over all of its inputs; of one unit of a
        dense layer) and "filters" (of one input and one output channel, so that 1x1
        and dense kernels stay as they are).
      keep_signs: change places only with a weight of equal sign, so that every place
        keeps its own; 0.0 counts as positive.
      initial_signs: shuffle magnitudes, and give every place the sign that `initial`
        has there (those that the scope leaves in place too); 0.0 counts as positive.

    Raises:
      ValueError: the arrays do not fit, there is no such scope, an option is not a
        truth value, or both options about signs are wanted.
    """
    _refuse_options(scope, keep_signs=keep_signs, initial_signs=initial_signs)
    refuse_unfit(kernels, masks, initial=initial)
    kernels = apply(kernels, masks)
    # Sorted, so that the order of a dictionary does not matter.
    places = {path: np.flatnonzero(masks[path]) for path in sorted(kernels)}
    values = np.concatenate([kernels[path].ravel()[at] for path, at in places.items()])
    groups = _groups(places, kernels, scope=scope)
    if keep_signs:
        groups = 2 * groups + (values < 0)
    keys = [seeds.raw_bits(seed, f"shuffle {p}", at.size) for p, at in places.items()]
    shuffled = _shuffled(values, groups, keys=np.concatenate(keys))
    ends = np.cumsum([at.size for at in places.values()])[:-1]
    parts = dict(zip(places, np.split(shuffled, ends), strict=True))
    result = {}
    for path, kernel in kernels.items():
        flat = np.zeros(kernel.size, np.float32)
        flat[places[path]] = parts[path]
        result[path] = flat.reshape(kernel.shape)
    if not initial_signs:
        return result
    signed = {path: with_signs(result[path], initial[path]) for path in result}
    return apply(signed, masks)


def _groups(
    places: Mapping[str, np.ndarray], kernels: Weights, *, scope: str
) -> np.ndarray:
    """Returns which of the survivors change places: [survivors] int64, equal if so.

    Args:
      places: indices of the survivors in their flattened kernel, by path.
      kernels: arrays by path.
      scope: one of those known.
    """
    if scope == "globally":
        return np.zeros(sum(at.size for at in places.values()), np.int64)
    groups, num_groups = [], 0
    for path, at in places.items():
        shape = kernels[path].shape
        num_here = math.prod(shape[len(shape) - _AXES_APART[scope] :])
        groups.append(num_groups + at % num_here)
        num_groups += num_here
    return np.concatenate(groups)


def _shuffled(
    values: np.ndarray, groups: np.ndarray, *, keys: np.ndarray
) -> np.ndarray:
    """Returns the values in an order of their own within each group.

    Args:
      values: [values] of any dtype.
      groups: [values] int64, at least 0.
      keys: [values] uint64, random; the values of a group are ordered by them.
    """
    if not values.size:
        return values
    # Group and key in one word: its sort takes up to ten times less than theirs. Among
    # ten million values, a tie of the random bits left is rarer than 1 in 100,000.
    num_bits = np.uint64(int(groups.max()).bit_length())
    words = keys >> num_bits
    if num_bits:
        words |= groups.astype(np.uint64) << (np.uint64(64) - num_bits)
    result = np.empty_like(values)
    in_order_of_groups = np.argsort(groups, kind="stable")
    result[in_order_of_groups] = values[np.argsort(words, kind="stable")]
    return result


def _refuse_options(
    scope: object, *, keep_signs: object, initial_signs: object
) -> None:
    """Raises ValueError unless these are options of `shuffle`."""
    if scope not in _SCOPES:
        raise ValueError(f"scope={scope!r}, expected one of {', '.join(_SCOPES)}.")
    for name, value in (("keep_signs", keep_signs), ("initial_signs", initial_signs)):
        if not isinstance(value, bool):
            raise ValueError(f"{name}={value!r}, expected True or False.")
    if keep_signs and initial_signs:
        raise ValueError(
            "keep_signs and initial_signs are both True, expected at most one: a place "
            "keeps its sign at k or takes its initial one."
        )
