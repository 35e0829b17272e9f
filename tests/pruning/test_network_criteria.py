"""SNIP, GraSP and SynFlow on a network of twelve weights, against numpy and by hand."""

import functools

import keras
import numpy as np
import pytest

from tflottery import layers
from tflottery.core.registry import CRITERIA, MODELS
from tflottery.datasets.arrays import Source, Split
from tflottery.pruning import masks, scoring
from tflottery.training.probing import Probe

_SHAPES = {"hidden/kernel": (2, 3), "head/kernel": (3, 2)}
_NUM_WEIGHTS = 12


def _network(*, input_shape, num_classes, activation="softplus"):
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    x = layers.MaskedDense(3, activation=activation, name="hidden")(x)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


def _normalized(*, input_shape, num_classes):
    images = keras.Input(input_shape, name="images")
    x = layers.MaskedConv2D(2, 1, use_bias=False, name="conv")(images)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


def _source(num_images=5):
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (num_images, 1, 2, 1), np.uint8)
    split = Split(images, np.arange(num_images, dtype=np.int32) % 2)
    return Source("few", "1", "0" * 16, split, split, 2, (0.0,), (1.0,))


def _weights():
    generator = np.random.default_rng(2)
    return {
        path: generator.normal(size=shape).astype(np.float32)
        for path, shape in {
            "hidden/kernel": (2, 3),
            "hidden/bias": (3,),
            "head/kernel": (3, 2),
            "head/bias": (2,),
        }.items()
    }


@pytest.fixture
def probe(register):
    own = {"recipes": {}, "dataset": "few", "minimum_image_size": 1}
    register(MODELS, "few_weights", _network, **own)
    linear = functools.partial(_network, activation="relu")
    register(MODELS, "few_linear", linear, **own)
    register(MODELS, "few_normalized", _normalized, **own)

    def make(weights, *, model="few_weights", examples=5, num_survivors=1):
        return Probe(
            model,
            _source(),
            num_classes=2,
            augmentation="none",
            weights=weights,
            examples=examples,
            num_survivors=num_survivors,
        )

    return make


def _loss(weights, *, temperature=1.0):
    """Returns the mean cross-entropy of all five images, in float64."""
    source = _source()
    x = source.train.images.reshape(5, 2) / 255.0
    x = np.log1p(np.exp(x @ weights["hidden/kernel"] + weights["hidden/bias"]))
    logits = (x @ weights["head/kernel"] + weights["head/bias"]) / temperature
    own = logits[np.arange(5), source.train.labels]
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - own)


def _gradient(function, weights, *, step=1e-4):
    """Returns central differences of a function of weights, by kernel path."""
    found = {path: np.zeros(shape) for path, shape in _SHAPES.items()}
    for path, values in found.items():
        for at in np.ndindex(values.shape):
            sides = []
            for sign in (1, -1):
                moved = {name: np.float64(value) for name, value in weights.items()}
                moved[path] = moved[path].copy()
                moved[path][at] += sign * step
                sides.append(function(moved))
            values[at] = (sides[0] - sides[1]) / (2 * step)
    return found


def _assert_close(found, expected, rtol=1e-4):
    assert list(found) == list(expected)
    for path, values in expected.items():
        atol = rtol * abs(values).max()
        np.testing.assert_allclose(found[path], values, rtol=rtol, atol=atol)


def test_snip_is_gradient_times_weight(probe):
    weights = _weights()
    found = scoring.score("snip", weights, _SHAPES, seed=3, probe=probe(weights))
    gradient = _gradient(_loss, weights)
    _assert_close(found, {p: abs(gradient[p] * weights[p]) for p in _SHAPES})


def test_grasp_is_weight_times_hessian_times_gradient(probe):
    weights = _weights()
    found = scoring.score("grasp", weights, _SHAPES, seed=3, probe=probe(weights))

    def loss(values):
        return _loss(values, temperature=200.0)

    gradient = _gradient(loss, weights)

    def along(values):
        """The derivative of the loss along the gradient at the weights themselves."""
        own = _gradient(loss, values)
        return sum((own[path] * gradient[path]).sum() for path in _SHAPES)

    product = _gradient(along, weights, step=1e-3)
    # A step of second differences is exact to some 1e-4 of the largest.
    _assert_close(found, {p: product[p] * weights[p] for p in _SHAPES}, rtol=2e-3)


