"""MagnitudePruning in a plain `model.fit`: which weights go, when, and what stays."""

import keras
import numpy as np
import pytest

import tflottery
from tflottery import layers
from tflottery.models import weights as model_weights

X = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 24)


def _model(**settings):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(6, activation="relu", name="hidden"),
            keras.layers.Dense(3, name="head"),
        ],
        name="small",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    settings = {"optimizer": "adam", "loss": loss, "run_eagerly": True} | settings
    model.compile(**settings)
    return tflottery.mask(model)


def _fit(model, *callbacks, epochs=1, **settings):
    settings = {"batch_size": 4, "shuffle": False, "verbose": 0} | settings
    model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **settings)


def _counts(model):
    return {path: int(mask.sum()) for path, mask in layers.masks(model).items()}


def test_weights_are_pruned_over_the_network_when_it_is_time_and_stay_zero():
    pruning = tflottery.MagnitudePruning({"1ep": 0.5, 8: 0.25})
    model, seen = _model(), []
    watching = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(sum(_counts(model).values()))
    )
    _fit(model, pruning, watching, epochs=2)
    # 48 weights; epochs of six iterations.
    assert seen == [48] * 5 + [24] * 2 + [12] * 5
    assert pruning.history == [(6, 0.5), (8, 0.25)]
    for path, mask in layers.masks(model).items():
        kernel = next(one for one in model.weights if one.path == path).numpy()
        assert np.count_nonzero(kernel) == mask.sum()


def test_the_smallest_weights_go_and_layers_can_be_pruned_by_themselves():
    model = _model()
    before = model_weights.weights(model)
    _fit(model, tflottery.MagnitudePruning({0: 1 / 3}, per_layer=True))
    assert _counts(model) == {"small/hidden/kernel": 10, "small/head/kernel": 6}
    for path, mask in layers.masks(model).items():
        sizes = np.abs(before[path])
        assert sizes[mask == 1].min() > sizes[mask == 0].max()
    model = _model()
    pruning = tflottery.MagnitudePruning({0: 0.5}, unpruned=["small/head/kernel"])
    _fit(model, pruning)
    assert _counts(model) == {"small/hidden/kernel": 15, "small/head/kernel": 18}


def test_rewinding_gives_the_state_at_k_back_and_trains_from_there():
    states = {}

    def keep(batch, logs):
        states[len(states) + 1] = model_weights.weights(model)

    model = _model()
    pruning = tflottery.MagnitudePruning({5: 0.5}, rewind_to=2)
    _fit(model, keras.callbacks.LambdaCallback(on_train_batch_end=keep), pruning)
    # Six updates, of which three were taken back.
    assert int(model.optimizer.iterations) == 3
    # The same by hand: the masks of the fifth state on the second, Adam as it was.
    other = _model()
    _fit(other, steps_per_epoch=2)
    masks = layers.masks(model)
    for path, mask in masks.items():
        sizes = np.abs(states[5][path])
        assert sizes[mask == 1].min() > sizes[mask == 0].max()
        np.testing.assert_array_equal(
            model_weights.weights(other)[path], states[2][path]
        )
    layers.set_masks(other, masks)
    other.fit(X[20:], Y[20:], batch_size=4, shuffle=False, verbose=0)
    for path, value in model_weights.weights(model).items():
        np.testing.assert_array_equal(value, model_weights.weights(other)[path])


def test_epochs_are_those_of_the_data_where_gradients_accumulate():
    # Six batches an epoch, two for an update.
    sgd = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    pruning = tflottery.MagnitudePruning({"1ep": 0.5, "100%": 0.25})
    _fit(_model(optimizer=sgd), pruning, epochs=2)
    assert pruning.history == [(3, 0.5), (6, 0.25)]


