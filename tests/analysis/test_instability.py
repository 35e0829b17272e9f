"""Instability by hand, from errors and from a network of three weights."""

import numpy as np
import pytest

from tflottery.analysis import interpolation
from tflottery.analysis.instability import barrier, instability


def test_highest_error_minus_the_mean_of_the_ends():
    assert instability([0.25, 0.5, 1.0, 0.75]) == 0.5
    assert instability(np.array([0.5, 0.25, 0.5])) == 0.0
    assert instability([0.25, 0.0, 0.75]) == 0.25


def test_barrier_is_above_the_straight_line_between_the_ends():
    alphas = [0.0, 0.25, 0.5, 1.0]
    # The line from 0.25 to 0.75 is at 0.25, 0.375, 0.5 and 0.75.
    assert barrier([0.25, 0.5, 1.0, 0.75], alphas) == 0.5
    assert barrier([0.25, 1.0, 1.0, 0.75], alphas) == 0.625
    # A steady fall is no barrier, and neither is a valley; both are instabilities.
    assert barrier([1.0, 0.75, 0.5, 0.0], alphas) == 0.0
    assert barrier([0.25, 0.0, 0.0, 0.75], alphas) == 0.0
    assert instability([1.0, 0.75, 0.5, 0.0]) == 0.5
    assert barrier(np.full(30, 0.1), np.linspace(0, 1, 30)) == 0.0


def test_between_equal_ends_barrier_and_instability_are_the_same():
    values = [0.5, 2.0, 1.25, 0.5]
    assert barrier(values, [0, 0.3, 0.6, 1]) == instability(values) == 1.5


@pytest.mark.parametrize(
    ("values", "alphas", "message"),
    [
        ([0.5, 0.5], [0, 0.5, 1], "2 values at alphas=.*0.5.*a value at each"),
        ([0.5, 0.5], [1, 0], "ascending order"),
        ([0.5], [0], r"values has shape \(1,\)"),
        ([0.5, 0.5], [0, float("nan")], "alphas holds numbers that are not finite"),
        ([0.5, float("inf")], [0, 1], "values holds numbers that are not finite"),
    ],
)
def test_bad_barriers_are_refused(values, alphas, message):
    with pytest.raises(ValueError, match=message):
        barrier(values, alphas)


def test_network_of_three_weights_by_hand():
    """Says 1 where relu(u x) * v + c > 0.5, on x = 1, 2, 3, all of which are 1.

    a: u = 1, v = 1, c = 0 and b: u = -1, v = -1, c = 4 + 0 * relu: both are right on
    all. Halfway u = 0, v = 0, c = 2 is right too. With c = -1 in both, a: x - 1 > .5
    for x = 2, 3 and b: relu(-x) = 0, so -1 > .5 never. Errors at alpha 0, 1/2, 1 are
    1, 1, 1/3 and instability is 1 - 2/3 = 1/3.
    """
    a = {"u": np.float32([1]), "v": np.float32([1]), "c": np.float32([0])}
    b = {"u": np.float32([-1]), "v": np.float32([-1]), "c": np.float32([4])}
    low = {"c": np.float32([-1])}
    x = np.array([1.0, 2.0, 3.0], np.float32)

    def error(weights):
        outputs = np.maximum(weights["u"] * x, 0) * weights["v"] + weights["c"]
        return float(np.mean(outputs <= 0.5))

    def line(one, other):
        return [error(interpolation.between(one, other, t)) for t in (0.0, 0.5, 1.0)]

    assert instability(line(a, b)) == 0.0
    assert line(a | low, b | low) == [1.0, 1.0, pytest.approx(1 / 3)]
    assert instability(line(a | low, b | low)) == pytest.approx(1 / 3)


def test_barrier_between_two_mirror_images():
    """w1 * w2 = 1 at both ends, (1, 1) and (-1, -1), and (2 alpha - 1)^2 between.

    Says 1 where w1 * w2 * x > 0.5; x = 1 and 2, both of which are 1. At alpha = 0, 1/4,
    1/2, 3/4, 1 the product is 1, 1/4, 0, 1/4, 1: errors 0, 1, 1, 1, 0 (1/4 * 2 is not
    above 0.5), so instability is 1.
    """
    a = {"w": np.array([1.0, 1.0], np.float32)}
    b = {"w": np.array([-1.0, -1.0], np.float32)}
    errors = []
    for alpha in (0.0, 0.25, 0.5, 0.75, 1.0):
        product = np.prod(interpolation.between(a, b, alpha)["w"])
        errors.append(float(np.mean(product * np.array([1.0, 2.0]) <= 0.5)))
    assert errors == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert instability(errors) == 1.0


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([0.5], r"shape \(1,\)"),
        ([[0.5, 0.5]], r"shape \(1, 2\)"),
        ([0.5, float("nan")], "not finite.*diverged"),
    ],
)
def test_bad_lines_are_refused(errors, message):
    with pytest.raises(ValueError, match=message):
        instability(errors)
