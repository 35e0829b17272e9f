"""Lines: executed on states made by hand, interrupted anywhere and gone on with."""

import numpy as np
import pytest

from tflottery.analysis import interpolation
from tflottery.components import accuracies, interpolating
from tflottery.components.accuracies import Accuracy
from tflottery.components.interpolating import Line
from tflottery.training import evaluation


def _arrays(**values):
    return {
        name.replace("__", "/"): np.array(value, np.float32)
        for name, value in values.items()
    }


# Always class 0, and always class 1; the middle of the line parts them.
_CONSTANT_A = _arrays(head__kernel=[[0, 0]], head__bias=[1, 0])
_CONSTANT_B = _arrays(head__kernel=[[0, 0]], head__bias=[0, 1])
_HEAD = {"head__kernel": [[1, -1]], "head__bias": [0, 0]}
_ONE_READING = {"alpha", "l2_distance"} | {
    f"{split}_{measure}" for split in ("train", "test") for measure in ("error", "loss")
}
_SCALE = {"norm__gamma": [1], "norm__beta": [0], "norm__moving_variance": [1]}
# A mean of 2 is above every pixel and one of -1 below: class 1 and class 0 for all.
_THRESHOLD_A = _arrays(**_HEAD, **_SCALE, norm__moving_mean=[2])
_THRESHOLD_B = _arrays(**_HEAD, **_SCALE, norm__moving_mean=[-1])


def _line(trial, model, examples=None, **options):
    if model == "threshold":
        # As many as there are; a network without batch norm has none.
        options = {"reestimation_examples": 8} | options
    return Line(trial.state(model, 8), trial.state(model, 9), examples, **options)


@pytest.fixture
def five_points(monkeypatch):
    """Of a line where more of the same tell nothing."""
    monkeypatch.setattr(interpolation, "ALPHAS", (0.0, 0.25, 0.5, 0.75, 1.0))


def _execute(trial, line, a, b, **how):
    trial.execute(line, a=a, b=b, **how)
    return interpolating.read(trial.output)


def test_line_between_two_constants(trial):
    found = _execute(trial, _line(trial, "constant"), _CONSTANT_A, _CONSTANT_B)
    assert found.keys() == _ONE_READING
    assert found["alpha"] == [index / 29 for index in range(30)]
    # Half of the points are nearer to b, class 1, the right one for 4 of 8 (2 of 4).
    assert found["train_error"] == [0.5] * 30
    assert found["test_error"] == [0.5] * 30
    # Logits are (alpha, 1 - alpha), and each class is half of the images.
    alphas = np.array(found["alpha"])
    losses = np.log(np.exp(alphas) + np.exp(1 - alphas)) - 0.5
    assert found["train_loss"] == found["test_loss"] == pytest.approx(losses)
    assert found["l2_distance"] == pytest.approx(np.sqrt(2))


@pytest.mark.usefixtures("five_points")
def test_the_ends_are_measured_like_networks_of_their_own(trial):
    line = _line(trial, "constant")
    found = _execute(trial, line, _CONSTANT_A, _CONSTANT_B)
    for index, weights in ((0, _CONSTANT_B), (-1, _CONSTANT_A)):
        trial.execute(Accuracy(line.a), of=weights)
        alone = accuracies.read(trial.output)
        assert {name: found[name][index] for name in alone} == alone


def test_line_between_two_thresholds(trial):
    found = _execute(trial, _line(trial, "threshold"), _THRESHOLD_A, _THRESHOLD_B)
    # The mean is 3 alpha - 1: up to 9/29 below 0 (all class 0), from 20/29 above 1
    # (all class 1), between them right but for the wrong label.
    assert found["train_error"] == [0.5] * 10 + [0.125] * 10 + [0.5] * 10
    assert found["test_error"] == [0.5] * 10 + [0.0] * 10 + [0.5] * 10
    # Re-estimated, the mean is 5/8 at every point.
    assert found["train_error_reestimated"] == [0.125] * 30
    assert found["test_error_reestimated"] == [0.0] * 30
    for name in ("test_loss_reestimated", "train_loss_reestimated"):
        assert found[name] == pytest.approx([found[name][0]] * 30)
    # Halfway between the thresholds all are right, near them half is far from it.
    assert found["test_loss"][15] < 0.5 < 1 < found["test_loss"][0]
    # The statistics are not part of the distance; all else is equal.
    assert found["l2_distance"] == 0.0


def test_alpha_is_the_fraction_of_a(trial):
    moved = dict(_CONSTANT_B) | _arrays(head__kernel=[[3, -3]], head__bias=[-1, 1])
    found = _execute(trial, _line(trial, "constant"), _CONSTANT_A, moved)
    # At alpha = 0 network b, which is right; at alpha = 1 network a, always class 0.
    assert (found["test_error"][0], found["test_error"][-1]) == (0.0, 0.5)
    assert found["train_error"][0] == 0.125
    # sqrt(3^2 + 3^2 + 2^2 + 1^2)
    assert found["l2_distance"] == pytest.approx(np.sqrt(23))


def test_fewer_images(trial):
    line = _line(trial, "constant", 3)
    found = _execute(trial, line, _CONSTANT_A, _CONSTANT_B)
    facts = trial.facts("constant")
    evaluator = trial.runtime.evaluator(facts.network, facts.data)
    labels = trial.runtime.source("dots", model="constant").train.labels
    wrong = int((labels[evaluator.examples("train", 3)] != 1).sum())
    assert found["train_error"][0] == wrong / 3
    assert found["train_error"][-1] == (3 - wrong) / 3


