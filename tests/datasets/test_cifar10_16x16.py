"""CIFAR-10 at half its size."""

import numpy as np

from tflottery.datasets.cifar10_16x16 import averaged


def test_pixels_are_means_of_four():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[0, :2, :2, 0] = [[1, 2], [3, 4]]
    images[1, 2:, :2, 2] = 255
    found = averaged(images)
    assert found.shape == (2, 2, 2, 3) and found.dtype == np.uint8
    # 2.5 is rounded up.
    assert found[0, :, :, 0].tolist() == [[3, 0], [0, 0]]
    assert found[1, :, :, 2].tolist() == [[0, 0], [255, 0]]
    assert found.sum() == 258
