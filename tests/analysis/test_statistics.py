"""Mean, standard deviation and error by hand."""

import math

import pytest

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
