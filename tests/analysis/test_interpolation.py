"""Points of the line between two networks, and its length, by hand."""

import math

import numpy as np
import pytest

from tflottery.analysis import interpolation


def _network(seed):
    rng = np.random.default_rng(seed)
    return {
        "conv/kernel": rng.normal(size=(3, 2)).astype(np.float32),
        "norm/moving_variance": rng.uniform(size=4).astype(np.float32),
    }


def test_thirty_evenly_spaced_points_with_both_ends():
    assert len(interpolation.ALPHAS) == 30
    assert interpolation.ALPHAS[0] == 0.0 and interpolation.ALPHAS[-1] == 1.0
    np.testing.assert_allclose(np.diff(interpolation.ALPHAS), 1 / 29)


def test_quarter_of_the_way_by_hand():
    a = {"w": np.array([4.0, -2.0], np.float32), "s": np.array(8.0, np.float32)}
    b = {"w": np.array([0.0, 2.0], np.float32), "s": np.array(4.0, np.float32)}
    point = interpolation.between(a, b, 0.25)
    np.testing.assert_array_equal(point["w"], [1.0, 1.0])
    np.testing.assert_array_equal(point["s"], 5.0)
    assert point["w"].dtype == np.float32


def test_ends_are_the_networks_themselves_bit_for_bit():
    a, b = _network(1), _network(2)
    a["conv/kernel"][0, 0], b["conv/kernel"][0, 0] = -0.0, 1e30
    for alpha, end in [(1.0, a), (0.0, b)]:
        point = interpolation.between(a, b, alpha)
        for path in end:
            np.testing.assert_array_equal(point[path], end[path])
            assert point[path] is not end[path]


def test_points_follow_the_formula_and_change_no_argument():
    a, b = _network(1), _network(2)
    for alpha in interpolation.ALPHAS:
        point = interpolation.between(a, b, alpha)
        for path in a:
            expected = alpha * a[path].astype(float) + (1 - alpha) * b[path]
            np.testing.assert_allclose(point[path], expected, rtol=1e-6, atol=1e-7)
            assert point[path].dtype == np.float32
    assert all(np.array_equal(a[path], _network(1)[path]) for path in a)


def test_line_between_equal_networks_is_one_point_and_zeros_stay_zero():
    a = _network(1)
    a["conv/kernel"][1] = 0.0
    for alpha in interpolation.ALPHAS:
        point = interpolation.between(a, _network(1) | a, alpha)
        assert all(np.array_equal(point[path], a[path]) for path in a)


def test_distance_counts_the_named_paths_only():
    a = {"w": np.array([3.0, 0.0], np.float32), "b": np.zeros(1), "s": np.ones(2)}
    b = {"w": np.array([0.0, 0.0], np.float32), "b": np.full(1, 4.0), "s": np.zeros(2)}
    assert interpolation.l2_distance(a, b, paths=["w", "b"]) == 5.0
    assert interpolation.l2_distance(a, b, paths=["b", "w"]) == 5.0
    assert interpolation.l2_distance(a, b, paths=["w"]) == 3.0
    assert interpolation.l2_distance(a, a, paths=["w", "b", "s"]) == 0.0


def test_distance_is_computed_in_float64():
    """Of float32 weights whose differences, squares and sum float32 cannot hold."""
    random = np.random.default_rng(0)
    a, b = ({"w": random.normal(size=999).astype(np.float32)} for _ in range(2))
    pairs = zip(a["w"].tolist(), b["w"].tolist(), strict=True)
    exact = math.sqrt(math.fsum((x - y) ** 2 for x, y in pairs))
    distance = interpolation.l2_distance(a, b, paths=["w"])
    assert distance == pytest.approx(exact, rel=1e-14)


def test_networks_that_differ_in_kind_are_refused():
    a, b = _network(1), _network(2)
    b["head/bias"] = b.pop("norm/moving_variance")
    with pytest.raises(
        ValueError, match=r"\['norm/moving_variance'\].*second \['head/bias'\]"
    ):
        interpolation.between(a, b, 0.5)
    with pytest.raises(ValueError, match=r"No distance over \['head/bias'\]"):
        interpolation.l2_distance(a, b, paths=["head/bias"])
    with pytest.raises(ValueError, match=r"shape \(3, 2\).*\(2, 3\)"):
        interpolation.between(a, a | {"conv/kernel": np.zeros((2, 3))}, 0.5)
    with pytest.raises(ValueError, match="the text 'conv/kernel'"):
        interpolation.l2_distance(a, a, paths="conv/kernel")


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_alpha_outside_the_line_is_refused(alpha):
    with pytest.raises(ValueError, match=r"expected in \[0, 1\]"):
        interpolation.between(_network(1), _network(2), alpha)
