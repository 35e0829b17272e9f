"""Learning rates against values written out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery.training.schedules import RecipeSchedule


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001)],
)
def test_rate_drops_at_the_milestone_itself(iteration, rate):
    schedule = RecipeSchedule(0.1, (32_000, 48_000))
    assert float(schedule(iteration)) == np.float32(rate)


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [(0, 0.0), (1, 0.0075), (3, 0.0225), (4, 0.03), (5, 0.03), (6, 0.015), (99, 0.015)],
)
def test_rate_rises_linearly_from_zero_then_drops(iteration, rate):
    schedule = RecipeSchedule(0.03, (6,), decay_factor=0.5, warmup=4)
    np.testing.assert_allclose(float(schedule(iteration)), rate, rtol=1e-6)


def test_milestone_inside_warmup_lowers_the_slope():
    schedule = RecipeSchedule(1.0, (2,), warmup=4)
    rates = [float(schedule(t)) for t in range(6)]
    np.testing.assert_allclose(rates, [0, 0.25, 0.05, 0.075, 0.1, 0.1], rtol=1e-6)


def test_milestones_count_each_and_in_any_order():
    schedule = RecipeSchedule(1.0, (5, 3, 5))
    rates = [float(schedule(t)) for t in (2, 3, 4, 5)]
    np.testing.assert_allclose(rates, [1, 0.1, 0.1, 0.001], rtol=1e-6)


def test_rate_is_float32_and_the_same_under_xla():
    schedule = RecipeSchedule(0.1, (7, 9), warmup=5)
    compiled = tf.function(schedule, jit_compile=True)
    for iteration in range(12):
        plain = schedule(tf.constant(iteration, tf.int64))
        assert plain.dtype == tf.float32
        assert float(compiled(tf.constant(iteration, tf.int64))) == float(plain)


def test_schedule_survives_serialization():
    schedule = RecipeSchedule(0.1, (7, 9), decay_factor=0.2, warmup=5)
    data = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(data)
    assert again.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0.0, expected finite and positive"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"milestones": (-1,)}, "milestone is -1, expected a whole number"),
        ({"milestones": ("4ep",)}, "milestone is '4ep'.*iterations first"),
        ({"warmup": 2.5}, "warmup is 2.5"),
        ({"decay_factor": 0.0}, r"decay_factor is 0.0, expected in \(0, 1\]"),
    ],
)
def test_bad_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RecipeSchedule(**{"learning_rate": 0.1, **arguments})
