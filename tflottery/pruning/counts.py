"""How many weights survive at a level, and where that lies on the papers' axes.

The papers remove a fraction of the surviving weights per round, 20% in all of their
figures. Every count here comes from the number of prunable weights, not from the level
before, so that roundings do not add up. *Linear Mode Connectivity* and *The Early
Phase* never prune VGG's last layer, yet count it on their axes: `axis_density`.
"""

import fractions
import functools
import math
import numbers
import re
from collections.abc import Mapping, Sequence

# No network is so large, and no share so small, that more prunings make sense.
_LAST_LEVEL = 10_000
_LEVELS = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")


# A plan asks for the same few in thousands of masks.
@functools.lru_cache(maxsize=1000, typed=True)
def num_survivors(num_prunable: int, *, pruning_fraction: float, level: int) -> int:
    """Returns num_prunable * (1 - pruning_fraction)^level, rounded half up.

    Computed exactly, with the fraction that the decimal digits of `pruning_fraction`
    name: 0.2 is a fifth.

    Args:
      num_prunable: N, at least 1.
      pruning_fraction: fraction removed at a level, in (0, 1).
      level: prunings so far, at least 0; 0 is dense.

    Raises:
      ValueError: a value is out of bounds, or the level leaves no weight.
    """
    _refuse_unless_whole("num_prunable", num_prunable, least=1)
    _refuse_unless_whole("level", level, least=0)
    _refuse_fraction(pruning_fraction)
    # Not repr alone, which for numpy's numbers names their type.
    kept = 1 - fractions.Fraction(repr(float(pruning_fraction)))
    count = math.floor(num_prunable * kept**level + fractions.Fraction(1, 2))
    if not count:
        raise ValueError(
            f"level={level!r} leaves none of {num_prunable} weights when "
            f"{pruning_fraction!r} of them are removed at a level, expected a level at "
            "which at least one survives."
        )
    return count


def divided(count: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Returns how many weights of each kernel survive where all are pruned alike.

    Each has its fraction of them, rounded to whole ones by largest remainder, ties to
    the first, and one at least.

    Args:
      count: survivors of all kernels together.
      sizes: weights of each kernel, by path.

    Raises:
      ValueError: there are fewer than a weight for each, or more than all.
    """
    total = sum(sizes.values())
    if not len(sizes) <= count <= total:
        raise ValueError(
            f"{count} of {total} weights cannot be divided among {len(sizes)} kernels "
            "that keep one at least."
        )
    found = {path: max(1, count * size // total) for path, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda path: -(count * sizes[path] % total))
    for path in by_remainder[: max(0, count - sum(found.values()))]:
        found[path] += 1
    # What small kernels were given beyond their fraction, the largest lack.
    while sum(found.values()) > count:
        found[max(found, key=found.get)] -= 1
    return found


def level_of(density: float, *, pruning_fraction: float) -> int:
    """Returns the level whose density (1 - pruning_fraction)^level is nearest.

    Nearest in ratio, which is nearest on the papers' logarithmic axes: the level with
    the smallest |log(density / (1 - pruning_fraction)^level)|. Halfway between two
    levels it is the denser one. A density as the papers print it (3.5% is 0.035) gives
    the level that they mean.

    Args:
      density: kept fraction of weights, in (0, 1].
      pruning_fraction: fraction removed at a level, in (0, 1).

    Raises:
      ValueError: a value is out of bounds.
    """
    if not isinstance(density, numbers.Real) or not 0 < density <= 1:
        raise ValueError(
            f"density={density!r}, expected in (0, 1]; a percentage is divided by 100."
        )
    _refuse_fraction(pruning_fraction)
    levels = math.log(density) / math.log1p(-pruning_fraction)
    # Far above the error of the logarithms, so that halfway is halfway everywhere.
    return math.ceil(levels - 0.5 - 1e-9)


def levels(texts: Sequence[str]) -> tuple[int, ...]:
    """Returns the levels that texts name, ascending, each once.

    Args:
      texts: a level ("3"), a range ("1-14") or one in steps ("9-30:3") each.

    Raises:
      ValueError: a text of another form, a level below 1, a range that is empty.
    """
    found: set[int] = set()
    for text in texts:
        match = _LEVELS.fullmatch(str(text).strip())
        first, last, step = match.groups() if match else ("0", None, None)
        named = range(int(first), int(last or first) + 1, int(step or 1) or 1)
        if named and named[-1] > _LAST_LEVEL:
            raise ValueError(
                f"{text!r} names level {named[-1]}, at which no network has a weight "
                "left."
            )
        if not named or named[0] < 1 or step == "0":
            raise ValueError(
                f"{text!r} names no levels. Write a number of prunings from 1 (3), a "
                "range (1-14) or one in steps (9-30:3); level 0, the dense network, is "
                "measured in any case."
            )
        found.update(named)
    if not found:
        raise ValueError("No levels are named: write at least one, such as 3 or 1-14.")
    return tuple(sorted(found))


def density(num_survivors: int, *, num_prunable: int) -> float:
    """Returns the kept fraction of the prunable weights, in [0, 1].

    Raises:
      ValueError: not 0 <= num_survivors <= num_prunable, or nothing is prunable.
    """
    return axis_density(num_survivors, num_prunable=num_prunable, num_unpruned=0)


def axis_density(num_survivors: int, *, num_prunable: int, num_unpruned: int) -> float:
    """Returns the density as the papers' axes have it: unpruned kernels count as kept.

    Args:
      num_survivors: kept ones of the prunable weights.
      num_prunable: at least 1.
      num_unpruned: weights of the kernels that are never pruned (no biases, no batch
        norm); at least 0.

    Returns:
      In [0, 1]; `density` where num_unpruned is 0.

    Raises:
      ValueError: a value is out of bounds.
    """
    _refuse_unless_whole("num_prunable", num_prunable, least=1)
    _refuse_unless_whole("num_unpruned", num_unpruned, least=0)
    _refuse_unless_whole("num_survivors", num_survivors, least=0)
    if num_survivors > num_prunable:
        raise ValueError(
            f"num_survivors={num_survivors!r}, expected at most "
            f"num_prunable={num_prunable!r}; unpruned weights are not among them."
        )
    return (num_survivors + num_unpruned) / (num_prunable + num_unpruned)


def _refuse_unless_whole(name: str, value: object, *, least: int) -> None:
    """Raises ValueError unless the value is a whole number of at least `least`."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(
            f"{name}={value!r}, expected a whole number of at least {least}."
        )


def _refuse_fraction(pruning_fraction: float) -> None:
    """Raises ValueError unless the fraction removed at a level lies in (0, 1)."""
    if not isinstance(pruning_fraction, numbers.Real) or not 0 < pruning_fraction < 1:
        raise ValueError(f"pruning_fraction={pruning_fraction!r}, expected in (0, 1).")
