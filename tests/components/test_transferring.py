"""Weights carried over between tasks: the body stays, another head is drawn afresh."""

import dataclasses

import numpy as np
import pytest

from tflottery.components.metadata import inspect
from tflottery.components.runs import MASK_FILE
from tflottery.components.transferring import BodyMask, Transferred
from tflottery.core.initializers import Initializers
from tflottery.core.recipes import Setting
from tflottery.models import weights as model_weights
from tflottery.training import checkpoints


@pytest.fixture
def facts(runtime):
    return inspect("lenet", Setting("digits"), runtime)


@pytest.fixture
def rotation(runtime):
    return inspect("lenet", Setting("digits", "rotation"), runtime)


def _weights(runtime, facts, seed):
    model = runtime.evaluator(facts.network, facts.data).model
    return model_weights.initial_weights(model, seed)


def test_the_head_of_another_task_is_the_initial_one(trial, runtime, facts, rotation):
    trained = _weights(runtime, rotation, seed=1)
    transferred = Transferred(
        trial.state("constant"), facts.network, facts.data, seed=2, new_head=True
    )
    trial.execute(transferred, of=trained)
    found = checkpoints.read_weights(trial.output)
    initial = _weights(runtime, facts, seed=2)
    assert found.keys() == initial.keys()
    for path, value in found.items():
        expected = initial if path.startswith("head/") else trained
        np.testing.assert_array_equal(value, expected[path], err_msg=path)
    assert found["head/kernel"].shape == (100, 10)


def test_another_head_is_drawn_as_the_initial_one_was(trial, runtime, facts, rotation):
    glorot = Initializers("glorot_uniform", "uniform")
    usual = Transferred(
        trial.state("constant"), facts.network, facts.data, seed=2, new_head=True
    )
    other = dataclasses.replace(usual, initializers=glorot)
    assert other.key != usual.key
    trial.execute(other, of=_weights(runtime, rotation, seed=1))
    found = checkpoints.read_weights(trial.output)["head/kernel"]
    expected = model_weights.initial_values({"head/kernel": (100, 10)}, 2, glorot)
    np.testing.assert_array_equal(found, expected["head/kernel"])


def _transferred(trial, facts, *, new_head):
    state = trial.state("constant")
    return Transferred(state, facts.network, facts.data, seed=2, new_head=new_head)


@pytest.mark.parametrize("new_head", [False, True])
def test_a_head_of_the_same_shape_is_kept_or_drawn(trial, runtime, facts, new_head):
    trained = _weights(runtime, facts, seed=1)
    trial.execute(_transferred(trial, facts, new_head=new_head), of=trained)
    found = checkpoints.read_weights(trial.output)
    initial = _weights(runtime, facts, seed=2)
    for path, value in found.items():
        drawn = new_head and path.startswith("head/")
        np.testing.assert_array_equal(value, (initial if drawn else trained)[path])


def test_weights_of_another_model_are_refused(trial, facts):
    text = "not of model 'lenet': missing .*dense_1/kernel.* too much .*'other'"
    with pytest.raises(ValueError, match=text):
        trial.execute(
            _transferred(trial, facts, new_head=True),
            of={"other": np.zeros(2, np.float32)},
        )


def test_a_head_of_another_shape_has_to_be_drawn(trial, runtime, facts, rotation):
    trained = _weights(runtime, rotation, seed=1)
    text = r"'head/.*' has shape .*4.*, but .*10.* for the other task"
    with pytest.raises(ValueError, match=text):
        trial.execute(_transferred(trial, facts, new_head=False), of=trained)


def test_masks_without_those_of_the_heads(trial):
    masks = {
        path: np.array([1, 0, 1], np.uint8)
        for path in ("ahead/kernel", "head_1/kernel", "head/kernel", "aux_head/kernel")
    }
    trial.execute(BodyMask(trial.state("constant")), masks={"of": masks})
    found = checkpoints.read_arrays(trial.output / MASK_FILE)
    assert found.keys() == {"ahead/kernel", "head_1/kernel"}
    np.testing.assert_array_equal(found["ahead/kernel"], [1, 0, 1])
