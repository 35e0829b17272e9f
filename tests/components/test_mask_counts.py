"""Survivors of masks, kernel by kernel."""

import numpy as np

from tflottery.components import mask_counts
from tflottery.components.mask_counts import MaskCounts


def test_ones_of_every_kernel_are_counted(trial):
    masks = {
        "a/kernel": np.array([[1, 0], [1, 1]], np.uint8),
        "b/kernel": np.zeros(3, np.uint8),
    }
    counts = MaskCounts(trial.state("constant"))
    trial.execute(counts, masks={"mask": masks})
    assert mask_counts.read(trial.output) == {"a/kernel": 3, "b/kernel": 0}
