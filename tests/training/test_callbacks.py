"""WeightSnapshot in a plain `model.fit`: the weights of the iterations it names."""

import tracemalloc

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from tflottery.models import weights as model_weights
from tflottery.training import optimizers
from tflottery.training.callbacks import WeightSnapshot
from tflottery.training.schedules import RecipeSchedule

X = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 24).astype(np.int32)
BATCH = 4


def _model(optimizer=None, **settings):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((5,), name="inputs")
    x = keras.layers.Dense(6, name="hidden")(inputs)
    x = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(name="norm")(x))
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(x), name="small")
    if optimizer is None:
        schedule = RecipeSchedule(0.1, (5,), warmup=2)
        optimizer = optimizers.SGD(schedule, 0.9, weight_decay=0.01)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, **settings)
    return model


def _fit(model, *callbacks, epochs=1):
    model.fit(
        X,
        Y,
        batch_size=BATCH,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


def _hand_run(iterations):
    """Weights after each update of a loop without fit, by iteration."""
    model = _model()
    model.optimizer.build(model.trainable_variables)
    states = {0: model_weights.weights(model)}
    for t in range(iterations):
        rows = slice(t * BATCH % len(X), t * BATCH % len(X) + BATCH)
        with tf.GradientTape() as tape:
            logits = model(X[rows], training=True)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(Y[rows], logits)
            loss = tf.reduce_mean(loss)
        variables = model.trainable_variables
        model.optimizer.apply(tape.gradient(loss, variables), variables)
        states[t + 1] = model_weights.weights(model)
    return states


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_snapshots_of_fit_are_the_states_of_a_loop_by_hand(tmp_path):
    snapshot = WeightSnapshot([0, 1, 4, 6, 11], tmp_path)
    _fit(_model(), snapshot, epochs=2)
    states = _hand_run(12)
    assert _names(tmp_path) == [f"{k:08d}.safetensors" for k in (0, 1, 4, 6, 11)]
    assert snapshot.missing == ()
    for k in snapshot.iterations:
        saved = safetensors.numpy.load_file(tmp_path / f"{k:08d}.safetensors")
        assert saved.keys() == states[k].keys()
        assert "norm/moving_variance" in saved
        for path, value in states[k].items():
            np.testing.assert_allclose(saved[path], value, rtol=1e-5, atol=1e-7)
    # The tolerance could hide neither a shift by one nor a state that never moves.
    assert not np.allclose(states[4]["head/kernel"], states[5]["head/kernel"], 1e-3)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    _fit(_model(run_eagerly=True), WeightSnapshot([0], "~/snapshots"), epochs=0)
    assert _names(tmp_path / "snapshots") == ["00000000.safetensors"]


@pytest.mark.slow
def test_snapshots_of_a_mirrored_fit_equal_those_of_one_device(tmp_path, mirrored):
    x = np.concatenate([X, X])
    y = np.concatenate([Y, Y])

    def fit(folder):
        inputs = keras.Input((5,), name="inputs")
        head = keras.layers.Dense(3, name="head", kernel_initializer="ones")
        model = keras.Model(inputs, head(inputs))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=optimizers.SGD(0.1, 0.9), loss=loss)
        settings = {"batch_size": 8, "shuffle": False, "verbose": 0}
        model.fit(x, y, callbacks=[WeightSnapshot([0, 5], folder)], **settings)

    fit(tmp_path / "one")
    with mirrored.scope():
        fit(tmp_path / "two")
    for name in _names(tmp_path / "one"):
        one = safetensors.numpy.load_file(tmp_path / "one" / name)
        two = safetensors.numpy.load_file(tmp_path / "two" / name)
        np.testing.assert_allclose(
            one["head/kernel"], two["head/kernel"], rtol=1e-5, atol=1e-7
        )


def test_function_gets_iteration_and_model_in_order():
    calls = []
    model = _model(run_eagerly=True)
    snapshot = WeightSnapshot({3, 0, 6}, lambda t, m: calls.append((t, m is model)))
    assert snapshot.iterations == frozenset({0, 3, 6})
    _fit(model, snapshot)
    assert calls == [(0, True), (3, True), (6, True)]


def test_training_that_goes_on_is_seen_from_where_it_is():
    taken = []
    model = _model(run_eagerly=True)
    _fit(model)
    snapshot = WeightSnapshot([0, 6, 8, 30], lambda t, m: taken.append(t))
    _fit(model, snapshot)
    assert taken == [6, 8]
    assert snapshot.missing == (0, 30)


