"""Mean, standard deviation and error over replicates or pairs; correlation.

The papers print "mean +- std" over three to five replicates without saying which
standard deviation; here it is the sample's (divided by n - 1), as in pandas, because
replicates are a sample of the initializations and orders there could be.
"""

import math
from collections.abc import Sequence

import numpy as np


def mean(values: Sequence[float] | np.ndarray) -> float:
    """Returns the arithmetic mean of at least one value; NaN if one is NaN."""
    return float(np.mean(_validated(values)))


def std(values: Sequence[float] | np.ndarray) -> float:
    """Returns the sample standard deviation (n - 1); NaN for a single value."""
    values = _validated(values)
    return float(np.std(values, ddof=1)) if values.size > 1 else math.nan


def std_of_several(values: Sequence[float] | np.ndarray) -> float | None:
    """Returns the sample standard deviation; None of fewer than two values."""
    return std(values) if len(values) > 1 else None


def standard_error(values: Sequence[float] | np.ndarray) -> float:
    """Returns the standard error of the mean, std / sqrt(n); NaN for a single value."""
    return std(values) / math.sqrt(len(values))


def pearson(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray
) -> tuple[float, float]:
    """Returns Pearson's correlation r and its two-sided p, of points (x, y).

    p is of Student's t with n - 2 degrees of freedom (`scipy.stats.pearsonr`). Both
    are NaN, without a warning, where there is nothing to correlate: fewer than three
    points, equal values on one side, or a value that is not finite.

    Raises:
      ValueError: no values at all, or x and y are not of the same length.
    """
    x, y = _validated(x), _validated(y)
    if x.size != y.size:
        raise ValueError(
            f"x has {x.size} values and y has {y.size}, expected one of each a point."
        )
    finite = np.isfinite(x).all() and np.isfinite(y).all()
    if x.size < 3 or not finite or not np.ptp(x) or not np.ptp(y):
        return math.nan, math.nan
    from scipy import stats

    found = stats.pearsonr(x, y)
    return float(found.statistic), float(found.pvalue)


def _validated(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the values as [n] float64; refuses none at all."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(
            f"values has shape {values.shape}, expected [n] with at least one value."
        )
    return values
