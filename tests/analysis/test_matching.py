"""Matching by hand: within one standard deviation of the dense mean, or better."""

import pytest

from tflottery.analysis.matching import is_matching

# Mean 4, sample standard deviation 2; divided by n it would be 1.63.
_DENSE = [2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(0.0, True), (4.0, True), (5.9, True), (6.0, True), (6.0001, False), (9.0, False)],
)
def test_by_hand(error, expected):
    assert is_matching(error, _DENSE) is expected


def test_two_replicates_are_enough():
    # Mean 0.2, standard deviation 0.1 * sqrt(2).
    assert is_matching(0.34, [0.1, 0.3]) is True
    assert is_matching(0.35, [0.1, 0.3]) is False


@pytest.mark.parametrize("dense", [[], [0.1]])
def test_fewer_leave_it_open(dense):
    assert is_matching(0.0, dense) is None
    assert is_matching(1.0, dense) is None


def test_networks_as_good_as_equal_dense_ones_match():
    """Rounding of the mean may not lift a network above its equals."""
    for num_replicates in (2, 3, 5, 7):
        for wrong in range(0, 10_001, 7):
            error = wrong / 10_000
            assert is_matching(error, [error] * num_replicates)
