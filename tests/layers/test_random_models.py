"""Properties of masks in any small model, found by hypothesis (of the extra `test`)."""

import keras
import numpy as np
import pytest

from tflottery import layers

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

# Of the same shape behind as before, so that any follows on any.
_BLOCKS = {
    (6, 6): (
        lambda: keras.layers.Dense(6, activation="tanh"),
        lambda: keras.layers.Conv1D(6, 3, padding="same", use_bias=False),
        lambda: keras.layers.SeparableConv1D(6, 3, padding="same"),
        lambda: keras.layers.DepthwiseConv1D(3, padding="same"),
        lambda: keras.layers.Conv1DTranspose(6, 3, padding="same"),
        lambda: keras.layers.TimeDistributed(keras.layers.Dense(6)),
        lambda: keras.layers.LayerNormalization(),
        lambda: keras.Sequential([keras.Input((6, 6)), keras.layers.Dense(6)]),
    ),
    (6, 6, 4): (
        lambda: keras.layers.Conv2D(4, 3, padding="same", groups=2),
        lambda: keras.layers.SeparableConv2D(4, 3, padding="same", activation="relu"),
        lambda: keras.layers.DepthwiseConv2D(3, padding="same"),
        lambda: keras.layers.Conv2DTranspose(4, 2, padding="same"),
        lambda: keras.layers.BatchNormalization(),
        lambda: keras.layers.EinsumDense("abcd,de->abce", (6, 6, 4)),
    ),
}
_OPTIMIZERS = ("adam", "sgd", "rmsprop", "lion", "adamw", "nadam")


# Which blocks one after the other, and whether each is called twice, in branches.
_PLANS = st.sampled_from(list(_BLOCKS)).flatmap(
    lambda shape: st.fixed_dictionaries(
        {
            "shape": st.just(shape),
            "blocks": st.lists(
                st.tuples(st.integers(0, len(_BLOCKS[shape]) - 1), st.booleans()),
                min_size=1,
                max_size=4,
            ),
            "attends": st.booleans() if len(shape) == 2 else st.just(False),
        }
    )
)


def _model(*, shape, blocks, attends):
    inputs = x = keras.Input(shape)
    for number, branches in blocks:
        made = _BLOCKS[shape][number]()
        before, x = x, made(x)
        if branches:
            x = keras.layers.Add()([before, made(x)])
    if attends:
        x = keras.layers.MultiHeadAttention(2, 3)(x, inputs)
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def _updated(model, x, optimizer):
    """Returns loss and weights after an update."""
    model.compile(optimizer, "mse", run_eagerly=True)
    loss = model.train_on_batch(x, np.ones((len(x), 3), np.float32))
    return [np.asarray(loss), *(one.numpy() for one in model.trainable_variables)]


def _half(kernels, generator):
    return {
        one.path: (generator.random(one.shape) < 0.5).astype(np.float32)
        for one in kernels
    }


def _try(plan, optimizer, seed, folder):
    """Full masks change no bit, and others what they prune; saved and loaded too."""
    model, generator = _model(**plan), np.random.default_rng(seed)
    x = generator.normal(size=(4, *plan["shape"])).astype(np.float32)
    weights, before = model.get_weights(), np.asarray(model(x))
    updated = _updated(model, x, optimizer)
    model.set_weights(weights)
    kernels = [v for v in model.trainable_variables if v.path.endswith("kernel")]
    layers.mask(model)
    assert sorted(layers.masks(model)) == sorted(one.path for one in kernels)
    np.testing.assert_array_equal(model(x), before)
    for one, expected in zip(_updated(model, x, optimizer), updated, strict=True):
        np.testing.assert_array_equal(one, expected)

    masks = _half(kernels, generator)
    layers.set_masks(model, masks)
    _updated(model, x, optimizer)
    for one in kernels:
        pruned = one.numpy()[masks[one.path] == 0]
        assert not pruned.any() and not np.signbit(pruned).any()
    after = np.asarray(model(x))
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    np.testing.assert_array_equal(loaded(x), after)
    # Layers inside others that have no name of their own get another.
    found = zip(
        layers.masks(loaded).values(), layers.masks(model).values(), strict=True
    )
    for one, expected in found:
        np.testing.assert_array_equal(one, expected)
    layers.unmask(model)
    np.testing.assert_allclose(model(x), after, rtol=1e-5, atol=1e-5)


_drawn = given(
    plan=_PLANS, optimizer=st.sampled_from(_OPTIMIZERS), seed=st.integers(0, 2**32 - 1)
)
# Not shrunk: with networks that takes long, and they are small.
_REPEATABLE = {"deadline": None, "derandomize": True, "database": None}
_REPEATABLE |= {"phases": [hypothesis.Phase.generate]}


@settings(max_examples=2, **_REPEATABLE)
@_drawn
def test_masks_in_a_few_models(tmp_path_factory, plan, optimizer, seed):
    _try(plan, optimizer, seed, tmp_path_factory.mktemp("model"))


@pytest.mark.slow
@settings(max_examples=40, **_REPEATABLE)
@_drawn
def test_masks_in_many_models(tmp_path_factory, plan, optimizer, seed):
    _try(plan, optimizer, seed, tmp_path_factory.mktemp("model"))
