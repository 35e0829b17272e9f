"""Tickets and instability of models, data, optimizers and losses of one's own."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tflottery
from tflottery import layers
from tflottery.models import weights as model_weights
from tflottery.own_models import (
    examples,
    execution,
    instability_measurement,
    own_components,
    problem,
    update_loop,
)
from tflottery.pruning import masks as pruning_masks
from tflottery.store.store import Store

_GENERATOR = np.random.default_rng(0)
X = _GENERATOR.normal(size=(96, 6)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(np.float32)
DATA, TEST = (X[:64], Y[:64]), (X[64:], Y[64:])


def _binary():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


_OPTIONS = {
    "test_data": TEST,
    "optimizer": keras.optimizers.Adam(0.02),
    "loss": "binary_crossentropy",
    "metrics": ["accuracy"],
    "batch_size": 16,
    "training_iterations": 12,
    "rewind_iteration": 3,
    "pruning_fraction": 0.5,
    "density": 0.25,
}


def _find(tmp_path, **options):
    settings = _OPTIONS | {"store": tmp_path / "store"} | options
    return tflottery.find_ticket(_binary, DATA, **settings)


@pytest.fixture
def num_trainings(monkeypatch):
    """Counts the trainings that are done."""
    count, train = [], update_loop.UpdateLoop.train

    def counted(self, *args, **options):
        count.append(options["iterations"])
        return train(self, *args, **options)

    monkeypatch.setattr(update_loop.UpdateLoop, "train", counted)
    return count


def test_a_ticket_is_found_and_read_from_the_store_the_second_time(
    tmp_path, num_trainings
):
    found = _find(tmp_path)
    table = found.table
    assert table["level"].tolist() == [0, 1, 2]
    # Of 6 * 16 + 16 weights.
    assert table["density"].tolist() == [1, 56 / 112, 28 / 112]
    assert table["test_accuracy"].between(0, 1).all()
    assert table["test_loss"].gt(0).all()
    assert num_trainings == [(0, 3), *[(3, 12)] * 3]

    ticket = found.ticket
    assert ticket.rewind_iteration == 3
    assert pruning_masks.num_ones(ticket.masks) == 28
    model = found.model()
    for path, mask in layers.masks(model).items():
        np.testing.assert_array_equal(mask, ticket.masks[path])
        assert not model_weights.weights(model)[path][mask == 0].any()
    measured = model.evaluate(*TEST, verbose=0, return_dict=True)
    assert measured["accuracy"] == pytest.approx(table["test_accuracy"].iloc[-1])

    # Another model of the same layers, as another session has it, after others.
    _binary()
    again = _find(tmp_path)
    assert len(num_trainings) == 4
    assert again.table.equals(table)
    # The rows name what lies in the store; of instability the trunk is the same one.
    root = tmp_path / "store"
    assert all((root / one / "manifest.json").exists() for one in table["network"])
    assert all((root / one).exists() for one in table["mask"][1:])


@pytest.mark.slow
def test_a_deeper_search_goes_on_and_another_loss_is_another_problem(
    tmp_path, num_trainings
):
    found = _find(tmp_path)
    deeper = _find(tmp_path, density=0.125)
    assert len(num_trainings) == 5
    assert deeper.table.iloc[:3].equals(found.table)
    _find(tmp_path, loss=keras.losses.BinaryFocalCrossentropy(), density=1)
    assert len(num_trainings) == 7


def test_trainings_are_the_same_bits_wherever_they_are_cut(tmp_path):
    stated = problem.of_arguments(
        _binary,
        DATA,
        test_data=TEST,
        optimizer="adam",
        loss="mse",
        metrics=(),
        batch_size=16,
        unpruned=(),
    )
    loop, options = update_loop.UpdateLoop(stated), {"seeds": (1, 2)}
    # However many updates are made at once.
    loop._updates_at_once = 4
    options |= {"masks": {}, "tell": lambda fraction: None}
    initial = loop.initial_weights(1)
    whole, _ = loop.train(initial, None, iterations=(0, 9), **options)
    half, slots = loop.train(initial, None, iterations=(0, 5), **options)
    loop.train(initial, None, iterations=(0, 2), **options)
    cut, _ = loop.train(half, slots, iterations=(5, 9), **options)
    for path, value in whole.items():
        np.testing.assert_array_equal(cut[path], value)
        assert (value != initial[path]).any()
    # Epochs are permutations, and batches run on across their ends.
    shown = examples.batch_indices(1, first=0, last=6, batch_size=16, num_examples=64)
    assert sorted(shown[:4].ravel()) == list(range(64))
    parts = [
        examples.batch_indices(1, first=a, last=b, batch_size=16, num_examples=60)
        for a, b in ((0, 3), (3, 4), (4, 9))
    ]
    every = examples.batch_indices(1, first=0, last=9, batch_size=16, num_examples=60)
    np.testing.assert_array_equal(np.concatenate(parts), every)


@pytest.mark.slow
def test_data_sets_and_arrays_of_one_content_are_one_problem(tmp_path, num_trainings):
    _find(tmp_path, density=1)
    data = tf.data.Dataset.from_tensor_slices(DATA).batch(10)
    settings = _OPTIONS | {"store": tmp_path / "store", "density": 1}
    settings["test_data"] = tf.data.Dataset.from_tensor_slices(TEST).batch(7)
    tflottery.find_ticket(_binary, data, **settings)
    assert len(num_trainings) == 2


def test_regression_of_several_inputs_with_a_loss_of_ones_own(tmp_path):
    def build_model():
        inputs = {"a": keras.Input((6,), name="a"), "b": keras.Input((2,), name="b")}
        x = keras.layers.Concatenate()(list(inputs.values()))
        return keras.Model(inputs, keras.layers.Dense(1)(x))

    def huber(targets, outputs):
        return keras.losses.huber(targets, outputs, delta=0.5)

    b = np.float64(X[:, :2] ** 2)
    found = tflottery.find_ticket(
        build_model,
        ({"a": X[:64], "b": b[:64]}, X[:64, :1], np.linspace(0.5, 1, 64)),
        test_data=({"a": X[64:], "b": b[64:]}, X[64:, :1]),
        optimizer=keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(0.05, 30), momentum=0.9
        ),
        loss=huber,
        metrics=[keras.metrics.MeanAbsoluteError(name="mae")],
        training_iterations="15ep",
        density=0.5,
        pruning_fraction=0.5,
        store=tmp_path / "store",
    )
    dense, sparse = found.rows
    assert sparse["density"] == 0.5
    assert sparse["rewind_iteration"] == 2 and sparse["iteration"] == 30
    # One weight is all that the targets need, and it is kept.
    assert found.ticket.masks["dense/kernel"][0, 0] == 1
    assert dense["test_mae"] < 0.5 and sparse["test_mae"] < 0.5


@pytest.mark.slow
def test_instability_falls_where_copies_part_later(tmp_path):
    rows = tflottery.measure_instability(
        _binary,
        DATA,
        test_data=TEST,
        optimizer="adam",
        loss="binary_crossentropy",
        metrics=["accuracy"],
        batch_size=16,
        training_iterations=12,
        rewind_iterations=(0, 11),
        replicates=1,
        num_points=4,
        store=tmp_path / "store",
    )
    assert [row["rewind_iteration"] for row in rows] == [0, 11]
    early, late = rows
    assert early["train_loss_instability"] > late["train_loss_instability"] >= 0
    assert {"test_accuracy_instability", "test_accuracy", "test_loss"} <= early.keys()


@pytest.mark.parametrize("num_points", [1, 2.5, 30.0, True, "30"])
def test_points_are_counted_before_anything_trains(num_points):
    with pytest.raises(ValueError, match="num_points=.*a whole number from 2"):
        tflottery.measure_instability(
            _binary,
            DATA,
            test_data=TEST,
            optimizer="adam",
            loss="binary_crossentropy",
            num_points=num_points,
        )


def test_a_point_that_is_not_finite_leaves_out_its_column_alone(tmp_path):
    along = {"loss": [0.2, float("inf"), 0.3], "auc": [0.5, 0.25, 0.75]}
    end = own_components.OwnState(problem="p", replicate=1, initial="i", iteration=3)
    line = own_components.OwnLine(problem="p", a=end, b=end, num_points=3)
    store = Store(tmp_path)
    with store.writing(line.address, {}) as folder:
        (folder / "line.json").write_text(json.dumps({"train": along, "test": along}))
    row = instability_measurement._row(
        line, store, frozenset(), {"loss": False, "auc": True}
    )
    assert row["test_loss_instability"] is None
    assert row["test_auc_instability"] == 0.375
    assert row["test_auc"] == 0.625


@pytest.mark.slow
def test_a_stopped_search_goes_on_where_it_was(tmp_path, monkeypatch, num_trainings):
    class Stopping(execution.StopRequest):
        def is_set(self):
            return len(num_trainings) >= 2

    with monkeypatch.context() as patch:
        patch.setattr(execution, "StopRequest", Stopping)
        with pytest.raises(KeyboardInterrupt):
            _find(tmp_path)
    before = len(num_trainings)
    assert 2 <= before < 4
    found = _find(tmp_path)
    assert len(num_trainings) == 4
    assert len(found.rows) == 3


@pytest.mark.slow
def test_what_diverges_is_said_and_not_trained_again(tmp_path, num_trainings):
    broken = X[:64].copy()
    broken[40, :2] = np.nan
    settings = _OPTIONS | {"store": tmp_path / "store", "loss": "mse"}
    settings["optimizer"] = keras.optimizers.SGD(1e30)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"training diverged.*2 of the values in"):
            tflottery.find_ticket(_binary, (broken, Y[:64]), **settings)
    assert num_trainings == [(0, 3)]


def test_mistakes_are_told_before_anything_trains(tmp_path, num_trainings):
    for options, facts in (
        ({"batch_size": 100}, r"batch_size=100.*64 examples"),
        ({"batch_size": "16"}, r"batch_size='16'.*whole number"),
        ({"batch_size": 16.0}, r"batch_size=16.0.*whole number"),
        ({"rewind_iteration": 12}, r"iteration 12.*training of 12"),
        ({"training_iterations": 0}, "nothing to train"),
        ({"density": 0}, r"density=0.*\(0, 1\]"),
        ({"density": "20%"}, r"density='20%'.*\(0, 1\]"),
        ({"pruning_fraction": "a half"}, r"pruning_fraction='a half'.*\(0, 1\)"),
        ({"test_data": (X, Y[:3])}, r"test_data have \[3, 96\]"),
        ({"test_data": (X, Y[:, None])}, r"data .* \(64,\), .*\(96, 1\)"),
        ({"test_data": X}, r"test_data is ndarray.*\(inputs, targets\)"),
        ({"loss": object()}, "loss.*object"),
        ({"replicates": 0}, "replicates=0.*from 1"),
        ({"unpruned": ["hat"]}, r"\['hat'\]"),
    ):
        with pytest.raises(ValueError, match=facts):
            _find(tmp_path, **options)
    with pytest.raises(ValueError, match="build_model returned None"):
        tflottery.find_ticket(lambda: None, DATA, **_OPTIONS)
    for ks in ("5%", 5, ()):
        with pytest.raises(ValueError, match=r"rewind_iterations=.*a list of"):
            tflottery.measure_instability(
                _binary,
                DATA,
                test_data=TEST,
                optimizer="adam",
                loss="mse",
                rewind_iterations=ks,
            )
    assert not num_trainings
    assert not (tmp_path / "store").exists()


def test_a_model_that_is_other_each_time_is_refused(tmp_path):
    def build_model():
        model = _binary()
        # Of the machine's entropy: the draws of Keras and numpy are seeded.
        model.layers[0].kernel.assign(np.random.default_rng().normal(size=(6, 16)))
        return model

    options = _OPTIONS | {"store": tmp_path / "store"}
    with pytest.raises(ValueError, match="other initial weights"):
        tflottery.find_ticket(build_model, DATA, **options)