def test_each_snapshot_is_on_disk_before_the_next_update(tmp_path):
    listings = []

    class Probe(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            listings.append(len(_names(tmp_path)))

    model = _model(run_eagerly=True)
    _fit(model, WeightSnapshot(range(7), tmp_path), Probe())
    assert listings == [1, 2, 3, 4, 5, 6]
    assert len(_names(tmp_path)) == 7


def test_snapshots_are_not_kept_in_memory(tmp_path):
    inputs = keras.Input((256,), name="inputs")
    model = keras.Model(inputs, keras.layers.Dense(1024, name="head")(inputs))
    model.compile(optimizer=optimizers.SGD(0.1), loss="mse")
    model.optimizer.build(model.trainable_variables)
    snapshot = WeightSnapshot(range(31), tmp_path)
    callbacks = keras.callbacks.CallbackList([snapshot], model=model)
    tracemalloc.start()
    callbacks.on_train_begin()
    for t in range(30):
        callbacks.on_train_batch_begin(t)
        model.optimizer.iterations.assign(t + 1)
        callbacks.on_train_batch_end(t)
    left, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    one_bytes = 4 * (256 * 1024 + 1024)
    assert len(_names(tmp_path)) == 31
    assert left < one_bytes
    assert peak < 6 * one_bytes


def test_accumulated_gradients_save_the_state_right_after_the_update():
    taken, after_batch = [], []

    def moving_mean(model):
        return model_weights.weights(model)["norm/moving_mean"]

    class Probe(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            after_batch.append(moving_mean(self.model))

    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    _fit(
        _model(optimizer, run_eagerly=True),
        Probe(),
        WeightSnapshot([1, 2], lambda t, model: taken.append((t, moving_mean(model)))),
    )
    assert [iteration for iteration, _ in taken] == [1, 2]
    # Batches 2 and 4 update; 3 and 5 change only the batch norm statistics.
    np.testing.assert_array_equal(taken[0][1], after_batch[1])
    np.testing.assert_array_equal(taken[1][1], after_batch[3])
    assert not np.array_equal(after_batch[1], after_batch[2])


def test_several_steps_per_execution_are_refused():
    model = _model(steps_per_execution=4)
    with pytest.raises(ValueError, match=r"steps_per_execution=4.*=1"):
        _fit(model, WeightSnapshot([3], lambda t, m: None))
    assert int(model.optimizer.iterations) == 0


def test_model_without_optimizer_is_refused():
    inputs = keras.Input((5,), name="inputs")
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(inputs), name="bare")
    callbacks = keras.callbacks.CallbackList(
        [WeightSnapshot([3], lambda t, m: None)], model=model
    )
    with pytest.raises(ValueError, match=r"'bare' has no optimizer.*compile"):
        callbacks.on_train_begin()


@pytest.mark.parametrize("iterations", [[], [3, -1], [2.5]])
def test_bad_iterations_are_refused(iterations, tmp_path):
    with pytest.raises(ValueError, match="at least one, all whole numbers >= 0"):
        WeightSnapshot(iterations, tmp_path)


def test_training_of_no_iterations_saves_where_it_is(tmp_path):
    snapshot = WeightSnapshot([0], tmp_path)
    _fit(_model(run_eagerly=True), snapshot, epochs=0)
    assert _names(tmp_path) == ["00000000.safetensors"] and snapshot.missing == ()


def _deferred():
    """Returns a model whose weights are made when the first batch is seen."""
    model = keras.Sequential([keras.layers.Dense(3, name="head")], name="deferred")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss, run_eagerly=True)
    return model


def test_model_without_weights_yet_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'deferred' is not built.*model\.build\("):
        _fit(_deferred(), WeightSnapshot([0, 2], tmp_path))
    assert not _names(tmp_path)
    # Where it has weights when it comes to them, nothing is wrong.
    _fit(_deferred(), WeightSnapshot([2], tmp_path))
    assert _names(tmp_path) == ["00000002.safetensors"]
    model = _deferred()
    model.build((None, 5))
    _fit(model, WeightSnapshot([0], tmp_path))
    assert len(safetensors.numpy.load_file(tmp_path / "00000000.safetensors")) == 2


class _Killed(Exception):
    pass


class _Killer(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 9:
            raise _Killed


@pytest.mark.slow
def test_before_a_callback_that_restores_the_first_snapshots_stay(tmp_path):
    folder = tmp_path / "snapshots"

    def callbacks():
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        return WeightSnapshot([0, 3, 6, 8, 12], folder), backup

    with pytest.raises(_Killed):
        _fit(_model(run_eagerly=True), *callbacks(), _Killer(), epochs=2)
    before = {name: (folder / name).read_bytes() for name in _names(folder)}
    assert list(before) == [f"{k:08d}.safetensors" for k in (0, 3, 6, 8)]
    resumed = _model(run_eagerly=True)
    for weight in resumed.trainable_variables:
        weight.assign(weight + 1.0)
    snapshot, backup = callbacks()
    _fit(resumed, snapshot, backup, epochs=2)
    assert [name for name in _names(folder) if name not in before] == [
        "00000012.safetensors"
    ]
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert snapshot.missing == (0, 3)


@pytest.mark.slow
def test_other_weights_never_replace_a_snapshot(tmp_path):
    _fit(_model(run_eagerly=True), WeightSnapshot([0, 4], tmp_path))
    before = [(tmp_path / name).read_bytes() for name in _names(tmp_path)]
    # The same training again is the same files again.
    again = WeightSnapshot([0, 4], tmp_path)
    _fit(_model(run_eagerly=True), again)
    assert again.missing == ()
    other = _model(run_eagerly=True)
    other.get_layer("head").bias.assign([1, 2, 3])
    with pytest.raises(FileExistsError, match=r"00000000\.saf.* other weights.*folder"):
        _fit(other, WeightSnapshot([0, 4], tmp_path))
    assert int(other.optimizer.iterations) == 0
    with pytest.raises(FileExistsError, match=r"00000004\.safetensors"):
        _fit(other, WeightSnapshot([4, 5], tmp_path))
    assert [(tmp_path / name).read_bytes() for name in _names(tmp_path)] == before
