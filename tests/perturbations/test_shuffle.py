"""Shuffles: who changes places with whom, and that all orders are alike."""

import itertools

import numpy as np
import pytest

from tflottery.core import seeds
from tflottery.core.initializers import Initializers
from tflottery.perturbations.shuffle import shuffle

_SHAPES = {
    "a/kernel": (3, 3, 4, 6),
    "b/kernel": (1, 1, 6, 8),
    "c/kernel": (5, 5, 2, 3),
    "d/kernel": (40, 12),
}
_SCOPES = ("globally", "layers", "channels", "filters")


def _arguments(density=0.6):
    """Returns kernels of different survivors everywhere, masks and initial weights."""
    generator = np.random.default_rng(5)
    size = sum(int(np.prod(shape)) for shape in _SHAPES.values())
    numbers = np.arange(1, size + 1) * generator.choice([-1, 1], size)
    kernels, masks, initial, start = {}, {}, {}, 0
    for path, shape in _SHAPES.items():
        here = numbers[start : start + np.prod(shape)].reshape(shape)
        start += np.prod(shape)
        masks[path] = (generator.random(shape) < density).astype(np.float32)
        kernels[path] = np.where(masks[path], here, 0).astype(np.float32)
        initial[path] = generator.standard_normal(shape, dtype=np.float32)
    return kernels, masks, initial


def _shuffled(scope, *, seed=1, arguments=None, **options):
    kernels, masks, initial = arguments or _arguments()
    given = {"initial": initial, "initializers": Initializers(), "seed": seed}
    return shuffle(kernels, masks, **given, scope=scope, **options)


def _parts(weights, scope):
    """Returns the weights that change places with each other: a list of flat arrays."""
    layers = [weights[path] for path in sorted(weights)]
    if scope == "globally":
        return [np.concatenate([layer.ravel() for layer in layers])]
    if scope == "layers":
        return [layer.ravel() for layer in layers]
    if scope == "channels":
        return [
            layer[..., i].ravel() for layer in layers for i in range(layer.shape[-1])
        ]
    found = []
    for layer in layers:
        inputs, outputs = layer.shape[-2:]
        for i, j in itertools.product(range(inputs), range(outputs)):
            found.append(layer[..., i, j].ravel())
    return found


def _keeps(before, after, scope):
    """Returns whether every part of that scope has the values it had, in any order."""
    pairs = zip(_parts(before, scope), _parts(after, scope), strict=True)
    return all(np.array_equal(np.sort(old), np.sort(new)) for old, new in pairs)


def _map(function, *weights):
    return {path: function(*(w[path] for w in weights)) for path in weights[0]}


@pytest.mark.parametrize("keep_signs", [False, True])
@pytest.mark.parametrize("scope", _SCOPES)
def test_values_stay_within_their_scope_and_leave_every_smaller_one(scope, keep_signs):
    kernels, _, _ = _arguments()
    found = _shuffled(scope, keep_signs=keep_signs)
    place = _SCOPES.index(scope)
    kept = [_keeps(kernels, found, other) for other in _SCOPES]
    assert kept == [other <= place for other in range(len(_SCOPES))]
    assert not all(map(np.array_equal, found.values(), kernels.values()))


@pytest.mark.parametrize("scope", _SCOPES)
def test_signs_are_kept_place_by_place(scope):
    kernels, _, _ = _arguments()
    found = _shuffled(scope, keep_signs=True)
    for path, kernel in kernels.items():
        np.testing.assert_array_equal(np.sign(found[path]), np.sign(kernel))
    free = _shuffled(scope)
    assert any((np.sign(free[p]) != np.sign(kernels[p])).any() for p in kernels)


@pytest.mark.parametrize("scope", _SCOPES)
def test_initial_signs_are_given_to_shuffled_magnitudes(scope):
    kernels, masks, initial = _arguments()
    found = _shuffled(scope, initial_signs=True)
    assert _keeps(_map(np.abs, kernels), _map(np.abs, found), scope)
    for path, mask in masks.items():
        expected = np.sign(initial[path]) * mask
        np.testing.assert_array_equal(np.sign(found[path]), expected)
        assert not np.signbit(found[path][mask == 0]).any()
        # The same order as without the option.
        plain = np.abs(_shuffled(scope)[path])
        np.testing.assert_array_equal(np.abs(found[path]), plain)


