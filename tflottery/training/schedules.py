"""Learning rates as the papers set them: warmup, drops at milestones, linear fall.

Follows *Linear Mode Connectivity* (2019), Table 1. The rate is a function of the
iteration alone, so a branch that starts at iteration k goes on at rate(k).
"""

import math
from collections.abc import Sequence

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tflottery")
class RecipeSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """rate(t) = base(t) * min(1, t / warmup).

    t counts the updates done before the one that uses the rate. base(t) is
    learning_rate * decay_factor ** drops(t), where drops(t) is the number of milestones
    <= t; or, with a final rate, on the line from (0, learning_rate) to
    (training_iterations, final_learning_rate), and constant beyond it. With warmup, the
    very first update has rate zero.
    """

    def __init__(
        self,
        learning_rate: float,
        milestones: Sequence[int] = (),
        *,
        decay_factor: float = 0.1,
        warmup: int = 0,
        final_learning_rate: float | None = None,
        training_iterations: int | None = None,
    ):
        """Args:
          learning_rate: the rate after warmup and before decay; positive.
          milestones: iterations from which the rate is lower, in any order. One that
            is named twice counts twice.
          decay_factor: what the rate is multiplied by at a milestone, in (0, 1].
          warmup: iterations over which the rate rises linearly from zero; 0 is none.
          final_learning_rate: the rate at the end of a linear fall, at least 0 and at
            most `learning_rate`; None is no such fall. Allows no milestones.
          training_iterations: where that fall ends, at least 1; given with it only.

        Raises:
          ValueError: a value is out of its range, a duration is still text, or two
            values exclude each other.
        """
        self.learning_rate = _validated_rate(learning_rate)
        self.milestones = tuple(
            sorted(_validated_iteration("milestone", value) for value in milestones)
        )
        if not 0 < decay_factor <= 1:
            raise ValueError(f"decay_factor is {decay_factor!r}, expected in (0, 1].")
        self.decay_factor = float(decay_factor)
        self.warmup = _validated_iteration("warmup", warmup)
        self.final_learning_rate = final_learning_rate
        self.training_iterations = training_iterations
        self._validate_fall()

    def __call__(self, step: object) -> object:
        """Returns the rate at an iteration.

        Args:
          step: updates done: an int, or a scalar integer tensor or variable.

        Returns:
          A float32 scalar tensor.
        """
        step = ops.convert_to_tensor(step)
        falls = self.final_learning_rate is not None
        rate = self._on_line(step) if falls else self._on_steps(step)
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
            "final_learning_rate": self.final_learning_rate,
            "training_iterations": self.training_iterations,
        }

    def _on_steps(self, step: object) -> object:
        """Returns the rate after the drops so far, float32."""
        # Each level is rounded once, from float64; a power in float32 would not be.
        rate = ops.convert_to_tensor(self.learning_rate, dtype="float32")
        for drops, milestone in enumerate(self.milestones, start=1):
            lower = self.learning_rate * self.decay_factor**drops
            rate = ops.where(
                step >= ops.cast(milestone, step.dtype),
                ops.convert_to_tensor(lower, dtype="float32"),
                rate,
            )
        return rate

    def _on_line(self, step: object) -> object:
        """Returns the rate on the line to the final one, float32."""
        done = ops.cast(step, "float32") / self.training_iterations
        done = ops.minimum(1.0, done)
        # A weighted mean of both, because it is exact at both ends.
        return self.learning_rate * (1.0 - done) + self.final_learning_rate * done

    def _validate_fall(self) -> None:
        """Raises ValueError unless the values of a linear fall go together."""
        final, end = self.final_learning_rate, self.training_iterations
        if (final is None) != (end is None):
            raise ValueError(
                f"final_learning_rate is {final!r} and training_iterations {end!r}, "
                "expected both or neither."
            )
        if final is None:
            return
        if not 0 <= final <= self.learning_rate:
            raise ValueError(
                f"final_learning_rate is {final!r}, expected at least 0 and at most "
                f"the learning_rate, {self.learning_rate!r}."
            )
        if _validated_iteration("training_iterations", end) < 1:
            raise ValueError(f"training_iterations is {end!r}, expected at least 1.")
        if self.milestones:
            raise ValueError(
                f"milestones are {self.milestones!r}, expected none where the rate "
                f"falls linearly to final_learning_rate, {final!r}."
            )


def _validated_rate(value: float) -> float:
    """Returns a learning rate as a float; refuses what cannot train."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"learning_rate is {value!r}, expected finite and positive.")
    return float(value)


def _validated_iteration(name: str, value: int) -> int:
    """Returns a duration in iterations; refuses text and negative numbers."""
    if isinstance(value, str) or value != int(value) or value < 0:
        raise ValueError(
            f"{name} is {value!r}, expected a whole number of iterations >= 0. Turn "
            "durations such as '4ep' into iterations first (core.recipes.resolved)."
        )
    return int(value)
