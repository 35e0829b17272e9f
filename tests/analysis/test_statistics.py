"""Mean, standard deviation, error and correlation by hand."""

import math

import numpy as np
import pytest
import scipy.stats

from tflottery.analysis import statistics


def test_sample_statistics_by_hand():
    # Deviations -3, -1, 1, 3: squares sum to 20, over n - 1 = 3.
    values = [1.0, 3.0, 5.0, 7.0]
    assert statistics.mean(values) == 4.0
    assert statistics.std(values) == pytest.approx(math.sqrt(20 / 3))
    assert statistics.standard_error(values) == pytest.approx(math.sqrt(20 / 3) / 2)


def test_single_value_has_no_spread():
    assert statistics.mean([0.25]) == 0.25
    assert math.isnan(statistics.std([0.25]))
    assert math.isnan(statistics.standard_error([0.25]))


@pytest.mark.parametrize(
    "function", [statistics.mean, statistics.std, statistics.standard_error]
)
def test_no_values_at_all_are_refused(function):
    with pytest.raises(ValueError, match=r"shape \(0,\), expected \[n\]"):
        function([])


def test_correlation_by_hand():
    """r = 1 / 2; t = r / sqrt(1 - r^2) is the tangent of 30 degrees.

    With one degree of freedom p is 1 - 2 / pi times that angle: 2 / 3.
    """
    r, p = statistics.pearson([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert r == pytest.approx(0.5)
    assert p == pytest.approx(2 / 3)
    r, p = statistics.pearson([1.0, 2.0, 3.0], [-3.0, -1.0, -2.0])
    assert (r, p) == (pytest.approx(0.5), pytest.approx(2 / 3))
    r, p = statistics.pearson([1, 2, 4], [-2, -4, -8])
    assert (r, p) == (pytest.approx(-1), pytest.approx(0, abs=1e-6))


def test_correlation_is_scipys():
    points = np.random.default_rng(0).standard_normal((2, 14))
    points[1] -= points[0]
    r, p = statistics.pearson(*points)
    assert type(r) is float and type(p) is float
    assert (r, p) == pytest.approx(tuple(scipy.stats.pearsonr(*points)))
    assert -1 < r < 0 and 0 < p < 0.05


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1.0], [2.0]),
        ([1.0, 2.0], [2.0, 5.0]),
        ([3.0, 3.0, 3.0], [1.0, 2.0, 4.0]),
        ([1.0, 2.0, 4.0], [0.1, 0.1, 0.1]),
        ([1.0, 2.0, math.nan], [1.0, 3.0, 2.0]),
        ([1.0, 2.0, 4.0], [1.0, math.inf, 2.0]),
    ],
)
def test_nothing_to_correlate_is_nan(x, y):
    assert all(math.isnan(value) for value in statistics.pearson(x, y))


def test_sides_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="x has 3 values and y has 4, expected one of"):
        statistics.pearson([1, 2, 3], [1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"shape \(0,\), expected \[n\]"):
        statistics.pearson([], [])


def test_an_interval_is_students():
    values = [1.0, 2.0, 4.0]
    estimate, low, high = statistics.t_interval(values)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert (low, high) == pytest.approx(tuple(expected))
    assert estimate == pytest.approx(7 / 3)
    assert statistics.t_interval([2.0, 2.0, 2.0]) == (2, 2, 2)
    single = statistics.t_interval([2.0])
    assert single.estimate == 2 and math.isnan(single.low) and math.isnan(single.high)


def test_a_correlation_has_fishers_interval():
    points = np.random.default_rng(0).standard_normal((2, 14))
    points[1] -= points[0]
    found = statistics.pearson_interval(*points)
    expected = scipy.stats.pearsonr(*points).confidence_interval()
    assert found[1:] == pytest.approx(tuple(expected))
    assert statistics.pearson_interval([1, 2, 3, 4], [2, 4, 6, 8]) == (1, 1, 1)
    few = statistics.pearson_interval([1, 2, 3], [3, 1, 2])
    assert few.estimate < 0 and math.isnan(few.low)
