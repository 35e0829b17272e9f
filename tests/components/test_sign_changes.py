"""Signs of two states, by hand."""

import dataclasses

import numpy as np
import pytest

from tflottery.components import sign_changes
from tflottery.components.sign_changes import SignChanges

_EARLIER = {
    "a/kernel": np.array([[1, -2], [3, 0]], np.float32),
    "b/kernel": np.array([5, 6], np.float32),
    "b/bias": np.array([-1], np.float32),
}
_LATER = {
    "a/kernel": np.array([[-1, -3], [4, 1]], np.float32),
    "b/kernel": np.array([-5, 7], np.float32),
    "b/bias": np.array([1], np.float32),
}
_MASKS = {
    "a/kernel": np.array([[1, 1], [1, 0]], np.uint8),
    "b/kernel": np.array([0, 1], np.uint8),
}


@pytest.fixture
def changes(trial):
    return SignChanges(
        trial.state("constant", 5),
        trial.state("constant", 8),
        ("a/kernel", "b/kernel"),
    )


def test_all_weights_of_the_kernels_count(trial, changes):
    trial.execute(changes, earlier=_EARLIER, later=_LATER)
    # 1 to -1, 0 to 1 and 5 to -5.
    expected = {"num_weights": 6, "fraction_of_signs_changed": 3 / 6}
    assert sign_changes.read(trial.output) == expected


def test_with_masks_the_survivors_count(trial, changes):
    masked = dataclasses.replace(changes, mask=trial.state("constant", 7))
    trial.execute(masked, earlier=_EARLIER, later=_LATER, masks={"mask": _MASKS})
    expected = {"num_weights": 4, "fraction_of_signs_changed": 1 / 4}
    assert sign_changes.read(trial.output) == expected


def test_each_field_enters_the_key(trial, changes):
    keys = {
        changes.key,
        dataclasses.replace(changes, earlier=trial.state("constant", 4)).key,
        dataclasses.replace(changes, later=trial.state("constant", 9)).key,
        dataclasses.replace(changes, kernels=("a/kernel",)).key,
        dataclasses.replace(changes, mask=trial.state("constant", 7)).key,
    }
    assert len(keys) == 5
