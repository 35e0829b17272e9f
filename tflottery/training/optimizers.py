"""The papers' optimizers, which are not Keras's: momentum SGD and Adam with L2.

They differ from keras.optimizers in what decides a result:
- weight decay is an L2 term of the gradient, g + weight_decay * w, on all trainable
  weights (Keras's own is decoupled from the gradient);
- momentum accumulates gradients and the rate is applied at the step, as in PyTorch
  and TensorFlow 1 (Keras stores rate times gradient, so that old steps keep the old
  rate after a drop);
- Adam follows Algorithm 1 of Kingma and Ba with epsilon 1e-8, added to the square root
  of the corrected moment, and its bias correction counts from the iteration at which
  the slots were fresh: the iteration counter itself is that of the whole trajectory.

The updates go through TensorFlow's fused kernels, which make one pass over memory for
each variable; XLA compiles the same operations.
"""

import math
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tflottery.core import key_mismatch, recipes
from tflottery.core.recipes import Recipe
from tflottery.training.schedules import RecipeSchedule

LearningRate = float | keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable(package="tflottery")
class SGD(keras.optimizers.Optimizer):
    """m = momentum * m + (g + weight_decay * w); w = w - rate(t) * m."""

    def __init__(
        self,
        learning_rate: LearningRate,
        momentum: float = 0.0,
        *,
        weight_decay: float = 0.0,
        name: str = "sgd",
    ):
        """Args:
          learning_rate: a rate, or a schedule over `iterations`.
          momentum: in [0, 1).
          weight_decay: factor of the L2 term in the gradient, >= 0.
          name: prefix of the optimizer's variables.

        Raises:
          ValueError: a value is out of its range.
        """
        # Not passed on as `weight_decay`: Keras would decay the weights themselves.
        super().__init__(learning_rate, name=name)
        self.momentum = _validated_fraction("momentum", momentum)
        self.l2_factor = _validated_l2(weight_decay)

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes one slot, `momentum`, for each variable."""
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Changes: `variable` and its slot."""
        slot = self._momentums[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=slot.value.handle,
            lr=ops.cast(learning_rate, variable.dtype),
            grad=_with_l2(gradient, variable, factor=self.l2_factor),
            momentum=tf.constant(self.momentum, variable.dtype),
        )

    def slot_variables(self) -> dict[str, list[keras.Variable]]:
        """Returns the slots by kind, in the order of the variables built on."""
        return {"momentum": self._momentums}

    def get_config(self) -> dict[str, object]:
        """Returns the arguments that make this optimizer again."""
        own = {"momentum": self.momentum, "weight_decay": self.l2_factor}
        return _base_config(super().get_config()) | own


@keras.saving.register_keras_serializable(package="tflottery")
class Adam(keras.optimizers.Optimizer):
    """Adam of Kingma and Ba, Algorithm 1, on the gradient g + weight_decay * w.

    n = iterations - first_iteration + 1 is the step that the bias correction sees:
    m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g^2;
    w = w - rate(t) * m / (1 - beta_1^n) / (sqrt(v / (1 - beta_2^n)) + epsilon).

    Attributes:
      first_iteration: integer variable, 0 at first: `iterations` when the slots were
        fresh. `reset` sets it.
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        weight_decay: float = 0.0,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        name: str = "adam",
    ):
        """Args:
          learning_rate: a rate, or a schedule over `iterations`.
          weight_decay: factor of the L2 term in the gradient, >= 0.
          beta_1: decay of the first moment, in (0, 1).
          beta_2: decay of the second moment, in (0, 1).
          epsilon: keeps the quotient finite; positive.
          name: prefix of the optimizer's variables.

        Raises:
          ValueError: a value is out of its range.
        """
        super().__init__(learning_rate, name=name)
        self.l2_factor = _validated_l2(weight_decay)
        self.beta_1 = _validated_fraction("beta_1", beta_1, above_zero=True)
        self.beta_2 = _validated_fraction("beta_2", beta_2, above_zero=True)
        if not epsilon > 0:
            raise ValueError(f"epsilon is {epsilon!r}, expected positive.")
        self.epsilon = float(epsilon)
        self.first_iteration = self.add_variable(
            shape=(),
            dtype=self.iterations.dtype,
            aggregation="only_first_replica",
            name="first_iteration",
        )

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes two slots, `momentum` and `velocity`, for each variable."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Changes: `variable` and its slots."""
        dtype = variable.dtype
        index = self._get_variable_index(variable)
        step = ops.cast(self.iterations - self.first_iteration + 1, dtype)
        correction_1 = _one_minus_power(self.beta_1, step)
        correction_2 = tf.sqrt(_one_minus_power(self.beta_2, step))
        # The kernel adds its epsilon to the square root of the raw second moment. With
        # its own correction switched off (powers of zero) and both of these scaled, it
        # computes Algorithm 1 as written.
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.zeros((), dtype),
            beta2_power=tf.zeros((), dtype),
            lr=ops.cast(learning_rate, dtype) * correction_2 / correction_1,
            beta1=tf.constant(self.beta_1, dtype),
            beta2=tf.constant(self.beta_2, dtype),
            epsilon=self.epsilon * correction_2,
            grad=_with_l2(gradient, variable, factor=self.l2_factor),
        )

    def slot_variables(self) -> dict[str, list[keras.Variable]]:
        """Returns the slots by kind, in the order of the variables built on."""
        return {"momentum": self._momentums, "velocity": self._velocities}

    def get_config(self) -> dict[str, object]:
        """Returns the arguments that make this optimizer again."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        own["weight_decay"] = self.l2_factor
        return _base_config(super().get_config()) | own


def make(recipe: Recipe) -> SGD | Adam:
    """Returns the optimizer of a recipe whose durations are iterations already.

    Raises:
      ValueError: the recipe has durations as text.
    """
    schedule = schedule_of(recipe)
    if recipe.optimizer == "adam":
        return Adam(schedule, recipe.weight_decay)
    return SGD(schedule, recipe.momentum, weight_decay=recipe.weight_decay)


def schedule_of(recipe: Recipe) -> RecipeSchedule:
    """Returns the learning rate of a recipe, as `make`."""
    # Runs of one key follow one schedule, rounded alike.
    recipe = recipes.simplified(recipe)
    falls = recipe.final_learning_rate is not None
    return RecipeSchedule(
        recipe.learning_rate,
        recipe.milestones,
        decay_factor=recipe.decay_factor,
        warmup=recipe.warmup,
        final_learning_rate=recipe.final_learning_rate,
        training_iterations=recipe.training_iterations if falls else None,
    )


def iteration(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns how many updates an optimizer has done, also under a strategy.

    Keras's own `int(optimizer.iterations)` fails on mirrored variables.
    """
    return int(ops.convert_to_numpy(optimizer.iterations))


