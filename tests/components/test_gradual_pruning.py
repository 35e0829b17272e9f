"""Gradual pruning as an artifact; what trains it is tested in `training`."""

import pytest

from tflottery.components.component import Absent
from tflottery.components.gradual_pruning import gradual_pruning

_KERNELS = (("a/kernel", (3, 4)), ("b/kernel", (4, 2)))


def _pruned(*, iterations=1000, num_survivors=10):
    return gradual_pruning(
        None, iterations=iterations, kernels=_KERNELS, num_survivors=num_survivors
    )


def test_fewer_weights_than_kernels_are_no_failure():
    with pytest.raises(Absent, match="1 weights are to survive of 2 kernels"):
        _pruned(num_survivors=1).execute(None)
    assert _pruned(num_survivors=2).survivors() == {"a/kernel": 1, "b/kernel": 1}


def test_masks_change_in_the_first_three_quarters():
    long, short = _pruned(), _pruned(iterations=12)
    assert (long.begin, long.end, long.frequency) == (0, 750, 50)
    assert (short.begin, short.end, short.frequency) == (0, 9, 1)