def test_synflow_by_hand_where_nothing_is_pruned(probe):
    """Strength of a path is the product of its weights; biases count as positive."""
    hidden = np.array([0.0, -100.0, 2.0])
    biases = {"hidden/bias": hidden, "head/bias": np.array([-5.0, 7.0])}
    weights = _weights() | biases
    whole = probe(weights, model="few_linear", num_survivors=_NUM_WEIGHTS)
    found = scoring.score("synflow", weights, _SHAPES, probe=whole)
    first, second = (abs(np.float64(weights[path])) for path in _SHAPES)
    # Each pixel is 1; a hidden unit is worth what leaves it, or what comes into it.
    expected = {
        "hidden/kernel": first * second.sum(axis=1),
        "head/kernel": second * (first.sum(axis=0) + abs(hidden))[:, None],
    }
    _assert_close(found, expected, rtol=1e-12)


def test_synflow_empties_no_layer(probe):
    """Where magnitude would prune all of a layer, a path through it is kept."""
    weights = _weights()
    weights["head/kernel"] *= np.float32(1e-3)
    few = probe(weights, num_survivors=2)
    scores = scoring.score("synflow", weights, _SHAPES, probe=few)
    kept = masks.keep_highest(scores, num_survivors=2)
    assert masks.counts(kept) == {"hidden/kernel": 1, "head/kernel": 1}
    # One path: what leaves is what enters.
    (unit,) = np.flatnonzero(kept["hidden/kernel"].sum(axis=0))
    assert kept["head/kernel"][unit].sum() == 1
    # As many as are to be kept have a score at all, but for rounding of a step.
    assert 2 <= masks.num_eligible(scores) <= 3
    magnitudes = {path: abs(weights[path]) for path in _SHAPES}
    assert masks.counts(masks.keep_highest(magnitudes, num_survivors=2)) == {
        "hidden/kernel": 2,
        "head/kernel": 0,
    }


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow"])
def test_the_network_may_have_batch_norm_and_dropout(probe, name):
    """Scores are the same bits again; nothing that is given is changed."""
    weights = {
        "conv/kernel": np.array([0.5, -2.0], np.float32).reshape(1, 1, 1, 2),
        "norm/gamma": np.array([1.0, -1.0], np.float32),
        "norm/beta": np.zeros(2, np.float32),
        "norm/moving_mean": np.zeros(2, np.float32),
        "norm/moving_variance": np.ones(2, np.float32),
        "head/kernel": np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2),
        "head/bias": np.zeros(2, np.float32),
    }
    shapes = {"conv/kernel": (1, 1, 1, 2), "head/kernel": (4, 2)}
    before = {path: value.copy() for path, value in weights.items()}
    first, again = (
        scoring.score(
            name,
            weights,
            shapes,
            seed=3,
            probe=probe(weights, model="few_normalized", num_survivors=5),
        )
        for _ in range(2)
    )
    for path in shapes:
        assert first[path].tobytes() == again[path].tobytes()
        assert not np.isnan(first[path]).any()
    for path, value in weights.items():
        np.testing.assert_array_equal(value, before[path])


def test_which_images_is_a_function_of_the_seed(probe):
    shown = probe(_weights(), examples=3)
    first, again, other = (shown.batch(seed) for seed in (1, 1, 2))
    assert first[0].shape == (3, 1, 2, 1)
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert first[0].numpy().tobytes() != other[0].numpy().tobytes()
    # No more than there are.
    assert probe(_weights(), examples=900).examples == 5


def test_how_many_images_is_declared():
    found = {name: CRITERIA[name]["examples"] for name in CRITERIA.names()}
    assert found.items() >= {"snip": 128, "grasp": 128, "synflow": 0}.items()
    assert found["magnitude"] is found["random"] is None
