"""All four turns of an image: what is shown, the loss, and what is measured."""

import numpy as np
import pytest
import tensorflow as tf

from tflottery.components.metadata import inspect
from tflottery.core.recipes import Setting
from tflottery.models import weights as model_weights
from tflottery.pretexts import rotation_all


def test_view_r_is_turned_r_times(ask):
    inputs = ask.inputs((5, 5, 3))
    images, turns = ask("rotation_all", inputs)
    for turn in range(4):
        expected = np.rot90(inputs["images"].numpy(), turn, axes=(1, 2))
        np.testing.assert_array_equal(images[:, turn], expected)
    # The turn that is measured is that of one turn an image.
    turned, expected = ask("rotation", inputs)
    np.testing.assert_array_equal(turns, expected)
    np.testing.assert_array_equal(images[range(24), turns], turned)


def test_losses_and_errors_of_two_images_by_hand():
    sure = np.log(np.where(np.eye(4), 5.0, 1.0))
    outputs = tf.constant(np.stack([sure, sure[::-1]]), tf.float32)
    losses = rotation_all.mean_cross_entropies(None, outputs)
    np.testing.assert_allclose(losses, [np.log(8 / 5), np.log(8)], rtol=1e-6)
    mixed = tf.constant(np.stack([sure[[0, 1, 3, 2]]] * 2), tf.float32)
    wrong = rotation_all.misjudged(tf.constant([1, 2]), mixed)
    assert wrong.numpy().tolist() == [False, True]


def test_images_that_are_not_square_are_refused(ask):
    with pytest.raises(ValueError, match="4 x 5.*rotation needs square"):
        ask("rotation_all", ask.inputs((4, 5, 1)))


def test_it_is_measured_as_one_turn_an_image_is(runtime):
    """The same network has the same errors, at four times the cost."""
    facts = {
        task: inspect("lenet", Setting("digits", task), runtime)
        for task in ("rotation", "rotation_all")
    }
    found = []
    for one in facts.values():
        assert one.network.num_classes == 4
        evaluator = runtime.evaluator(one.network, one.data)
        evaluator.assign(model_weights.initial_weights(evaluator.model, 1))
        (block,) = evaluator.blocks("test")
        found.append(evaluator.measure("test", block).num_misclassified)
    assert found[0] == found[1] > 0
    costs = [one.flops_per_example for one in facts.values()]
    assert costs[1] == 4 * costs[0]
