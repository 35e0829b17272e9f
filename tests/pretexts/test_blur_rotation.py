"""Blur and rotation: both, one after the other."""

import numpy as np
import pytest

from tflottery.core.registry import PRETEXTS


@pytest.mark.parametrize("form", [None, "graph", "xla"])
def test_the_turn_undone_leaves_the_blurred_image(form, ask):
    inputs = ask.inputs((8, 8, 3), count=64)
    found, turns = ask("blur_rotation", inputs, form=form)
    blurred, _ = ask("blur", inputs)
    _, expected = ask("rotation", inputs)
    assert set(turns.tolist()) == {0, 1, 2, 3}
    np.testing.assert_array_equal(turns, expected)
    for image, turn, one in zip(found, turns, blurred, strict=True):
        np.testing.assert_array_equal(np.rot90(image, -turn), one)


def test_images_that_are_not_square_are_refused(ask):
    with pytest.raises(ValueError, match="8 x 12.*rotation needs square"):
        ask("blur_rotation", ask.inputs((8, 12, 1)))


def test_registered_with_four_classes():
    assert PRETEXTS["blur_rotation"]["num_outputs"] == 4
