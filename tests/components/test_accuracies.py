"""Accuracy: counted by hand, interrupted anywhere and gone on with."""

import math

import numpy as np
import pytest

from tflottery.components import accuracies
from tflottery.components.accuracies import Accuracy

_RIGHT = math.log(1 + math.exp(-1))
_WRONG = 1 + _RIGHT


def _constant(*bias):
    """Weights of a network that always gives these logits."""
    return {
        "head/kernel": np.zeros((1, 2), np.float32),
        "head/bias": np.array(bias, np.float32),
    }


def _threshold(mean):
    """Weights of a network that says class 0 for pixels brighter than the mean."""
    return {
        "norm/gamma": np.ones(1, np.float32),
        "norm/beta": np.zeros(1, np.float32),
        "norm/moving_mean": np.array([mean], np.float32),
        # The layer adds its epsilon.
        "norm/moving_variance": np.array([1 - 1e-5], np.float32),
        "head/kernel": np.array([[1, -1]], np.float32),
        "head/bias": np.zeros(2, np.float32),
    }


def _execute(trial, accuracy, weights, **how):
    trial.execute(accuracy, of=weights, **how)
    return accuracies.read(trial.output)


def test_errors_and_losses_by_hand(trial):
    found = _execute(trial, Accuracy(trial.state("constant")), _constant(1, 0))
    # Class 0 is right for 4 of 8 and 2 of 4.
    half = pytest.approx((_RIGHT + _WRONG) / 2)
    expected = {"train_error": 0.5, "test_error": 0.5}
    assert found == expected | {"train_loss": half, "test_loss": half}


def test_batch_norm_goes_by_its_moving_statistics(trial):
    accuracy = Accuracy(trial.state("threshold"))
    found = _execute(trial, accuracy, _threshold(0.5))
    # Right but for the one wrong label; logits are 1 apart.
    assert (found["train_error"], found["test_error"]) == (0.125, 0.0)
    assert found["test_loss"] == pytest.approx(_RIGHT)
    assert found["train_loss"] == pytest.approx((7 * _RIGHT + _WRONG) / 8)
    # Above every pixel: class 1 for all, though the images' own mean is 5/8.
    found = _execute(trial, accuracy, _threshold(2))
    assert (found["train_error"], found["test_error"]) == (0.5, 0.5)


def test_fewer_images_are_a_fixed_choice(trial):
    found = _execute(trial, Accuracy(trial.state("constant"), 3), _constant(1, 0))
    evaluator = trial.runtime.evaluator(*_network_and_data(trial))
    source = trial.runtime.source("dots", model="constant")
    for split in ("train", "test"):
        labels = getattr(source, split).labels[evaluator.examples(split, 3)]
        wrong = np.count_nonzero(labels)
        assert found[f"{split}_error"] == wrong / 3
        losses = wrong * _WRONG + (3 - wrong) * _RIGHT
        assert found[f"{split}_loss"] == pytest.approx(losses / 3)


def _network_and_data(trial):
    run = trial.run("constant")
    return run.network, run.data


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_split_alone(trial, split):
    state, weights = trial.state("constant"), _constant(1, 0)
    both = _execute(trial, Accuracy(state), weights)
    alone = _execute(trial, Accuracy(state, splits=(split,)), weights)
    assert alone.keys() == {f"{split}_error", f"{split}_loss"}
    assert alone == {name: both[name] for name in alone}


@pytest.mark.usefixtures("blocks_of_five")
def test_interrupted_anywhere_goes_on_to_the_same_result(trial):
    accuracy, weights = Accuracy(trial.state("constant")), _constant(0, 1)
    expected = _execute(trial, accuracy, weights)
    path = trial.output / accuracies.ACCURACY_FILE
    text = path.read_bytes()
    assert [share for _, share in trial.remembered] == [1 / 3, 2 / 3, 1.0]
    for stop_after in (1, 2, 3):
        path.unlink()
        with pytest.raises(InterruptedError):
            _execute(trial, accuracy, weights, stop_after=stop_after)
        assert not path.exists()
        remembered = trial.remembered[-1][0]
        assert len(remembered["values"]) == stop_after
        assert _execute(trial, accuracy, weights, remembered=remembered) == expected
        assert len(trial.remembered) == 3 - stop_after
        assert path.read_bytes() == text


def test_key_is_of_the_state_and_the_images(trial):
    state = trial.state("constant")
    keys = {
        Accuracy(state).key,
        Accuracy(state, 3).key,
        Accuracy(state, splits=("test",)).key,
        Accuracy(trial.state("constant", 8)).key,
        Accuracy(trial.state("threshold")).key,
    }
    assert len(keys) == 5
    assert Accuracy(state).inputs == {"of": state}


def test_cost_grows_with_the_images_measured(trial):
    facts = trial.facts("constant")

    def flops(examples):
        return Accuracy(trial.state("constant"), examples).flops({facts.network: facts})

    # A kernel of two weights: 4 operations an image, of 12 images.
    assert flops(None) == flops(1000) == 12 * 4
    assert flops(3) == 6 * 4
    accuracy = Accuracy(trial.state("constant"), splits=("test",))
    assert accuracy.flops({facts.network: facts}) == 4 * 4