def test_filters_leave_1x1_and_dense_kernels_alone():
    kernels, _, _ = _arguments()
    found = _shuffled("filters")
    for path in ("b/kernel", "d/kernel"):
        np.testing.assert_array_equal(found[path], kernels[path])
    for path in ("a/kernel", "c/kernel"):
        assert (found[path] != kernels[path]).mean() > 0.3


def test_by_hand_a_kernel_is_ordered_by_its_own_stream():
    """Survivors 1, 2, 4, 5 are read by the order of their keys, within their part."""
    kernel = np.array([[1, 2, 0], [4, 5, 0]], np.float32)
    arguments = ({"a/kernel": kernel}, {"a/kernel": kernel != 0}, {"a/kernel": kernel})
    keys = seeds.raw_bits(9, "shuffle a/kernel", 4)
    survivors = np.array([1, 2, 4, 5])
    (b, c, d, e) = survivors[np.argsort(keys)]
    found = _shuffled("layers", seed=9, arguments=arguments)["a/kernel"]
    np.testing.assert_array_equal(found, [[b, c, 0], [d, e, 0]])
    columns = [survivors[i::2][np.argsort(keys[i::2])] for i in range(2)]
    found = _shuffled("channels", seed=9, arguments=arguments)["a/kernel"]
    np.testing.assert_array_equal(found[:, :2], np.stack(columns, axis=1))


@pytest.mark.parametrize("scope", ["layers", "channels", "filters"])
def test_shuffle_within_a_kernel_depends_on_no_other_kernel(scope):
    arguments = _arguments()
    alone = tuple({"c/kernel": arrays["c/kernel"]} for arrays in arguments)
    found = _shuffled(scope, arguments=alone)["c/kernel"]
    np.testing.assert_array_equal(found, _shuffled(scope)["c/kernel"])


@pytest.mark.parametrize("scope", _SCOPES)
def test_all_orders_of_a_group_are_alike(scope):
    """Three survivors of each of 6000 filters, or of one filter under 6000 seeds."""
    kernels = {"a/kernel": np.zeros((2, 2, 1, 1), np.float32)}
    kernels["a/kernel"].flat[[0, 1, 3]] = [1, 2, 3]
    count, repeats = 6000, 6000
    if scope in ("channels", "filters"):
        kernels, repeats = {"a/kernel": np.tile(kernels["a/kernel"], (count,))}, 1
    arguments = (kernels, {"a/kernel": kernels["a/kernel"] != 0}, kernels)
    found = [
        _shuffled(scope, seed=seed, arguments=arguments)["a/kernel"]
        for seed in range(repeats)
    ]
    orders = np.concatenate(found, axis=-1).reshape(4, count)[[0, 1, 3]]
    _, counts = np.unique(orders, axis=1, return_counts=True)
    # 1000 of each of six expected; a standard deviation of 29.
    assert len(counts) == 6 and abs(counts - 1000).max() < 150


def test_zero_counts_as_positive():
    kernel = np.array([[0.0, -0.0, 3.0, -1.0]], np.float32)
    masks = {"a/kernel": np.ones_like(kernel)}
    arguments = ({"a/kernel": kernel}, masks, {"a/kernel": -kernel[:, ::-1]})
    for seed in range(10):
        given = {"seed": seed, "arguments": arguments}
        found = _shuffled("layers", keep_signs=True, **given)["a/kernel"]
        assert found[0, 3] == -1 and sorted(found[0]) == [-1, 0, 0, 3]
        found = _shuffled("layers", initial_signs=True, **given)["a/kernel"]
        expected = np.abs(found) * [[1, -1, 1, 1]]
        np.testing.assert_array_equal(found, expected)


def test_both_options_about_signs_are_refused():
    with pytest.raises(ValueError, match="keep_signs and initial_signs are both True"):
        _shuffled("layers", keep_signs=True, initial_signs=True)


def test_unknown_scope_lists_the_known_ones():
    known = "globally, layers, channels, filters"
    with pytest.raises(ValueError, match=f"scope='layer', expected one of {known}"):
        _shuffled("layer")