def slots(optimizer: SGD | Adam) -> dict[str, np.ndarray]:
    """Returns copies of the slots, by kind and variable path ("momentum/head/bias").

    Raises:
      ValueError: the optimizer is not built, so it has no slots yet.
    """
    return {
        name: np.array(variable.numpy())
        for name, variable in _named_slots(optimizer).items()
    }


def assign_slots(optimizer: SGD | Adam, values: Mapping[str, np.ndarray]) -> None:
    """Sets every slot.

    Args:
      optimizer: built.
      values: what `slots` returned for the same network.

    Changes: the optimizer's slots, and nothing where the values do not fit.

    Raises:
      ValueError: names or shapes differ; says what is missing and what is too much.
    """
    variables = _named_slots(optimizer)
    if differing := key_mismatch.differing(values, expected=variables):
        raise ValueError(
            f"The slots do not fit this optimizer: {differing}. They come from another "
            "optimizer or another network."
        )
    for name, variable in variables.items():
        if tuple(variable.shape) != np.shape(values[name]):
            raise ValueError(
                f"Slot {name!r} has shape {np.shape(values[name])}, expected "
                f"{tuple(variable.shape)}."
            )
    for name, variable in variables.items():
        variable.assign(values[name])


def reset(optimizer: SGD | Adam, *, iteration: int, first_iteration: int) -> None:
    """Makes every slot fresh, and says where in its trajectory the optimizer is.

    To go on with a run, follow this with `assign_slots`.

    Args:
      optimizer: built.
      iteration: updates done in the trajectory, which the schedule sees.
      first_iteration: where the slots were fresh, from which Adam's bias correction
        counts; at most `iteration`. Without meaning for SGD.

    Changes: the optimizer's variables, except for its learning rate.

    Raises:
      ValueError: not 0 <= first_iteration <= iteration, or not built.
    """
    if not 0 <= first_iteration <= iteration:
        raise ValueError(
            f"first_iteration is {first_iteration!r} and iteration {iteration!r}, "
            "expected 0 <= first_iteration <= iteration."
        )
    for variable in _named_slots(optimizer).values():
        # Keras's own `assign` reads the variable again, which takes as long.
        zeros = np.zeros(variable.shape, variable.dtype)
        variable.value.assign(zeros, read_value=False)
    optimizer.iterations.assign(iteration)
    if isinstance(optimizer, Adam):
        optimizer.first_iteration.assign(first_iteration)


def _named_slots(optimizer: SGD | Adam) -> dict[str, keras.Variable]:
    """Returns the slot variables by kind and path of the variable they belong to."""
    if not optimizer.built:
        raise ValueError(
            f"Optimizer {optimizer.name!r} has no slots yet: call "
            "optimizer.build(model.trainable_variables) first."
        )
    return {
        f"{kind}/{variable.path}": slot
        for kind, kind_slots in optimizer.slot_variables().items()
        for variable, slot in zip(
            optimizer._trainable_variables, kind_slots, strict=True
        )
    }


def _with_l2(gradient: tf.Tensor, variable: tf.Variable, *, factor: float) -> tf.Tensor:
    """Returns the gradient of the loss plus factor / 2 * |w|^2, in w's dtype."""
    gradient = ops.cast(gradient, variable.dtype)
    return gradient + factor * variable if factor else gradient


def _one_minus_power(beta: float, step: tf.Tensor) -> tf.Tensor:
    """Returns 1 - beta ** step without the cancellation of the plain difference.

    beta is rounded to float32 as the kernel rounds it, so that the first step is exact.
    """
    return -tf.math.expm1(step * math.log(np.float32(beta)))


def _base_config(config: dict[str, object]) -> dict[str, object]:
    """Returns what both constructors take of Keras's own configuration."""
    return {name: config[name] for name in ("name", "learning_rate")}


def _validated_l2(value: float) -> float:
    """Returns the factor of the L2 term; refuses a negative one."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"weight_decay is {value!r}, expected finite and >= 0.")
    return float(value)


def _validated_fraction(name: str, value: float, *, above_zero: bool = False) -> float:
    """Returns a number in [0, 1), or in (0, 1); refuses others."""
    if not (0 < value < 1 or (value == 0 and not above_zero)):
        lower = "(0" if above_zero else "[0"
        raise ValueError(f"{name} is {value!r}, expected in {lower}, 1).")
    return float(value)
