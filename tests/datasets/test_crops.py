"""Windows of images of many sizes: inside, as large as they may be, and repeatable."""

import numpy as np

from tflottery.datasets import crops

_SIZES = np.array([(375, 500), (64, 64), (1, 1), (20, 900), (900, 20), (3000, 4000)])


def windows(sizes, seed=0):
    bits = np.random.default_rng(seed).integers(0, 2**31, len(sizes))
    return crops.drawn(np.int32(sizes), np.int32(bits))


def inside(found, sizes):
    corners, sides = found[:, :2], found[:, 2:]
    assert (corners >= 0).all() and (sides >= 1).all()
    assert (corners + sides <= sizes).all()


def test_windows_lie_inside_of_images():
    sizes = np.repeat(_SIZES, 500, axis=0)
    inside(windows(sizes), sizes)
    inside(crops.measured(sizes, (224, 224, 3)), sizes)


def test_windows_have_the_areas_and_aspects_of_the_reference():
    sizes = np.repeat([(400, 400)], 20_000, axis=0)
    found = windows(sizes).astype(float)
    areas = found[:, 2] * found[:, 3] / 400**2
    aspects = found[:, 3] / found[:, 2]
    assert 0.078 < areas.min() < 0.085 and 0.97 < areas.max() <= 1
    assert 0.74 < aspects.min() < 0.76 and 1.32 < aspects.max() < 1.35
    # As wide as high and the other way round are as likely.
    assert abs(np.log(aspects).mean()) < 0.01
    assert abs(found[:, 0] / (401 - found[:, 2]) - 0.5).mean() > 0.2
    assert abs((found[:, 1] / (401 - found[:, 3])).mean() - 0.5) < 0.02


def test_a_window_is_a_function_of_size_and_bits():
    sizes = np.repeat(_SIZES, 50, axis=0)
    whole, again = windows(sizes), windows(sizes)
    assert (whole == again).all()
    bits = np.random.default_rng(0).integers(0, 2**31, len(sizes)).astype(np.int32)
    alone = crops.drawn(np.int32(sizes[7:8]), bits[7:8])
    assert (alone == whole[7]).all()
    # The lowest bit mirrors, and does nothing else.
    assert (crops.drawn(np.int32(sizes), bits ^ 1) == whole).all()
    assert len(np.unique(whole[:50], axis=0)) == 50


def test_where_no_window_fits_the_largest_in_the_middle_is_taken():
    sizes = np.repeat([(20, 900), (900, 20)], 20, axis=0)
    found = windows(sizes)
    fallback = {(0, 436, 20, 27), (436, 0, 27, 20)}
    assert fallback <= set(map(tuple, found.tolist()))


def test_the_middle_is_measured():
    sizes = np.int32([(375, 500), (256, 256), (512, 341), (1, 1)])
    found = crops.measured(sizes, (224, 224, 3))
    assert found.tolist() == [
        [23, 86, 328, 328],
        [16, 16, 224, 224],
        [107, 21, 298, 298],
        [0, 0, 1, 1],
    ]
    # Of another shape, as much of the image as has that shape.
    wide = crops.measured(np.int32([(256, 512)]), (100, 200, 3))
    assert wide.tolist() == [[16, 32, 224, 448]]
