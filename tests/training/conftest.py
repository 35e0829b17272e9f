"""One thread and two logical CPU devices, set before any test starts TensorFlow."""

import pytest

from tflottery.training import distribution, process

process.configure(logical_cpus=2)


@pytest.fixture(scope="session")
def mirrored():
    """One strategy for all tests: TensorFlow mixes up the collective operations of two
    mirrored strategies over the same devices in one process."""
    return distribution.strategy(
        distribution.Placement(distribute="mirrored", num_replicas=2)
    )
