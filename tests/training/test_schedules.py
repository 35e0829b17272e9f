"""Learning rates against values written out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.recipes import Recipe
from tflottery.training import optimizers
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


@pytest.mark.parametrize(
    ("iteration", "rate"),
    # From 0.03 at 0 to 0.005 at 171: 0.025 / 171 less at each iteration.
    [
        (0, 0.03),
        (57, 0.03 - 0.025 / 3),
        (114, 0.03 - 0.05 / 3),
        (171, 0.005),
        (999, 0.005),
    ],
)
def test_rate_falls_linearly_to_the_final_one_and_stays(iteration, rate):
    schedule = RecipeSchedule(0.03, final_learning_rate=0.005, training_iterations=171)
    assert float(schedule(iteration)) == pytest.approx(rate, rel=1e-6)


def test_a_linear_fall_begins_during_the_warmup():
    schedule = RecipeSchedule(
        1.0, warmup=4, final_learning_rate=0.0, training_iterations=8
    )
    rates = [float(schedule(t)) for t in (0, 1, 2, 3, 4, 6, 8)]
    expected = [0, 0.25 * 0.875, 0.5 * 0.75, 0.75 * 0.625, 0.5, 0.25, 0]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_a_recipe_with_a_final_rate_makes_an_optimizer_that_follows_it():
    recipe = Recipe(
        optimizer="sgd",
        learning_rate=0.2,
        batch_size=1,
        training_iterations=10,
        final_learning_rate=0.1,
    )
    optimizer = optimizers.make(recipe)
    weight = keras.Variable(1.0, name="weight")
    optimizer.build([weight])
    found = []
    for _ in range(3):
        before = float(weight.numpy())
        optimizer.apply([tf.constant(1.0)], [weight])
        found.append(before - float(weight.numpy()))
    np.testing.assert_allclose(found, [0.2, 0.19, 0.18], rtol=1e-5)


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
    falling = RecipeSchedule(0.1, final_learning_rate=0.0, training_iterations=9)
    for one in (schedule, falling):
        data = keras.optimizers.schedules.serialize(one)
        again = keras.optimizers.schedules.deserialize(data)
        assert again.get_config() == one.get_config()
        assert float(again(7)) == float(one(7))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0.0, expected finite and positive"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"milestones": (-1,)}, "milestone is -1, expected a whole number"),
        ({"milestones": ("4ep",)}, "milestone is '4ep'.*iterations first"),
        ({"warmup": 2.5}, "warmup is 2.5"),
        ({"decay_factor": 0.0}, r"decay_factor is 0.0, expected in \(0, 1\]"),
        ({"final_learning_rate": 0.05}, "is 0.05 and training_iterations None.*both"),
        ({"training_iterations": 9}, "final_learning_rate is None.* 9, .*both"),
        (
            {"final_learning_rate": 0.2, "training_iterations": 9},
            "final_learning_rate is 0.2, .*at most the learning_rate, 0.1",
        ),
        (
            {"final_learning_rate": 0.0, "training_iterations": 0},
            "training_iterations is 0, expected at least 1",
        ),
        (
            {
                "milestones": (5,),
                "final_learning_rate": 0.0,
                "training_iterations": 9,
            },
            r"milestones are \(5,\), expected none",
        ),
    ],
)
def test_bad_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RecipeSchedule(**{"learning_rate": 0.1, **arguments})