@pytest.mark.usefixtures("five_points")
def test_one_split_alone(trial):
    found = {}
    for splits in (("train", "test"), ("train",), ("test",)):
        line = _line(trial, "threshold", splits=splits)
        found[splits] = _execute(trial, line, _THRESHOLD_A, _THRESHOLD_B)
    both = found.pop(("train", "test"))
    for (split,), alone in found.items():
        own = {name for name in both if split in name}
        assert len(own) == 4
        assert alone.keys() == {"alpha", "l2_distance", *own}
        assert alone == {name: both[name] for name in alone}


@pytest.mark.usefixtures("five_points")
def test_without_re_estimation_there_is_one_reading(trial):
    both = _execute(trial, _line(trial, "threshold"), _THRESHOLD_A, _THRESHOLD_B)
    line = _line(trial, "threshold", reestimation_examples=0)
    found = _execute(trial, line, _THRESHOLD_A, _THRESHOLD_B)
    assert found.keys() == _ONE_READING
    assert found == {name: both[name] for name in found}


@pytest.mark.usefixtures("five_points")
def test_re_estimated_on_fewer_images(trial):
    line = _line(trial, "threshold", reestimation_examples=1)
    _execute(trial, line, _THRESHOLD_A, _THRESHOLD_B)
    facts = trial.facts("threshold")
    evaluator = trial.runtime.evaluator(facts.network, facts.data)
    # The mean is that of a single image, bright or dark, not 5/8 as of all.
    assert float(evaluator.model.get_layer("norm").moving_mean[0]) in (0.0, 1.0)


@pytest.mark.parametrize(
    ("asked", "num_train", "taken"),
    [(10_240, 50_000, 10_240), (10_240, 1437, 1408), (1300, 50_000, 1280)]
    + [(100, 50_000, 100), (100, 60, 60), (0, 50_000, 0)],
)
def test_re_estimation_takes_whole_batches(asked, num_train, taken):
    assert interpolating.whole_batches(asked, num_train=num_train) == taken


def test_key_is_of_all_that_is_measured(trial):
    found = [
        _line(trial, "threshold"),
        _line(trial, "threshold", 3),
        _line(trial, "threshold", splits=("test",)),
        _line(trial, "threshold", reestimation_examples=4),
    ]
    assert len({line.key for line in found}) == 4


@pytest.mark.usefixtures("five_points")
def test_progress_rises_to_the_end(trial):
    _execute(trial, _line(trial, "threshold"), _THRESHOLD_A, _THRESHOLD_B)
    shares = [share for _, share in trial.remembered]
    assert len(shares) == 5 * 2 * 2
    assert shares == sorted(shares) and shares[-1] == 1.0


@pytest.mark.parametrize("model", ["constant", "threshold"])
@pytest.mark.usefixtures("five_points", "blocks_of_five")
def test_interrupted_anywhere_goes_on_to_the_same_result(model, trial):
    ends = {"constant": (_CONSTANT_A, _CONSTANT_B)}
    ends["threshold"] = (_THRESHOLD_A, _THRESHOLD_B)
    a, b = ends[model]
    line = _line(trial, model)
    expected = _execute(trial, line, a, b)
    total = len(trial.remembered)
    assert total == 5 * 3 * (1 + (model == "threshold"))
    text = (trial.output / interpolating.LINE_FILE).read_bytes()
    # Within the training images of the first and the second setting, and at the end.
    for stop_after in (1, 4, total):
        with pytest.raises(InterruptedError):
            _execute(trial, line, a, b, stop_after=stop_after)
        remembered = trial.remembered[-1][0]
        assert len(remembered["values"]) == stop_after
        again = _execute(trial, line, a, b, remembered=remembered)
        assert len(trial.remembered) == total - stop_after
        assert again == expected
        assert (trial.output / interpolating.LINE_FILE).read_bytes() == text


@pytest.mark.usefixtures("five_points", "blocks_of_five")
def test_what_was_remembered_of_other_blocks_is_left(trial, monkeypatch):
    line = _line(trial, "constant")
    expected = _execute(trial, line, _CONSTANT_A, _CONSTANT_B)
    with pytest.raises(InterruptedError):
        _execute(trial, line, _CONSTANT_A, _CONSTANT_B, stop_after=4)
    remembered = trial.remembered[-1][0]
    # Another version, or another kind of machine, measures two images at a time.
    monkeypatch.setattr(evaluation, "DENSE_SIZES", (2, 2))
    monkeypatch.setattr(trial.runtime, "_evaluators", {})
    again = _execute(trial, line, _CONSTANT_A, _CONSTANT_B, remembered=remembered)
    assert again == expected
    assert len(trial.remembered) == 5 * (4 + 2)


@pytest.mark.usefixtures("five_points")
@pytest.mark.parametrize("remembered", [23, [[1, 2.0]], {"values": [[1, 2.0]]}])
def test_what_no_measurement_remembered_is_left(trial, remembered):
    line = _line(trial, "constant")
    expected = _execute(trial, line, _CONSTANT_A, _CONSTANT_B)
    found = _execute(trial, line, _CONSTANT_A, _CONSTANT_B, remembered=remembered)
    assert found == expected


def test_cost_grows_with_the_images_measured(trial):
    def flops(model, examples=None):
        facts = trial.facts(model)
        return _line(trial, model, examples).flops({facts.network: facts})

    # A kernel of two weights: 4 operations an image, 12 images, 30 points.
    assert flops("constant") == 30 * 12 * 4
    assert flops("constant", 3) == 30 * 6 * 4
    assert flops("constant", 1000) == flops("constant")
    # Two readings of a weight and its bias, and eight images for one of them.
    facts = trial.facts("threshold")
    assert flops("threshold") == 30 * (2 * 12 + 8) * facts.flops_per_example
    line = _line(trial, "threshold", splits=("test",), reestimation_examples=0)
    assert line.flops({facts.network: facts}) == 30 * 4 * facts.flops_per_example
