"""What is unfinished is an error, of the kind that says whose it is."""

import pytest

from tflottery.execution.outcome import Outcome
from tflottery.store.errors import StoreError


@pytest.mark.parametrize(
    ("outcome", "error", "text"),
    [
        (Outcome(unusable="Disk full.", stopped=True), StoreError, "full. What was"),
        (Outcome(refused="No image.", stopped=True), ValueError, "image. What was"),
        (Outcome(failures={"a": "Oh.", "b": "Oh."}), RuntimeError, "^Oh.$"),
        (Outcome(skipped=("runs/a",)), KeyboardInterrupt, "goes on from there"),
        (Outcome(stopped=True), KeyboardInterrupt, "goes on from there"),
    ],
)
def test_what_is_unfinished_is_an_error(outcome, error, text):
    with pytest.raises(error, match=text):
        outcome.refuse_unfinished()


def test_what_there_is_none_of_is_finished():
    Outcome(unobtainable={"runs/a": "it diverged"}).refuse_unfinished()
