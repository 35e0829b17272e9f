"""Lines: executed on states made by hand, interrupted anywhere and gone on with."""

import json

import keras
import numpy as np
import pytest
from etils import epath

from tflottery import layers
from tflottery.components import lines
from tflottery.components.component import Context
from tflottery.components.inspection import inspect
from tflottery.components.lines import Line
from tflottery.components.runs import Initialization, Run, State
from tflottery.core.recipes import Recipe
from tflottery.core.registry import DATASETS, MODELS
from tflottery.datasets.arrays import RawSource
from tflottery.training import checkpoints, evaluation
from tflottery.training.distribution import Placement
from tflottery.training.workshop import Workshop


def _constant(*, input_shape, num_classes):
    """Answers by its bias alone if its kernel is zero."""
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


def _threshold(*, input_shape, num_classes):
    """Class 0 for pixels brighter than batch norm's mean, with logits (x, -x)."""
    images = keras.Input(input_shape, name="images")
    x = layers.BatchNormalization(name="norm")(images)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))


def _dots(*, data_dir, minimum_image_size):
    """Five bright training images and three dark ones; bright is class 0.

    One bright training image of eight has the wrong label; of four test images, two
    bright and two dark, none has.
    """
    train = np.array([255, 255, 255, 255, 255, 0, 0, 0], np.uint8)
    test = np.array([255, 0, 255, 0], np.uint8)
    return RawSource(
        version="1",
        train_images=train.reshape(8, 1, 1, 1),
        train_labels=np.array([1, 0, 0, 0, 0, 1, 1, 1], np.int32),
        test_images=test.reshape(4, 1, 1, 1),
        test_labels=np.array([0, 1, 0, 1], np.int32),
        num_classes=2,
        normalized=False,
    )


def _arrays(**values):
    return {
        name.replace("__", "/"): np.array(value, np.float32)
        for name, value in values.items()
    }


# Always class 0, and always class 1; the middle of the line parts them.
_CONSTANT_A = _arrays(head__kernel=[[0, 0]], head__bias=[1, 0])
_CONSTANT_B = _arrays(head__kernel=[[0, 0]], head__bias=[0, 1])
_HEAD = {"head__kernel": [[1, -1]], "head__bias": [0, 0]}
_SCALE = {"norm__gamma": [1], "norm__beta": [0], "norm__moving_variance": [1]}
# A mean of 2 is above every pixel and one of -1 below: class 1 and class 0 for all.
_THRESHOLD_A = _arrays(**_HEAD, **_SCALE, norm__moving_mean=[2])
_THRESHOLD_B = _arrays(**_HEAD, **_SCALE, norm__moving_mean=[-1])


class _Bench:
    """Executes lines between given weights, as an executor would."""

    def __init__(self, folder, workshop):
        self.folder = epath.Path(folder)
        self.workshop = workshop
        self.remembered = []

    def line(self, model, examples=None):
        facts = inspect(model, "dots", self.workshop)
        recipe = Recipe(
            optimizer="sgd", learning_rate=0.1, batch_size=4, training_iterations=9
        )
        run = Run(facts.network, facts.data, recipe, Initialization(1), None, 2, 3)
        return Line(State(run, 8), State(run, 9), examples)

    def execute(self, line, a, b, *, remembered=None, stop_after=None):
        inputs = {"a": self.folder / "a", "b": self.folder / "b"}
        checkpoints.write(inputs["a"], a)
        checkpoints.write(inputs["b"], b)
        output = self.folder / "output"
        output.mkdir(exist_ok=True)
        self.remembered = []

        def remember(value, share):
            self.remembered.append((json.loads(json.dumps(value)), share))
            if len(self.remembered) == stop_after:
                raise InterruptedError

        line.execute(Context(inputs, output, self.workshop, remembered, remember))
        return lines.read(output)


@pytest.fixture(scope="module")
def workshop():
    return Workshop(data_dir=None, placement=Placement())


@pytest.fixture
def bench(tmp_path, register, workshop):
    own = {"recipes": {}, "dataset": "dots", "minimum_image_size": 1}
    register(MODELS, "constant", _constant, **own)
    register(MODELS, "threshold", _threshold, **own)
    register(DATASETS, "dots", _dots, adapt_recipe=lambda recipe: recipe)
    return _Bench(tmp_path, workshop)


