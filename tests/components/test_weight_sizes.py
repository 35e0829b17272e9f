"""Magnitudes of weights, told by rank, and how many of them are zero."""

import numpy as np
import pytest

from tflottery.components import weight_sizes
from tflottery.components.weight_sizes import WeightSizes

_WEIGHTS = {
    # Machine precision is 1.19e-7.
    "a/kernel": np.array([[1e-7, -1.3e-7], [0, 3]], np.float32),
    "b/kernel": np.array([-4, 1, -2], np.float32),
    "b/bias": np.zeros(100, np.float32),
    "head/kernel": np.full(100, 50, np.float32),
}


def _found(trial, *, num_quantiles, kernels=("a/kernel", "b/kernel")):
    sizes = WeightSizes(trial.state("constant"), kernels, num_quantiles)
    trial.execute(sizes, of=_WEIGHTS)
    return weight_sizes.read(trial.output)


@pytest.mark.parametrize(
    ("num_quantiles", "expected"),
    [
        (7, [0, 1e-7, 1.3e-7, 1, 2, 3, 4]),
        # Ranks 0, 1.5, 3, 4.5 and 6, halves rounded up.
        (5, [0, 1.3e-7, 1, 3, 4]),
        (2, [0, 4]),
        (13, [0, 1e-7, 1e-7, 1.3e-7, 1.3e-7, 1, 1, 2, 2, 3, 3, 4, 4]),
    ],
)
def test_quantiles_are_magnitudes_by_rank(trial, num_quantiles, expected):
    found = _found(trial, num_quantiles=num_quantiles)
    np.testing.assert_allclose(found["abs_weights"], expected, rtol=1e-6)
    assert found["num_weights"] == 7
    assert found["natural_sparsity"] == pytest.approx(2 / 7)


def test_only_the_kernels_named_count(trial):
    found = _found(trial, num_quantiles=3, kernels=("b/kernel",))
    assert found["abs_weights"] == [1, 2, 4]
    assert (found["num_weights"], found["natural_sparsity"]) == (3, 0)
