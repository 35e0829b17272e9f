"""Mean, standard deviation and error over replicates or pairs; intervals; correlation.

The papers print "mean +- std" over three to five replicates without saying which
standard deviation; here it is the sample's (divided by n - 1), as in pandas, because
replicates are a sample of the initializations and orders there could be.
"""

import math
import typing
from collections.abc import Sequence

import numpy as np

_CONFIDENCE = 0.95


class Interval(typing.NamedTuple):
    """An estimate and how far the data leave it open.

    Attributes:
      estimate: a mean over replicates, or a correlation.
      low: lower end of its confidence interval.
      high: the upper end.
    """

    estimate: float
    low: float
    high: float


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


def t_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """Returns the mean with its two-sided 95% confidence interval, by Student's t.

    Of paired differences that is the paired comparison. Both ends are NaN for a single
    value, and the mean itself where all values are equal.
    """
    centre = mean(values)
    if len(values) < 2:
        return Interval(centre, math.nan, math.nan)
    from scipy import stats

    quantile = stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)
    half = float(quantile) * standard_error(values)
    return Interval(centre, centre - half, centre + half)


def pearson_interval(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray
) -> Interval:
    """Returns Pearson's correlation with its 95% confidence interval, by Fisher's z.

    All NaN where there is nothing to correlate, the ends also of three points.
    """
    r, _ = pearson(x, y)
    if math.isnan(r) or len(x) < 4:
        return Interval(r, math.nan, math.nan)
    if abs(r) == 1:
        return Interval(r, r, r)
    from scipy import stats

    half = float(stats.norm.ppf((1 + _CONFIDENCE) / 2)) / math.sqrt(len(x) - 3)
    z = math.atanh(r)
    return Interval(r, math.tanh(z - half), math.tanh(z + half))


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