def test_line_between_two_constants(bench):
    found = bench.execute(bench.line("constant"), _CONSTANT_A, _CONSTANT_B)
    assert found.keys() == {"alpha", "l2_distance", "train_error", "test_error"}
    assert found["alpha"] == [index / 29 for index in range(30)]
    # Half of the points are nearer to b, class 1, the right one for 4 of 8 (2 of 4).
    assert found["train_error"] == [0.5] * 30
    assert found["test_error"] == [0.5] * 30
    assert found["l2_distance"] == pytest.approx(np.sqrt(2))


def test_line_between_two_thresholds(bench):
    found = bench.execute(bench.line("threshold"), _THRESHOLD_A, _THRESHOLD_B)
    # The mean is 3 alpha - 1: up to 9/29 below 0 (all class 0), from 20/29 above 1
    # (all class 1), between them right but for the wrong label.
    assert found["train_error"] == [0.5] * 10 + [0.125] * 10 + [0.5] * 10
    assert found["test_error"] == [0.5] * 10 + [0.0] * 10 + [0.5] * 10
    # Re-estimated, the mean is 5/8 at every point.
    assert found["train_error_reestimated"] == [0.125] * 30
    assert found["test_error_reestimated"] == [0.0] * 30
    # The statistics are not part of the distance; all else is equal.
    assert found["l2_distance"] == 0.0


def test_alpha_is_the_share_of_a(bench):
    moved = dict(_CONSTANT_B) | _arrays(head__kernel=[[3, -3]], head__bias=[-1, 1])
    found = bench.execute(bench.line("constant"), _CONSTANT_A, moved)
    # At alpha = 0 network b, which is right; at alpha = 1 network a, always class 0.
    assert (found["test_error"][0], found["test_error"][-1]) == (0.0, 0.5)
    assert found["train_error"][0] == 0.125
    # sqrt(3^2 + 3^2 + 2^2 + 1^2)
    assert found["l2_distance"] == pytest.approx(np.sqrt(23))


def test_fewer_images(bench):
    line = bench.line("constant", 3)
    found = bench.execute(line, _CONSTANT_A, _CONSTANT_B)
    facts = inspect("constant", "dots", bench.workshop)
    evaluator = bench.workshop.evaluator(facts.network, facts.data)
    labels = bench.workshop.source("dots", model="constant").train.labels
    wrong = int((labels[evaluator.examples("train", 3)] != 1).sum())
    assert found["train_error"][0] == wrong / 3
    assert found["train_error"][-1] == (3 - wrong) / 3


def test_progress_rises_to_the_end(bench):
    bench.execute(bench.line("threshold"), _THRESHOLD_A, _THRESHOLD_B)
    shares = [share for _, share in bench.remembered]
    assert len(shares) == 30 * 2 * 2
    assert shares == sorted(shares) and shares[-1] == 1.0


@pytest.mark.parametrize("model", ["constant", "threshold"])
def test_interrupted_anywhere_goes_on_to_the_same_result(model, bench, monkeypatch):
    ends = {"constant": (_CONSTANT_A, _CONSTANT_B)}
    ends["threshold"] = (_THRESHOLD_A, _THRESHOLD_B)
    a, b = ends[model]
    monkeypatch.setattr(evaluation, "DENSE_SIZES", (5, 5))
    monkeypatch.setattr(evaluation, "CONVOLUTIONAL_SIZES", (5, 5))
    line = bench.line(model)
    expected = bench.execute(line, a, b)
    total = len(bench.remembered)
    text = (bench.folder / "output" / lines.LINE_FILE).read_bytes()
    # Between the readings of a point, within a split, at both ends.
    for stop_after in (1, 3, 4, 6, total):
        with pytest.raises(InterruptedError):
            bench.execute(line, a, b, stop_after=stop_after)
        counts = bench.remembered[-1][0]
        assert len(counts) == stop_after
        again = bench.execute(line, a, b, remembered=counts)
        assert len(bench.remembered) == total - stop_after
        assert again == expected
        assert (bench.folder / "output" / lines.LINE_FILE).read_bytes() == text


def test_cost_grows_with_the_images_measured(bench):
    def flops(model, examples=None):
        facts = inspect(model, "dots", bench.workshop)
        return bench.line(model, examples).flops({facts.network: facts})

    # A kernel of two weights: 4 operations an image, 12 images, 30 points.
    assert flops("constant") == 30 * 12 * 4
    assert flops("constant", 3) == 30 * 6 * 4
    assert flops("constant", 1000) == flops("constant")
    assert flops("threshold") > 2 * flops("constant")
