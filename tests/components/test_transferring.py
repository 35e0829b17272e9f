"""Weights carried over between tasks: the body stays, another head is drawn afresh."""

import numpy as np
import pytest

from tflottery.components.inspection import inspect
from tflottery.components.runs import MASK_FILE
from tflottery.components.transferring import Transferred, TransferredMask
from tflottery.models import weights as model_weights
from tflottery.training import checkpoints


@pytest.fixture
def facts(workshop):
    return inspect("lenet", "digits", workshop)


@pytest.fixture
def rotation(workshop):
    return inspect("lenet", "digits", workshop, pretext="rotation")


def _weights(workshop, facts, seed):
    model = workshop.evaluator(facts.network, facts.data).model
    return model_weights.initial_weights(model, seed)


def test_the_head_of_another_task_is_the_initial_one(bench, workshop, facts, rotation):
    trained = _weights(workshop, rotation, seed=1)
    transferred = Transferred(
        bench.state("constant"), facts.network, facts.data, seed=2
    )
    bench.execute(transferred, of=trained)
    found = checkpoints.read_weights(bench.output)
    initial = _weights(workshop, facts, seed=2)
    assert found.keys() == initial.keys()
    for path, value in found.items():
        expected = initial if path.startswith("head/") else trained
        np.testing.assert_array_equal(value, expected[path], err_msg=path)
    assert found["head/kernel"].shape == (100, 10)


def test_a_head_of_the_same_shape_is_kept(bench, workshop, facts):
    trained = _weights(workshop, facts, seed=1)
    transferred = Transferred(
        bench.state("constant"), facts.network, facts.data, seed=2
    )
    bench.execute(transferred, of=trained)
    found = checkpoints.read_weights(bench.output)
    for path, value in found.items():
        np.testing.assert_array_equal(value, trained[path])


def test_weights_of_another_model_are_refused(bench, facts):
    transferred = Transferred(
        bench.state("constant"), facts.network, facts.data, seed=2
    )
    text = "not of model 'lenet': missing .*dense_1/kernel.* too much .*'other'"
    with pytest.raises(ValueError, match=text):
        bench.execute(transferred, of={"other": np.zeros(2, np.float32)})


def test_masks_of_kernels_that_the_other_network_has(bench, facts, rotation):
    masks = {
        path: np.ones(shape, np.uint8) for path, shape in facts.kernel_shapes.items()
    }
    masks["dense_1/kernel"][0, 0] = 0
    kernels = tuple(rotation.kernel_shapes.items())
    bench.execute(
        TransferredMask(bench.state("constant"), kernels), masks={"of": masks}
    )
    found = checkpoints.read_arrays(bench.output / MASK_FILE)
    assert found.keys() == {"dense_1/kernel", "dense_2/kernel"}
    np.testing.assert_array_equal(found["dense_1/kernel"], masks["dense_1/kernel"])


def test_masks_of_which_none_fits_are_refused(bench):
    component = TransferredMask(bench.state("constant"), (("a/kernel", (2, 3)),))
    masks = {"a/kernel": np.ones((3, 2), np.uint8)}
    with pytest.raises(ValueError, match="None of the masks of .*a/kernel"):
        bench.execute(component, masks={"of": masks})
