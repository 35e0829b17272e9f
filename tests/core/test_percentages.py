import pytest

from tflottery.core.percentages import percent


@pytest.mark.parametrize(
    ("fraction", "text"),
    # The exact density of a level, and what is left of so many weights.
    [(0.03125, "3.13%"), (8_169 / 261_400, "3.13%"), (0.168, "16.8%"), (1.0, "100%")],
)
def test_halves_are_rounded_up_as_their_neighbours_are(fraction, text):
    assert percent(fraction) == text
