"""Durations such as "500", "4ep" or "3ep50it" become iterations here, and only here."""

import re

Duration = int | str

# As many as addresses of states have digits for.
MOST_ITERATIONS = 99_999_999

_PATTERN = re.compile(r"(?:(\d+)ep)?(?:(\d+)(?:it)?)?")


def validate(duration: Duration) -> None:
    """Raises ValueError if `duration` is not one of the four forms, or too long."""
    # Nobody trains for more epochs than that either.
    for count, unit in zip(_parts(duration), ("epochs", "iterations"), strict=True):
        _refuse_too_long(duration, count, unit)


def iterations_alone(duration: Duration) -> int | None:
    """Returns a duration in iterations where it names no epochs, else None."""
    epochs, extra = _parts(duration)
    return None if epochs else extra


def iterations(duration: Duration, *, num_examples: int, batch_size: int) -> int:
    """Returns a duration in iterations.

    n epochs are ceil(n * num_examples / batch_size) iterations, because batches run on
    across the ends of epochs.

    Args:
      duration: iterations as int, or text such as "500it", "4ep" or "3ep50it".
      num_examples: training examples in an epoch.
      batch_size: global batch size.

    Raises:
      ValueError: the text is not a duration, or it is negative or too long.
    """
    epochs, extra = _parts(duration)
    found = -(-epochs * num_examples // batch_size) + extra
    _refuse_too_long(duration, found, "iterations")
    return found


def _parts(duration: Duration) -> tuple[int, int]:
    """Returns (epochs, iterations) of a duration."""
    match = _PATTERN.fullmatch(str(duration).strip())
    if not match or not match.group():
        raise ValueError(
            f"{duration!r} is not a duration. Write iterations (500 or 500it), epochs "
            "(4ep) or both (3ep50it)."
        )
    return int(match.group(1) or 0), int(match.group(2) or 0)


def _refuse_too_long(duration: Duration, count: int, unit: str) -> None:
    """Raises ValueError if a duration is longer than any training may be."""
    if count > MOST_ITERATIONS:
        raise ValueError(
            f"{duration!r} is {count:,} {unit}, and a training may have "
            f"{MOST_ITERATIONS:,} at most."
        )
