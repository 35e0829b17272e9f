"""Does a subnetwork train as well as the dense network? The papers' "matching"."""

from collections.abc import Sequence

from tflottery.analysis import statistics


def is_matching(error: float, dense_errors: Sequence[float]) -> bool | None:
    """Returns whether an error is at most one standard deviation above the dense mean.

    Args:
      error: test error of a subnetwork, in [0, 1], or a mean of such.
      dense_errors: test errors of the dense network, one a replicate.

    Returns:
      None where fewer than two replicates leave the deviation unknown.
    """
    if len(dense_errors) < 2:
        return None
    return error <= statistics.mean(dense_errors) + statistics.std(dense_errors)