def test_averages_of_an_optimizer_leave_pruned_weights_at_zero():
    # Its updates mix weights, and averages are taken before constraints.
    muon = keras.optimizers.Muon(0.1, use_ema=True, ema_momentum=0.5)
    model = _model(optimizer=muon)
    _fit(model, tflottery.MagnitudePruning({2: 0.5}))
    for path, mask in layers.masks(model).items():
        kernel = next(one for one in model.weights if one.path == path).numpy()
        assert not kernel[mask == 0].any() and kernel.any()


@pytest.mark.slow
def test_a_callback_is_of_one_model_and_optimizer():
    pruning, model = tflottery.MagnitudePruning({2: 0.5}), _model()
    _fit(model, pruning)
    _fit(model, pruning)
    assert pruning.history == [(2, 0.5)]
    with pytest.raises(ValueError, match="another model"):
        _fit(_model(), pruning)
    model.compile("sgd", model.loss, run_eagerly=True)
    with pytest.raises(ValueError, match="another optimizer"):
        _fit(model, pruning)
    # What was sparse, or trained, before.
    with pytest.raises(ValueError, match=r"begin with 0\.8.*only 0\.5 "):
        _fit(model, tflottery.MagnitudePruning({2: 0.8}))
    _fit(model)
    with pytest.raises(ValueError, match=r"rewind_to=2.*6 updates already"):
        _fit(model, tflottery.MagnitudePruning({8: 0.2}, rewind_to=2))


def test_a_time_that_is_past_is_told_and_one_to_come_is_not():
    model = _model()
    _fit(model)
    late = tflottery.MagnitudePruning({"1ep": 0.7, 2: 0.8, 9: 0.5})
    with pytest.raises(ValueError, match=r"made 6 updates already.*at once to 0\.7"):
        _fit(model, late)
    assert _counts(model) == {"small/hidden/kernel": 30, "small/head/kernel": 18}
    # What is asked for at once, or from now on.
    pruning = tflottery.MagnitudePruning({0: 0.7, 9: 0.5})
    _fit(model, pruning)
    assert pruning.history == [(6, 0.7), (9, 0.5)]
    # As after a restart: what was due was done, as near as whole weights come.
    for densities, kept in (({9: 0.5, 15: 0.22}, 11), ({15: 0.22, 20: 0.2}, 10)):
        _fit(model, tflottery.MagnitudePruning(densities))
        assert sum(_counts(model).values()) == kept


def test_mistakes_are_told_before_anything_trains():
    pruning = tflottery.MagnitudePruning
    with pytest.raises(ValueError, match="rewind_to='1ep'.*an iteration"):
        pruning({5: 0.5}, rewind_to="1ep")
    with pytest.raises(ValueError, match="unpruned='hat'.*list"):
        pruning({5: 0.5}, unpruned="hat")
    with pytest.raises(ValueError, match=r"iteration 6 twice.*'1ep'"):
        _fit(_model(), pruning({6: 0.5, "1ep": 0.2}))
    for wrong in ({}, {5: 0}, {5: 50}, {5: "0.5"}, 0.5):
        with pytest.raises(ValueError, match=r"densities=.*\(0, 1\]"):
            pruning(wrong)
    with pytest.raises(ValueError, match=r"'100ex'.*examples a batch"):
        pruning({"100ex": 0.5})
    with pytest.raises(ValueError, match=r"5: 0\.2, 9: 0\.5.*do not rise"):
        _fit(_model(), pruning({"9it": 0.5, 5: 0.2}))
    with pytest.raises(ValueError, match=r"rewind_to=7.*none before"):
        _fit(_model(), pruning({5: 0.2}, rewind_to=7))
    with pytest.raises(ValueError, match=r"'hat/kernel'.*tflottery\.mask"):
        _fit(_model(), pruning({5: 0.2}, unpruned=["hat/kernel"]))
    plain = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"tflottery\.mask"):
        _fit(plain, pruning({5: 0.2}))
    with pytest.raises(ValueError, match="steps_per_execution=2"):
        _fit(_model(steps_per_execution=2), pruning({5: 0.2}))
