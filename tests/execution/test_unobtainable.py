"""Why artifacts cannot be made, when there are several reasons."""

import pytest

from tflottery.execution import unobtainable


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [((7, 3), 3), ((None, 7), 7), ((7, None), 7), ((None, None), None)],
)
def test_a_divergence_counts_before_what_does_not_exist(reasons, expected):
    assert unobtainable.first(reasons) == expected


def test_absent_artifacts_are_told_from_diverged_ones():
    assert unobtainable.num_absent({"a": None, "b": 0, "c": None}) == 2
    assert unobtainable.num_absent({}) == 0
