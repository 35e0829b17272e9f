"""Effective noise by hand."""

import math

import numpy as np
import pytest

from tflottery.analysis import noise


def _kernels(a, b, dtype=np.float32):
    return {"a/kernel": np.array(a, dtype), "b/kernel": np.array(b, dtype)}


_MASKS = _kernels([[1, 1], [0, 1]], [[0, 1]])


def test_by_hand():
    """Changes 1, -2, 4 and 5 survive: mean 2, squares of deviations 1, 16, 4, 9."""
    before = _kernels([[1, 1], [0, -2]], [[0, 3]])
    after = _kernels([[2, -1], [0, 2]], [[0, 8]])
    found = noise.effective(before, after, _MASKS)
    assert (found.mean, found.num_weights) == (2.0, 4)
    assert found.std == pytest.approx(math.sqrt(30 / 4))
    # With two zeros: mean 8 / 6, sum of squares 46.
    assert found.std_of_all == pytest.approx(math.sqrt(46 / 6 - (8 / 6) ** 2))


def test_pruned_weights_take_no_part_whatever_they_hold():
    before = _kernels([[1, 1], [7, -2]], [[np.nan, 3]])
    after = _kernels([[2, -1], [0, 2]], [[0, 8]])
    clean = _kernels([[1, 1], [0, -2]], [[0, 3]])
    expected = noise.effective(clean, after, _MASKS)
    assert noise.effective(before, after, _MASKS) == expected


def test_dense_weights_have_both_readings_alike():
    generator = np.random.default_rng(0)
    before, after = (
        {"a/kernel": generator.standard_normal((50, 40), dtype=np.float32)}
        for _ in range(2)
    )
    masks = {"a/kernel": np.ones((50, 40), bool)}
    found = noise.effective(before, after, masks)
    change = (after["a/kernel"].astype(float) - before["a/kernel"]).ravel()
    assert found.std == pytest.approx(np.std(change))
    assert found.std_of_all == pytest.approx(found.std)
    assert found.num_weights == 2000
    same = noise.effective(before, before, masks)
    assert (same.mean, same.std, same.std_of_all) == (0.0, 0.0, 0.0)


def test_each_kernel_alone():
    before = _kernels([[1, 1], [0, -2]], [[0, 3]])
    after = _kernels([[2, -1], [0, 2]], [[0, 8]])
    found = noise.effective_by_layer(before, after, _MASKS)
    assert found.keys() == _MASKS.keys()
    assert (found["a/kernel"].mean, found["a/kernel"].num_weights) == (1.0, 3)
    assert found["a/kernel"].std == pytest.approx(math.sqrt(18 / 3))
    assert (found["b/kernel"].mean, found["b/kernel"].std) == (5.0, 0.0)
    # Half of this kernel's weights are pruned.
    assert found["b/kernel"].std_of_all == 2.5


def test_a_kernel_without_survivors_is_left_out():
    kernels = _kernels([[1, 1], [0, -2]], [[0, 3]])
    masks = _kernels([[0, 0], [0, 0]], [[1, 0]])
    assert noise.effective_by_layer(kernels, kernels, masks).keys() == {"b/kernel"}


def test_order_of_the_kernels_does_not_matter():
    generator = np.random.default_rng(1)
    before, after = (
        _kernels(generator.random((9, 70)), generator.random((3, 5))) for _ in range(2)
    )
    masks = _kernels(np.ones((9, 70)), np.ones((3, 5)))
    turned = [dict(reversed(arrays.items())) for arrays in (before, after, masks)]
    assert noise.effective(*turned) == noise.effective(before, after, masks)


def test_changes_are_taken_in_float64():
    """In float32 the change would be 1, and a mean of many not even that."""
    size = 100_000
    before = {"a/kernel": np.full(size, 1e-8, np.float32)}
    after = {"a/kernel": np.full(size, 1.0, np.float32)}
    found = noise.effective(before, after, {"a/kernel": np.ones(size, np.float32)})
    assert found.mean == pytest.approx(1 - 1e-8, abs=1e-12)


def test_what_does_not_fit_is_refused():
    weights = _kernels([[1, 1], [0, 1]], [[0, 1]])
    other = {"a/kernel": weights["a/kernel"], "c/kernel": weights["b/kernel"]}
    paths = r"missing \['b/kernel'\], too much \['c/kernel'\]"
    with pytest.raises(ValueError, match=f"before is not for .*{paths}"):
        noise.effective(other, weights, _MASKS)
    with pytest.raises(ValueError, match=f"after is not for .*{paths}"):
        noise.effective(weights, other, _MASKS)
    turned = weights | {"b/kernel": weights["b/kernel"].T}
    shapes = r"after\['b/kernel'\] has shape \(2, 1\), expected its mask's \(1, 2\)"
    with pytest.raises(ValueError, match=shapes):
        noise.effective(weights, turned, _MASKS)
    nothing = _kernels(np.zeros((2, 2)), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="keep no weight"):
        noise.effective(weights, weights, nothing)
    with pytest.raises(ValueError, match="masks is empty"):
        noise.effective({}, {}, {})
