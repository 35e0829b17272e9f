"""Mean, standard deviation and standard error over replicates or pairs.

The papers print "mean +- std" over three to five replicates without saying which
standard deviation; here it is the sample's (divided by n - 1), as in pandas, because
replicates are a sample of the initializations and orders there could be.
"""

import math
from collections.abc import Sequence

import numpy as np


def mean(values: Sequence[float] | np.ndarray) -> float:
    """Returns the arithmetic mean of at least one value; NaN if one is NaN."""
    return float(np.mean(_checked(values)))


def std(values: Sequence[float] | np.ndarray) -> float:
    """Returns the sample standard deviation (n - 1); NaN for a single value."""
    values = _checked(values)
    return float(np.std(values, ddof=1)) if values.size > 1 else math.nan


def standard_error(values: Sequence[float] | np.ndarray) -> float:
    """Returns the standard error of the mean, std / sqrt(n); NaN for a single value."""
    return std(values) / math.sqrt(len(values))


def _checked(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the values as [n] float64; refuses none at all."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(
            f"values has shape {values.shape}, expected [n] with at least one value."
        )
    return values
