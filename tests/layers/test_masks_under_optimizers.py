"""Pruned weights stay exactly 0.0 in whatever loop and under whatever optimizer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.models import weights as model_weights
from tflottery.training import optimizers, tickets

X = np.random.default_rng(0).normal(size=(8, 4, 4, 2)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 8).astype(np.int32)

OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "ema": lambda: keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True),
    "ema_overwriting": lambda: keras.optimizers.Adam(
        0.01, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=2
    ),
    # Its steps mix the entries of a kernel.
    "muon": lambda: keras.optimizers.Muon(0.01),
    "accumulated": lambda: keras.optimizers.SGD(
        0.1, momentum=0.9, gradient_accumulation_steps=2
    ),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01, use_ema=True)
    ),
    "ours": lambda: optimizers.SGD(0.1, 0.9, weight_decay=1e-3),
}


def _model(*, dense=False, **settings):
    keras.utils.set_random_seed(5)
    x = images = keras.Input((4, 4, 2), name="images")
    if not dense:
        x = layers.MaskedConv2D(4, 3, name="conv", **settings)(x)
        x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = layers.MaskedDense(6, activation="relu", name="dense", **settings)(x)
    return keras.Model(images, layers.MaskedDense(3, name="head")(x), name="small")


def _compiled(optimizer, *, eager=True, **settings):
    model = _model(**settings)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, run_eagerly=eager)
    return model


def _fit(model):
    model.fit(X, Y, batch_size=4, verbose=0)


def _train(model, optimizer, steps=2):
    """What `fit` does, without its overhead: updates, and averages at the end."""
    variables = model.trainable_variables
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(tf.reduce_mean(model(X, training=True) ** 2))
        optimizer.apply(tape.gradient(loss, variables), variables)
    optimizer.finalize_variable_values(variables)


def _half(model, seed=0):
    random = np.random.default_rng(seed)
    return {
        path: mask * random.integers(0, 2, mask.shape)
        for path, mask in layers.masks(model).items()
    }


def _assert_pruned(model, masks):
    """Asserts that exactly the pruned weights are 0.0, in what Keras itself saves."""
    raw = {variable.path: variable.numpy() for variable in model.weights}
    found = model_weights.weights(model)
    for path, mask in masks.items():
        # Bytes, because -0.0 equals 0.0.
        assert not raw[path][mask == 0].tobytes().strip(b"\0"), path
        assert raw[path][mask == 1].all()
        assert found[path].tobytes() == raw[path].tobytes()


@pytest.mark.parametrize(
    "name",
    [
        # Averages, steps that mix entries, and what is not Keras's.
        pytest.param(
            name, marks=() if name in ("ema", "muon", "ours") else pytest.mark.slow
        )
        for name in OPTIMIZERS
    ],
)
def test_a_model_pruned_in_the_middle_of_its_training(name):
    model = _compiled(OPTIMIZERS[name]())
    _train(model, model.optimizer)
    assert all(weight.all() for weight in _kernels(model))
    for level in (1, 2):
        masks = _half(model, seed=level)
        layers.set_masks(model, masks)
        before = _kernels(model)
        _train(model, model.optimizer)
        _assert_pruned(model, masks)
        assert all((a != b).any() for a, b in zip(before, _kernels(model), strict=True))
        tickets.of(model, rewind_iteration=0)


def _kernels(model):
    return [layer.kernel.numpy() for layer in layers.masked_layers(model)]


def test_a_compiled_training_step_need_not_be_compiled_again():
    model = _compiled(OPTIMIZERS["ema"](), eager=False, dense=True)
    _fit(model)
    step = model.train_function
    masks = _half(model)
    layers.set_masks(model, masks)
    _fit(model)
    assert model.train_function is step
    _assert_pruned(model, masks)


def test_a_loop_of_ones_own():
    model, optimizer = _model(), OPTIMIZERS["momentum"]()
    masks = _half(model)
    _train(model, optimizer)
    layers.set_masks(model, masks)
    _train(model, optimizer)
    _assert_pruned(model, masks)


def test_weights_are_read_as_the_network_uses_them():
    """Even where somebody has written over the pruned ones."""
    model = _model()
    masks = _half(model)
    layers.set_masks(model, masks)
    before = model_weights.weights(model)
    outputs = model(X)
    for layer in layers.masked_layers(model):
        layer.kernel.assign(layer.kernel + (1 - layer.mask))
    np.testing.assert_array_equal(model(X), outputs)
    for path, value in model_weights.weights(model).items():
        np.testing.assert_array_equal(value, before[path])
    tickets.of(model, rewind_iteration=0)


def test_a_constraint_of_the_user_holds_as_well():
    model = _compiled(
        OPTIMIZERS["momentum"](), kernel_constraint=keras.constraints.MaxNorm(0.5)
    )
    masks = _half(model)
    layers.set_masks(model, masks)
    _fit(model)
    _assert_pruned(model, masks)
    norms = np.linalg.norm(model.get_layer("dense").kernel, axis=0)
    assert norms.max() == pytest.approx(0.5, rel=1e-5)
    again = keras.models.clone_model(model)
    constraint = again.get_layer("dense").kernel_constraint
    assert isinstance(constraint, keras.constraints.MaxNorm)


@pytest.mark.parametrize(
    "suffix", [".keras", pytest.param(".weights.h5", marks=pytest.mark.slow)]
)
def test_a_model_saved_and_loaded_trains_on_pruned(tmp_path, suffix):
    model, path = _compiled(OPTIMIZERS["ema"]()), tmp_path / f"model{suffix}"
    _fit(model)
    masks = _half(model)
    layers.set_masks(model, masks)
    if suffix == ".keras":
        model.save(path)
        loaded = keras.models.load_model(path)
        loaded.run_eagerly = True
    else:
        model.save_weights(path)
        loaded = _compiled(OPTIMIZERS["ema"]())
        loaded.load_weights(path)
    _fit(loaded)
    _assert_pruned(loaded, masks)


@pytest.mark.slow
def test_two_replicas(mirrored):
    with mirrored.scope():
        model = _compiled(OPTIMIZERS["ema"](), eager=False, dense=True)
    _fit(model)
    masks = _half(model)
    layers.set_masks(model, masks)
    _fit(model)
    _assert_pruned(model, masks)
    for layer in layers.masked_layers(model):
        one, two = (part.numpy() for part in layer.kernel.value.values)
        np.testing.assert_array_equal(one, two)
        assert not two[masks[layer.kernel.path] == 0].any()


@pytest.mark.parametrize("change", [layers.ignore_masks, layers.mask_gradients_only])
def test_a_loop_that_sees_to_it_itself_pays_nothing(change):
    own = keras.constraints.MaxNorm(1.0)
    model = _model(kernel_constraint=own)
    change(model)
    for layer in layers.masked_layers(model):
        assert layer.kernel.constraint is (None if layer.name == "head" else own)


def test_momentum_starts_afresh_where_weights_were_pruned():
    model = _compiled(OPTIMIZERS["adam"]())
    _fit(model)
    masks = _half(model)
    slots = [v for v in model.optimizer.variables if "dense_kernel" in v.path]
    before = [slot.numpy() for slot in slots]
    layers.set_masks(model, {"dense/kernel": masks["dense/kernel"]})
    kept = masks["dense/kernel"] == 1
    for slot, value in zip(slots, before, strict=True):
        assert value.any()
        np.testing.assert_array_equal(slot, np.where(kept, value, 0))
    others = [v for v in model.optimizer.variables if "head_kernel" in v.path]
    assert len(others) == 3 and all(other.numpy().any() for other in others)
