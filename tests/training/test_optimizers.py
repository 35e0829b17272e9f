"""The papers' optimizers against numbers worked by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.recipes import Recipe
from tflottery.training import optimizers
from tflottery.training.optimizers import SGD, Adam
from tflottery.training.schedules import RecipeSchedule


def _variable(values, name="w"):
    return keras.Variable(np.asarray(values, np.float32), name=name)


def _built(optimizer, *values):
    variables = [_variable(v, f"w{i}") for i, v in enumerate(values)]
    optimizer.build(variables)
    return optimizer, variables


def _step(optimizer, variables, *gradients):
    optimizer.apply([tf.constant(g, tf.float32) for g in gradients], variables)


def test_sgd_adds_l2_to_the_gradient_before_momentum():
    # g + wd w = 1 + .5 * 2 = 2,  m = 2,                 w = 2 - .1 * 2 = 1.8
    # g + wd w = 1 + .5 * 1.8,    m = .5 * 2 + 1.9 = 2.9, w = 1.8 - .29 = 1.51
    optimizer, (w,) = _built(SGD(0.1, 0.5, weight_decay=0.5), 2.0)
    _step(optimizer, [w], 1.0)
    np.testing.assert_allclose(w.numpy(), 1.8, rtol=1e-6)
    _step(optimizer, [w], 1.0)
    np.testing.assert_allclose(w.numpy(), 1.51, rtol=1e-6)
    assert int(optimizer.iterations) == 2


def test_sgd_momentum_accumulates_gradients_across_a_tenfold_drop():
    # m is 1, 1.5, 1.75, 1.875; the rate is 1 twice and then .1 for all of m.
    optimizer, (w,) = _built(SGD(RecipeSchedule(1.0, (2,)), 0.5), 0.0)
    values = []
    for _ in range(4):
        _step(optimizer, [w], 1.0)
        values.append(float(w.numpy()))
    np.testing.assert_allclose(values, [-1.0, -2.5, -2.675, -2.8625], rtol=1e-6)


def test_adam_two_steps_by_hand():
    # 1: m = .05, v = .00025; both corrected: .5, .25; w = 1 - .01 * .5 / .5 = .99
    # 2: m = .045 + .01 = .055, v = .00024975 + .00001 = .00025975;
    #    corrected .055 / .19 = .2894737, .00025975 / .001999 = .1299400;
    #    w = .99 - .01 * .2894737 / .3604719 = .9819696
    optimizer, (w,) = _built(Adam(0.01), 1.0)
    _step(optimizer, [w], 0.5)
    np.testing.assert_allclose(w.numpy(), 0.99, rtol=1e-6)
    _step(optimizer, [w], 0.1)
    np.testing.assert_allclose(w.numpy(), 0.9819696, rtol=1e-6)
    slots = optimizers.slots(optimizer)
    np.testing.assert_allclose(slots["momentum/w0"], 0.055, rtol=1e-6)
    # 1 - .999 is 1.3e-5 off in float32; the correction takes that back.
    np.testing.assert_allclose(slots["velocity/w0"], 0.00025975, rtol=2e-5)


def test_adam_with_fresh_slots_takes_the_first_steps_size_at_iteration_2000():
    optimizer, (w,) = _built(Adam(0.01), 1.0)
    _step(optimizer, [w], 7.0)
    w.assign(1.0)
    optimizers.reset(optimizer, iteration=2000, first_iteration=2000)
    _step(optimizer, [w], 0.5)
    np.testing.assert_allclose(w.numpy(), 0.99, rtol=1e-6)
    _step(optimizer, [w], 0.1)
    np.testing.assert_allclose(w.numpy(), 0.9819696, rtol=1e-6)
    assert int(optimizer.iterations) == 2002
    assert int(optimizer.first_iteration) == 2000


def test_adam_epsilon_is_added_to_the_corrected_root():
    # sqrt(v / (1 - beta_2)) = |g| = epsilon = 1e-8: half a step.
    optimizer, (w,) = _built(Adam(0.01), 0.0)
    _step(optimizer, [w], 1e-8)
    np.testing.assert_allclose(w.numpy(), -0.005, rtol=1e-5)


def test_adam_adds_l2_to_the_gradient():
    # g + wd w = 0 + .25 * 4 = 1, so a whole first step; decoupled would leave 3.99 too,
    # but with velocity 0.
    optimizer, (w,) = _built(Adam(0.01, 0.25), 4.0)
    _step(optimizer, [w], 0.0)
    np.testing.assert_allclose(w.numpy(), 3.99, rtol=1e-6)
    velocity = optimizers.slots(optimizer)["velocity/w0"]
    np.testing.assert_allclose(velocity, 0.001, rtol=2e-5)


@pytest.mark.parametrize(
    "make",
    [lambda: SGD(0.1, 0.9, weight_decay=0.01), lambda: Adam(0.01, 0.01)],
)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_pruned_weights_stay_exactly_zero(make, jit_compile):
    mask = np.array([1, 0, 1, 0, 0, 1, 0], np.float32)
    optimizer, (w,) = _built(make(), np.linspace(-1, 1, 7) * mask)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def step(gradient):
        optimizer.apply([gradient * mask], [w])

    for seed in range(20):
        step(tf.random.stateless_normal((7,), (seed, 1)))
    assert np.all(w.numpy()[mask == 0] == 0.0)
    assert np.all(w.numpy()[mask == 1] != 0.0)
    for values in optimizers.slots(optimizer).values():
        assert np.all(values[mask == 0] == 0.0)


def _reference(name, w, *, steps, first):
    """The formulas in float64, on gradient cos(w) of each weight."""
    schedule = RecipeSchedule(0.1, (first + 3,), warmup=first + 2)
    m = v = np.zeros_like(w)
    for n in range(1, steps + 1):
        rate = float(schedule(first + n - 1))
        g = np.cos(w) + 0.01 * w
        if name == "sgd":
            m = 0.9 * m + g
            w = w - rate * m
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            corrected = np.sqrt(v / (1 - 0.999**n)) + 1e-8
            w = w - rate * m / (1 - 0.9**n) / corrected
    return w


def _recipe(name, first):
    return Recipe(
        optimizer=name,
        learning_rate=0.1,
        batch_size=1,
        training_iterations=9,
        momentum=0.9,
        weight_decay=0.01,
        milestones=(first + 3,),
        warmup=first + 2,
    )


def _loop(optimizer, w):
    """A compiled loop whose number of iterations is a tensor."""

    @tf.function(jit_compile=True, autograph=False)
    def advance(count):
        def step(done):
            optimizer.apply([tf.cos(w.value)], [w])
            return done + 1

        return tf.while_loop(lambda done: done < count, step, [tf.constant(0)])

    return lambda count: advance(tf.constant(count))


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_loop_compiled_by_xla_follows_the_formulas_however_it_is_cut(name):
    start, first = np.linspace(-2, 2, 11), 4
    results = []
    for pieces in [(6,), (1, 2, 3)]:
        optimizer, (w,) = _built(optimizers.make(_recipe(name, first)), start)
        optimizers.reset(optimizer, iteration=first, first_iteration=first)
        advance = _loop(optimizer, w)
        for piece in pieces:
            advance(piece)
        results.append(w.numpy())
        assert int(optimizer.iterations) == first + 6
    np.testing.assert_array_equal(results[0], results[1])
    expected = _reference(name, start, steps=6, first=first)
    np.testing.assert_allclose(results[0], expected, rtol=2e-5)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_mirrored_over_two_devices_equals_one(name, mirrored):
    start, first = np.linspace(-2, 2, 11), 4
    with mirrored.scope():
        optimizer, (w,) = _built(optimizers.make(_recipe(name, first)), start)
    optimizers.reset(optimizer, iteration=first, first_iteration=first)

    def update():
        # Unequal parts, which only their sum makes the gradient.
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        share = tf.where(tf.equal(replica, 0), 0.25, 0.75)
        optimizer.apply([tf.cos(w.value) * share], [w])

    @tf.function(autograph=False)
    def advance(count):
        def step(done):
            mirrored.run(update)
            return done + 1

        return tf.while_loop(lambda done: done < count, step, [tf.constant(0)])

    advance(tf.constant(2))
    saved, weights = optimizers.slots(optimizer), w.numpy()
    optimizers.reset(optimizer, iteration=first + 2, first_iteration=first)
    optimizers.assign_slots(optimizer, saved)
    w.assign(weights)
    advance(tf.constant(4))
    assert optimizers.iteration(optimizer) == first + 6
    expected = _reference(name, start, steps=6, first=first)
    for copy in w.value.values:
        np.testing.assert_allclose(copy.numpy(), expected, rtol=2e-5)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_resumed_from_slots_equals_unbroken_bit_for_bit(name):
    start = np.linspace(-2, 2, 11)
    unbroken, (w,) = _built(optimizers.make(_recipe(name, 0)), start)
    for _ in range(3):
        _step(unbroken, [w], np.cos(w.numpy()))
    slots, weights = optimizers.slots(unbroken), w.numpy()
    kinds = {"sgd": {"momentum/w0"}, "adam": {"momentum/w0", "velocity/w0"}}
    assert slots.keys() == kinds[name]
    for _ in range(3):
        _step(unbroken, [w], np.cos(w.numpy()))

    resumed, (u,) = _built(optimizers.make(_recipe(name, 0)), weights)
    optimizers.reset(resumed, iteration=3, first_iteration=0)
    optimizers.assign_slots(resumed, slots)
    for _ in range(3):
        _step(resumed, [u], np.cos(u.numpy()))
    np.testing.assert_array_equal(u.numpy(), w.numpy())


def test_slots_that_do_not_fit_are_refused_and_change_nothing():
    optimizer, (w, b) = _built(SGD(0.1, 0.9), [1.0, 2.0], [3.0])
    _step(optimizer, [w, b], [1.0, 1.0], [1.0])
    before = optimizers.slots(optimizer)
    with pytest.raises(ValueError, match=r"missing \['momentum/w1'\].*much \['x/w0'\]"):
        optimizers.assign_slots(
            optimizer, {"momentum/w0": np.zeros(2), "x/w0": np.zeros(1)}
        )
    with pytest.raises(ValueError, match=r"'momentum/w1' has shape \(2,\).*\(1,\)"):
        optimizers.assign_slots(
            optimizer, {"momentum/w0": np.zeros(2), "momentum/w1": np.zeros(2)}
        )
    after = optimizers.slots(optimizer)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_reset_makes_every_slot_fresh():
    optimizer, (w,) = _built(Adam(0.1), [1.0, 2.0])
    _step(optimizer, [w], [1.0, -1.0])
    optimizers.reset(optimizer, iteration=7, first_iteration=5)
    assert all(not slot.any() for slot in optimizers.slots(optimizer).values())
    assert (int(optimizer.iterations), int(optimizer.first_iteration)) == (7, 5)


def test_reset_refuses_a_first_iteration_in_the_future():
    optimizer, _ = _built(Adam(0.1), [1.0])
    with pytest.raises(ValueError, match="first_iteration is 8 and iteration 7"):
        optimizers.reset(optimizer, iteration=7, first_iteration=8)


def test_slots_of_an_optimizer_that_is_not_built_are_refused():
    with pytest.raises(ValueError, match=r"no slots yet: call optimizer\.build"):
        optimizers.slots(SGD(0.1, 0.9))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0.1, 1.0), r"momentum is 1.0, expected in \[0, 1\)"),
        (lambda: SGD(0.1, weight_decay=-1e-4), "weight_decay is -0.0001"),
        (lambda: Adam(0.1, beta_2=0.0), r"beta_2 is 0.0, expected in \(0, 1\)"),
        (lambda: Adam(0.1, epsilon=0.0), "epsilon is 0.0, expected positive"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def _made(**changes):
    plain = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 1}
    return optimizers.make(Recipe(**plain | {"training_iterations": 9} | changes))


def _schedule(optimizer):
    return optimizer.get_config()["learning_rate"]["config"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.2),
        ("milestones", (3, 5)),
        ("decay_factor", 0.5),
        ("warmup", 4),
        ("final_learning_rate", 0.01),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_every_value_of_the_schedule_is_passed_on(optimizer, name, value):
    milestones = () if name == "final_learning_rate" else (3,)
    changed = {"optimizer": optimizer, "milestones": milestones} | {name: value}
    found = _schedule(_made(**changed))[name]
    assert found == (list(value) if isinstance(value, tuple) else value)


def test_every_value_of_the_update_is_passed_on():
    sgd, adam = (
        _made(momentum=0.5, weight_decay=0.25),
        _made(optimizer="adam", weight_decay=0.125),
    )
    assert isinstance(sgd, SGD) and isinstance(adam, Adam)
    assert (sgd.momentum, sgd.l2_factor, adam.l2_factor) == (0.5, 0.25, 0.125)
    falling = _made(final_learning_rate=0.05, training_iterations=7)
    assert _schedule(falling)["training_iterations"] == 7


@pytest.mark.parametrize(
    "changes", [{"final_learning_rate": 0.1}, {"milestones": (3,), "decay_factor": 1}]
)
def test_recipes_of_one_key_have_one_schedule(changes):
    """A line from a rate to itself would round it."""
    plain = _made(decay_factor=changes.get("decay_factor", 0.1))
    assert _schedule(_made(**changes)) == _schedule(plain)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_saved_keras_model_keeps_optimizer_and_slots(name, tmp_path):
    inputs = keras.Input((3,), name="inputs")
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(inputs))
    model.compile(optimizer=optimizers.make(_recipe(name, 0)), loss="mse")
    x, y = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)
    model.fit(x, y, batch_size=2, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert int(again.optimizer.iterations) == 4
    expected = optimizers.slots(model.optimizer)
    for path, slot in optimizers.slots(again.optimizer).items():
        np.testing.assert_array_equal(slot, expected[path])
