"""Made tables: rows of one setting, with what is measured given a replicate."""

import pandas

from tflottery.claims import judging
from tflottery.core.registry import CLAIMS

SETTING = {
    "model": "lenet",
    "variant": "standard",
    "dataset": "mnist",
    "task": "labels",
    "training_iterations": 24_000,
    "config": "01234567",
    "num_classes": 10,
}
# Replicates differ a little, and alike in all networks: so they do in reality.
_NOISE = (-0.001, 0.0, 0.001)
# What one has and another lacks.
_JITTER = (0.0002, -0.0001, -0.0001)
LEVEL = 15


def rows(*networks, replicates=3, **setting):
    """Returns a table of networks, each in every replicate.

    Args:
      *networks: columns by name; a number with a fraction that is measured gets noise
        of its replicate.
      replicates: how many.
      **setting: columns that all rows share.
    """
    found = []
    for number, columns in enumerate(networks):
        for replicate in range(replicates):
            noise = _NOISE[replicate % 3] + (1 + number % 3) * _JITTER[replicate % 3]
            own = {
                name: value + noise if isinstance(value, float) else value
                for name, value in columns.items()
                if name != "density"
            }
            density = columns.get("density", 1.0)
            own |= {"density": density, "axis_density": density}
            found.append({**SETTING, **setting, "replicate": replicate + 1, **own})
    return pandas.DataFrame(found)


def network(kind="dense", *, k=0, density=None, **columns):
    """Returns columns of a network; a sparse one is of level 15, at 3.5%."""
    level = 0 if kind == "dense" else LEVEL
    if density is None:
        density = 0.8**level
    keys = {"subnetwork": kind, "level": level, "density": density}
    return keys | {"rewind_iteration": k, **columns}


def pair(kind="dense", *, k=0, test=0.001, train=None, ends=0.02, **columns):
    """Returns columns of a pair of copies, with its instability on both splits."""
    train = test if train is None else train
    found = {"test_instability": test, "train_instability": train}
    found |= {"test_error_a": ends, "test_error_b": ends, "iteration": 24_000}
    found |= {"data_order_a": 1, "data_order_b": 2, "dense_test_error": 0.02}
    return network(kind, k=k, **(found | columns))


def judged(claim, table):
    """Returns the judgement on a claim, of a network that is none of the paper's."""
    setting = {name: value for name, value in SETTING.items() if name != "num_classes"}
    return judging.judged(
        CLAIMS[claim], table, setting=setting, about="another network"
    )


def sparse(kind="imp", *, test_error=0.02, k=0, **columns):
    """Returns columns of a trained network."""
    return network(kind, k=k, test_error=test_error, **columns)


def points(kind="dense", *, k=0, highest=0.9, ends=0.1):
    """Returns columns of the points on a line, three of them."""
    return [
        pair(kind, k=k, alpha=str(alpha), test_error=error, train_error=error)
        for alpha, error in ((0, ends), (0.5, highest), (1, ends))
    ]
