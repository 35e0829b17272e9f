"""Durations such as "500", "4ep", "3ep50it", "50000ex" or "5%" become iterations."""

import fractions
import math
import re

Duration = int | str

# As many as addresses of states have digits for.
MOST_ITERATIONS = 99_999_999

# As many as 99,999,999 batches of a size that anybody trains with.
_MOST_EXAMPLES = 10**13

_PATTERN = re.compile(r"(?:(\d+)ep)?(?:(\d+)ex)?(?:(\d+)(?:it)?)?")
_PERCENTAGE = re.compile(r"(\d+(?:\.\d+)?)%")


def validate(duration: Duration) -> None:
    """Raises ValueError if `duration` is not one of the forms, or too long."""
    if _fraction(duration) is not None:
        return
    epochs, examples, extra = _parts(duration)
    # Nobody trains for more epochs than that either.
    _refuse_too_long(duration, epochs, "epochs")
    _refuse_too_long(duration, examples, "examples", most=_MOST_EXAMPLES)
    _refuse_too_long(duration, extra, "iterations")


def iterations_alone(duration: Duration) -> int | None:
    """Returns a duration in iterations where it names nothing else, else None."""
    if _fraction(duration) is not None:
        return None
    epochs, examples, extra = _parts(duration)
    return None if epochs or examples else extra


def iterations(
    duration: Duration,
    *,
    num_examples: int,
    batch_size: int,
    training_iterations: int | None = None,
) -> int:
    """Returns a duration in iterations.

    n epochs are ceil(n * num_examples / batch_size) iterations, because batches run on
    across the ends of epochs; n examples are as many as it takes to have seen them,
    ceil(n / batch_size). A percentage is of a training, and is rounded up too.

    Args:
      duration: iterations as int, or text such as "500it", "4ep", "3ep50it",
        "3840000ex" or "3.3%".
      num_examples: training examples in an epoch.
      batch_size: global batch size.
      training_iterations: length of the training that a percentage is of; None:
        percentages are refused.

    Raises:
      ValueError: the text is not a duration, or it is negative or too long.
    """
    fraction = _fraction(duration)
    if fraction is None:
        epochs, examples, extra = _parts(duration)
        found = -(-(epochs * num_examples + examples) // batch_size) + extra
    elif training_iterations is None:
        raise ValueError(
            f"{duration!r} is part of a training whose length is known, and here none "
            "is. Write iterations, epochs or examples."
        )
    else:
        found = math.ceil(fraction * training_iterations)
    _refuse_too_long(duration, found, "iterations")
    return found


def _fraction(duration: Duration) -> fractions.Fraction | None:
    """Returns a percentage as a fraction; None for durations of other forms."""
    match = _PERCENTAGE.fullmatch(str(duration).strip())
    return fractions.Fraction(match[1]) / 100 if match else None


def _parts(duration: Duration) -> tuple[int, int, int]:
    """Returns (epochs, examples, iterations) of a duration."""
    match = _PATTERN.fullmatch(str(duration).strip())
    if not match or not match.group():
        raise ValueError(
            f"{duration!r} is not a duration. Write iterations (500 or 500it), epochs "
            "(4ep), both (3ep50it), the examples seen (50000ex), or a part of the "
            "training (5%)."
        )
    epochs, examples, extra = (int(part or 0) for part in match.groups())
    return epochs, examples, extra


def _refuse_too_long(
    duration: Duration, count: int, unit: str, *, most: int = MOST_ITERATIONS
) -> None:
    """Raises ValueError if a duration is longer than any training may be."""
    if count > most:
        raise ValueError(
            f"{duration!r} is {count:,} {unit}, and a training may have {most:,} at "
            "most."
        )
