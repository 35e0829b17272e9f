"""Learning rates as the papers set them: linear warmup, then drops at milestones.

Follows *Linear Mode Connectivity* (2019), Table 1. The rate is a function of the
iteration alone, so a branch that starts at iteration k goes on at rate(k).
"""

import math
from collections.abc import Sequence

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tflottery")
class RecipeSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """rate(t) = learning_rate * min(1, t / warmup) * decay_factor ** drops(t).

    t counts the updates done before the one that uses the rate, and drops(t) is the
    number of milestones <= t. With warmup, the very first update has rate zero.
    """

    def __init__(
        self,
        learning_rate: float,
        milestones: Sequence[int] = (),
        *,
        decay_factor: float = 0.1,
        warmup: int = 0,
    ):
        """Args:
          learning_rate: the rate after warmup and before decay; positive.
          milestones: iterations from which the rate is lower, in any order. One that
            is named twice counts twice.
          decay_factor: what the rate is multiplied by at a milestone, in (0, 1].
          warmup: iterations over which the rate rises linearly from zero; 0 is none.

        Raises:
          ValueError: a value is out of its range, or a duration is still text.
        """
        self.learning_rate = _checked_rate(learning_rate)
        self.milestones = tuple(
            sorted(_checked_iteration("milestone", value) for value in milestones)
        )
        if not 0 < decay_factor <= 1:
            raise ValueError(f"decay_factor is {decay_factor!r}, expected in (0, 1].")
        self.decay_factor = float(decay_factor)
        self.warmup = _checked_iteration("warmup", warmup)

    def __call__(self, step: object) -> object:
        """Returns the rate at an iteration.

        Args:
          step: updates done: an int, or a scalar integer tensor or variable.

        Returns:
          A float32 scalar tensor.
        """
        step = ops.convert_to_tensor(step)
        # Each level is rounded once, from float64; a power in float32 would not be.
        rate = ops.convert_to_tensor(self.learning_rate, dtype="float32")
        for drops, milestone in enumerate(self.milestones, start=1):
            lower = self.learning_rate * self.decay_factor**drops
            rate = ops.where(
                step >= ops.cast(milestone, step.dtype),
                ops.convert_to_tensor(lower, dtype="float32"),
                rate,
            )
        if self.warmup:
            rate = rate * ops.minimum(1.0, ops.cast(step, "float32") / self.warmup)
        return rate

    def get_config(self) -> dict[str, object]:
        """Returns the arguments that make this schedule again."""
        return {
            "learning_rate": self.learning_rate,
            "milestones": list(self.milestones),
            "decay_factor": self.decay_factor,
            "warmup": self.warmup,
        }


def _checked_rate(value: float) -> float:
    """Returns a learning rate as a float; refuses what cannot train."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"learning_rate is {value!r}, expected finite and positive.")
    return float(value)


def _checked_iteration(name: str, value: int) -> int:
    """Returns a duration in iterations; refuses text and negative numbers."""
    if isinstance(value, str) or value != int(value) or value < 0:
        raise ValueError(
            f"{name} is {value!r}, expected a whole number of iterations >= 0. Turn "
            "durations such as '4ep' into iterations first (core.recipes.resolved)."
        )
    return int(value)
