"""Masked layers: the forward pass, gradients, saving, and mistakes in masks."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers

_RNG = np.random.default_rng(0)


def _model() -> keras.Model:
    images = keras.Input((6, 6, 2), name="images")
    x = layers.MaskedConv2D(3, 3, strides=2, activation="relu", name="conv")(images)
    x = keras.layers.Flatten(name="flatten")(x)
    inner = keras.Sequential([layers.MaskedDense(4, name="inner")], name="nested")
    return keras.Model(images, layers.MaskedDense(2, name="head")(inner(x)))


def _half(model: keras.Model) -> dict[str, np.ndarray]:
    return {
        path: _RNG.integers(0, 2, mask.shape).astype(np.float32)
        for path, mask in layers.masks(model).items()
    }


def _images() -> np.ndarray:
    return _RNG.normal(size=(5, 6, 6, 2)).astype(np.float32)


def test_without_a_mask_the_layers_are_keras_layers():
    masked = layers.MaskedDense(3, activation="relu", name="d")
    plain = keras.layers.Dense(3, activation="relu", name="d")
    x = _RNG.normal(size=(4, 5)).astype(np.float32)
    masked.build(x.shape)
    plain.build(x.shape)
    plain.set_weights(masked.get_weights()[:2])
    np.testing.assert_array_equal(masked(x), plain(x))
    conv = layers.MaskedConv2D(4, 3, padding="same", use_bias=False, name="c")
    peer = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="c")
    images = _images()
    conv.build(images.shape)
    peer.build(images.shape)
    peer.set_weights(conv.get_weights()[:1])
    np.testing.assert_array_equal(conv(images), peer(images))


def test_a_mask_by_hand():
    layer = layers.MaskedDense(2, use_bias=False, name="d")
    layer.build((None, 2))
    layer.kernel.assign([[1.0, 2.0], [3.0, 4.0]])
    layer.mask.assign([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_array_equal(layer(np.array([[10.0, 100.0]], "f")), [[10, 400]])


def test_kernels_are_kaiming_normal_by_default():
    layer = layers.MaskedDense(400, name="d")
    layer.build((None, 800))
    assert np.std(layer.kernel) == pytest.approx(np.sqrt(2 / 800), rel=0.02)


def test_nested_layers_are_found_in_order():
    assert [layer.name for layer in layers.masked_layers(_model())] == [
        "conv",
        "inner",
        "head",
    ]


def test_pruned_weights_get_no_gradient_and_stay_zero():
    model = _model()
    chosen = _half(model)
    layers.set_masks(model, chosen)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    kernels = [layer.kernel for layer in layers.masked_layers(model)]
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(_images(), training=True) - 1.0))
        gradients = tape.gradient(loss, kernels)
        optimizer.apply(gradients, kernels)
        for gradient, kernel in zip(gradients, kernels, strict=True):
            pruned = chosen[kernel.path] == 0
            assert not np.asarray(gradient)[pruned].any()
            assert np.asarray(gradient)[~pruned].any()
            # Bytes, because -0.0 equals 0.0.
            assert not np.asarray(kernel)[pruned].tobytes().strip(b"\0")


def test_missing_masks_are_ones():
    model = _model()
    layers.set_masks(model, _half(model))
    head = _half(model)["head/kernel"]
    layers.set_masks(model, {"head/kernel": head})
    found = layers.masks(model)
    np.testing.assert_array_equal(found.pop("head/kernel"), head)
    assert all(mask.all() for mask in found.values())
    assert all(mask.dtype == np.float32 for mask in found.values())


def test_masks_returned_are_copies():
    model = _model()
    layers.masks(model)["head/kernel"][:] = 0
    assert layers.masks(model)["head/kernel"].all()


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_save_and_load_keep_masks(tmp_path: pathlib.Path, suffix: str):
    model, path = _model(), tmp_path / f"model{suffix}"
    layers.set_masks(model, _half(model))
    if suffix == ".keras":
        model.save(path)
        loaded = keras.models.load_model(path)
    else:
        model.save_weights(path)
        loaded = _model()
        loaded.load_weights(path)
    images = _images()
    np.testing.assert_array_equal(loaded(images), model(images))
    # By order: Keras gives a loaded nested layer another path.
    pairs = zip(
        layers.masks(loaded).values(), layers.masks(model).values(), strict=True
    )
    for found, expected in pairs:
        np.testing.assert_array_equal(found, expected)


def test_mistakes_are_refused_and_change_nothing():
    model = _model()
    good = _half(model)
    layers.set_masks(model, good)
    ones = np.ones((4, 2))
    with pytest.raises(ValueError, match=r"\['hat/kernel'\].*without.*\['conv/kernel'"):
        layers.set_masks(model, {"hat/kernel": ones, "head/kernel": ones})
    with pytest.raises(ValueError, match=r"'head/kernel'.*\(2, 4\).*\(4, 2\)"):
        layers.set_masks(model, {"head/kernel": ones.T})
    with pytest.raises(ValueError, match=r"'head/kernel'.*0\.5.*0 .*1 "):
        layers.set_masks(model, {"head/kernel": ones / 2})
    with pytest.raises(ValueError, match=r"'head/kernel'.*nan"):
        layers.set_masks(model, {"head/kernel": ones * np.nan})
    for path, mask in layers.masks(model).items():
        np.testing.assert_array_equal(mask, good[path])


def test_masking_gradients_alone_changes_nothing_where_pruned_weights_are_zero():
    product, gradient = _model(), _model()
    gradient.set_weights(product.get_weights())
    layers.mask_gradients_only(gradient)
    chosen = _half(product)
    x, results = _images(), []
    for model in (product, gradient):
        layers.set_masks(model, chosen)
        kernels = [layer.kernel for layer in layers.masked_layers(model)]
        with tf.GradientTape() as tape:
            outputs = model(x)
            loss = tf.reduce_sum(outputs**2)
        results.append([outputs, *tape.gradient(loss, [k.value for k in kernels])])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)
    for path, found in zip(chosen, results[1][1:], strict=True):
        assert not np.asarray(found)[chosen[path] == 0].any()
