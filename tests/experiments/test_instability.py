"""The rows of instability analysis: which there are, and what stands in them."""

import dataclasses
import json
import math

import numpy as np
import pandas
import pytest

from tflottery import results
from tflottery.components import interpolating
from tflottery.components.accuracies import Accuracy
from tflottery.components.interpolating import Line
from tflottery.components.runs import State
from tflottery.core.registry import MODELS
from tflottery.execution.results_reader import PartialReader, ResultsReader
from tflottery.experiments import instability, lottery
from tflottery.experiments.instability import Config, Point, Row
from tflottery.store.errors import MissingArtifact
from tflottery.store.store import Store
from tflottery.studies import endings
from tflottery.studies.study import resolve
from tflottery.studies.subnetworks import DENSE, IMP, RANDOM_PRUNING, RANDOM_REINIT
from tflottery.training import checkpoints
from tflottery.training.distribution import Placement

KEYS = (
    "model variant dataset task training_iterations config precision "
    "subnetwork level density "
    "axis_density replicate rewind_iteration data_order_a data_order_b iteration "
    "network_a network_b mask"
).split()
MEASURED = (
    "train_instability test_instability l2_distance train_error_a train_error_b "
    "test_error_a test_error_b train_error_barrier test_error_barrier "
    "train_loss_instability test_loss_instability train_loss_barrier "
    "test_loss_barrier train_loss_a train_loss_b test_loss_a test_loss_b"
).split()
REESTIMATED = [f"{name}_reestimated" for name in MEASURED if name != "l2_distance"]
COMPARED = ["dense_test_error", "matching"]
NAMED = [name for name in KEYS if name != "mask"]
COLUMNS = [*KEYS, *MEASURED, *REESTIMATED, "diverged_iteration", *COMPARED]


@pytest.fixture
def study(study_of):
    def make(**options):
        return study_of(instability, **options)

    return make


def test_columns():
    names = [field.name for field in dataclasses.fields(Row)]
    assert names == COLUMNS
    names = [field.name for field in dataclasses.fields(Point)]
    values = ["train_error", "test_error", "train_loss", "test_loss"]
    assert names == [*KEYS, "alpha", *values, *(f"{one}_reestimated" for one in values)]


def test_all_pairs_of_copies_are_compared(study):
    pairs = instability.plan(study(replicates=2, data_orders=4))
    assert len(pairs) == 2 * 2 * 6
    assert len({line.address for line in pairs}) == len(pairs)


def test_copies_are_never_compared_with_the_trunk(study):
    trunk_order = study().trunk(1).data_order_seed
    for line in instability.plan(study(data_orders=3)):
        assert trunk_order not in (
            line.a.run.data_order_seed,
            line.b.run.data_order_seed,
        )


def test_when_pairs_are_measured(study):
    options = {"training_iterations": 60, "throughout": True, "data_orders": 2}
    found = study(rewind_iterations=(0, 24, 30, 60), **options)
    measured = {}
    for line in instability.plan(found):
        measured.setdefault(line.a.run.first_iteration, []).append(line.a.iteration)
    # Epochs end after 24 and 48 iterations; a pair parts at k and differs after it.
    assert measured == {0: [24, 48, 60], 24: [48, 60], 30: [48, 60], 60: [60]}
    # Copies that begin anew differ from their first epoch on, whatever k is.
    anew = study(rewind_iterations=(0, 30), schedule="restarted", **options)
    ends = [line.a.iteration for line in instability.plan(anew)]
    assert ends == 2 * [24, 48, 60]


def test_an_epoch_that_ends_with_the_training_is_measured_once(study):
    found = study(training_iterations=48, throughout=True, rewind_iterations=(0,))
    assert [line.a.iteration for line in instability.plan(found)] == [24, 48]


def test_rows_are_worked_out_from_what_was_measured(study, tmp_path, monkeypatch):
    found = study(rewind_iterations=(0,))
    store = Store(tmp_path)
    [line] = instability.plan(found)
    with store.writing(line.address, {}) as folder:
        (folder / "line.json").write_text("{}")
    errors = [0.1, 0.5, 0.3]
    measured = {
        "alpha": [0.0, 0.5, 1.0],
        "l2_distance": 7.0,
        "train_error": errors,
        "test_error": [2 * one for one in errors],
        "train_loss": [1.0, 8.0, 5.0],
        "test_loss": [1.0, math.inf, 5.0],
    }
    monkeypatch.setattr(interpolating, "read", lambda folder: measured)
    tables = instability.rows(found, ResultsReader(store, unobtainable={}))
    [row] = tables["instability"]
    # Alpha is the fraction of network a: b stands at the beginning, a at the end.
    assert (row.train_error_b, row.train_error_a) == (0.1, 0.3)
    assert (row.test_error_b, row.test_error_a) == (0.2, 0.6)
    assert row.train_instability == pytest.approx(0.5 - 0.2)
    assert row.test_instability == pytest.approx(1.0 - 0.4)
    assert row.l2_distance == 7.0
    # Halfway between the ends, so the mean of them is on the line between them.
    assert row.train_error_barrier == pytest.approx(0.5 - 0.2)
    assert (row.train_loss_b, row.train_loss_a) == (1.0, 5.0)
    assert row.train_loss_instability == row.train_loss_barrier == 8.0 - 3.0
    # No number is above an infinite loss; that of the ends is still told.
    assert (row.test_loss_b, row.test_loss_a) == (1.0, 5.0)
    assert row.test_loss_instability is row.test_loss_barrier is None
    assert row.test_instability_reestimated is None
    assert row.diverged_iteration is None
    assert [point.alpha for point in tables["interpolation"]] == measured["alpha"]
    assert [point.test_error for point in tables["interpolation"]] == [0.2, 1.0, 0.6]
    losses = [point.test_loss for point in tables["interpolation"]]
    assert losses == measured["test_loss"]


def test_what_is_neither_made_nor_diverged_has_no_row_before_the_end(study, tmp_path):
    found = [PartialReader, ResultsReader]
    partial, whole = (kind(Store(tmp_path), unobtainable={}) for kind in found)
    tables = instability.rows(study(), partial)
    assert tables == {"instability": [], "interpolation": [], "mask_layers": []}
    with pytest.raises(MissingArtifact, match="lines/"):
        instability.rows(study(), whole)


def test_a_real_table(execute):
    ended = execute(rewind_iterations=(8,), data_orders=3, all_points=True)
    rows, points = ended.table(), ended.table("interpolation")
    assert len(rows) == 3
    assert len(points) == len(rows) * 30
    assert list(rows.columns) == COLUMNS
    assert not rows.duplicated(KEYS).any()
    assert not points.duplicated([*KEYS, "alpha"]).any()
    assert rows[NAMED].notna().all(axis=None) and rows[MEASURED].notna().all(axis=None)
    # LeNet has no batch norm.
    missing = [*REESTIMATED, "diverged_iteration", *COMPARED]
    assert rows[missing].isna().all(axis=None)
    first = rows.iloc[0]
    assert (first["subnetwork"], first["level"], first["density"]) == ("dense", 0, 1.0)
    for _, row in rows.iterrows():
        line = points.merge(row[NAMED].to_frame().T.infer_objects(), on=NAMED)
        line = line.sort_values("alpha")
        assert np.allclose(line["alpha"], np.linspace(0, 1, 30))
        for split in ("train", "test"):
            errors = line[f"{split}_error"].to_numpy()
            ends = row[f"{split}_error_b"], row[f"{split}_error_a"]
            assert (errors[0], errors[-1]) == ends
            # Tiny measures 100 images of each split.
            assert np.allclose(errors * 100, np.round(errors * 100))
            assert row[f"{split}_instability"] == pytest.approx(
                errors.max() - sum(ends) / 2
            )
            losses = line[f"{split}_loss"].to_numpy()
            ends = row[f"{split}_loss_b"], row[f"{split}_loss_a"]
            assert (losses[0], losses[-1]) == ends
            chord = np.linspace(*ends, 30)
            assert row[f"{split}_loss_barrier"] == pytest.approx(
                (losses - chord).max(), abs=1e-12
            )
            assert row[f"{split}_loss_instability"] == pytest.approx(
                losses.max() - sum(ends) / 2
            )


def test_distances_and_errors_are_those_of_the_states(
    execute, tmp_path, runtime, facts
):
    row = execute(rewind_iterations=(8,)).table().iloc[0]
    config = dataclasses.replace(Config.tiny(), rewind_iterations=(8,))
    [line] = instability.plan(resolve(config, facts, Placement()))
    store = Store(tmp_path / "store")
    a, b = (
        checkpoints.read_weights(store.open(state.address))
        for state in (line.a, line.b)
    )
    squares = sum(
        float(np.sum((a[path].astype(np.float64) - b[path]) ** 2)) for path in a
    )
    assert row["l2_distance"] == pytest.approx(np.sqrt(squares))
    evaluator = runtime.evaluator(facts.network, facts.data)
    evaluator.assign(a)
    images = evaluator.examples("test", 100)
    measured = evaluator.measure("test", images)
    assert measured.num_misclassified == 100 * row["test_error_a"]


def test_pairs_that_part_at_the_end_are_one_network(execute):
    row = execute(rewind_iterations=(24,)).table().iloc[0]
    assert row["l2_distance"] == 0
    assert row["test_error_a"] == row["test_error_b"]
    assert row["test_instability"] == 0


@pytest.mark.slow
def test_tables_of_two_commands_go_together(execute):
    one = execute(output="one")
    two = execute(output="two", rewind_iterations=(4,), data_orders=3)
    rows = results.load(one.folder, two.folder, table="instability")
    assert len(rows) == 2 + 3
    assert not rows.duplicated(KEYS).any()
    # Where commands overlap they say the same.
    three = execute(output="three", data_orders=3)
    rows = results.load(one.folder, three.folder, table="instability")
    assert len(rows.drop_duplicates()) == 2 * 3
    assert not rows.drop_duplicates().duplicated(KEYS).any()


def test_tables_of_other_settings_are_told_apart(execute):
    frames = [
        execute(output=str(number), **options).table()
        for number, options in enumerate(
            (
                {},
                {"optimizer_state": "carried"},
                {"evaluation_examples": 50},
            )
        )
    ]
    rows = pandas.concat(frames)
    assert not rows.duplicated(KEYS).any()
    assert rows["config"].nunique() == 3


def normalized(*, input_shape, num_classes):
    """A network of a few weights with batch norm."""
    import keras

    from tflottery import layers

    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    x = layers.MaskedDense(8, name="dense")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name="normalized")


def test_a_network_with_batch_norm_has_both_readings(execute, register):
    recipes = MODELS["lenet"]["recipes"]
    options = {"recipes": recipes, "dataset": "digits", "minimum_image_size": 1}
    register(MODELS, "normalized", normalized, **options)
    ended = execute(model="normalized", rewind_iterations=(0,))
    row = ended.table().iloc[0]
    assert row[MEASURED].notna().all() and row[REESTIMATED].notna().all()
    points = ended.table("interpolation")
    assert points["train_error_reestimated"].notna().all()
    assert (points["train_error_reestimated"] != points["train_error"]).any()
    best = points["test_error_reestimated"].max()
    ends = row[["test_error_a_reestimated", "test_error_b_reestimated"]].mean()
    assert row["test_instability_reestimated"] == pytest.approx(best - ends)


def test_carried_optimizer_state_is_another_experiment(execute, facts):
    fresh = execute(rewind_iterations=(8,), output="fresh").table().iloc[0]
    carried = execute(
        rewind_iterations=(8,), output="carried", optimizer_state="carried"
    )
    assert carried.table().iloc[0]["l2_distance"] != fresh["l2_distance"]


def test_the_trunk_is_the_same_whatever_the_optimizer_state(study):
    config = dataclasses.replace(study().config, optimizer_state="carried")
    carried = dataclasses.replace(study(), config=config)
    assert State(carried.trunk(1), 8).key == State(study().trunk(1), 8).key


# Subnetworks.


@pytest.mark.parametrize(
    "kind", [IMP, RANDOM_REINIT, pytest.param(RANDOM_PRUNING, marks=pytest.mark.slow)]
)
def test_a_table_of_subnetworks(execute, tiny, kind):
    ended = execute(
        subnetworks=(kind,),
        levels=("2",),
        replicates=2,
        rewind_iterations=(8,),
        data_orders=2,
    )
    assert ended.code == 0
    assert f"{kind}, level 2, 64% of the prunable weights" in ended.text
    rows, points = ended.table(), ended.table("interpolation")
    assert len(rows) == 2 and len(points) == 2 * 5
    assert not rows.duplicated(KEYS).any()
    assert rows[[*KEYS, *MEASURED, *COMPARED]].notna().all(axis=None)
    for table in (rows, points):
        assert set(table["subnetwork"]) == {kind} and set(table["level"]) == {2}
        # 32,128 of 50,200.
        assert set(table["density"]) == set(table["axis_density"]) == {0.64}
    layers = ended.table("mask_layers")
    assert list(layers["mask"].unique()) == list(rows["mask"])
    assert list(layers.groupby("mask")["num_survivors"].sum()) == [32_128, 32_128]
    networks = tiny(lottery).table("accuracy")
    dense = networks[networks["subnetwork"] == DENSE]["test_error"]
    assert list(rows["dense_test_error"]) == list(dense)
    means = (rows["test_error_a"] + rows["test_error_b"]) / 2
    assert list(rows["matching"]) == list(means <= dense.mean() + dense.std(ddof=1))
    if kind == IMP:
        # The first copy is the network of the lottery.
        same = networks[(networks["subnetwork"] == IMP) & (networks["level"] == 2)]
        same = same[same["rewind_iteration"] == 8]
        assert list(rows["test_error_a"]) == list(same["test_error"])
        assert list(rows["train_error_a"]) == list(same["train_error"])


@pytest.fixture
def rows_of(study, tmp_path):
    """Returns the rows of made-up errors: of dense networks, and of pairs (a, b)."""

    def make(dense, pairs, **options):
        found = study(
            subnetworks=(IMP,), levels=("1",), replicates=len(dense), **options
        )
        store = Store(tmp_path)
        goals = instability.plan(found)
        lines = [goal for goal in goals if isinstance(goal, Line)]
        accuracies = [goal for goal in goals if isinstance(goal, Accuracy)]
        texts = [json.dumps({"test_error": error}) for error in dense]
        for a, b in pairs:
            ends = [float(b), float(a)]
            line = {"alpha": [0.0, 1.0], "l2_distance": 1.0}
            line |= {"train_error": ends, "test_error": ends}
            texts.append(json.dumps(line))
        for goal, text in zip((*accuracies, *lines), texts, strict=True):
            with store.writing(goal.address, {}) as folder:
                (folder / goal.files[0]).write_text(text)
        results = PartialReader(store, unobtainable={})
        return instability.rows(found, results)["instability"]

    return make


def test_matching_is_of_the_mean_of_a_pair(rows_of):
    # The dense mean is 0.3 and the standard deviation 0.1414.
    pairs = [(0.0, 0.88), (0.4, 0.5), (0.44, 0.44), (0.2, 0.2)]
    rows = rows_of([0.2, 0.4], pairs)
    assert [row.matching for row in rows] == [True, False, True, True]
    assert [row.dense_test_error for row in rows] == [0.2, 0.2, 0.4, 0.4]


def test_one_replicate_is_compared_and_says_nothing_of_matching(rows_of):
    rows = rows_of([0.2], [(0.1, 0.1), (0.1, 0.1)])
    assert [row.dense_test_error for row in rows] == [0.2, 0.2]
    assert [row.matching for row in rows] == [None, None]


def test_only_the_end_of_training_is_compared(rows_of):
    rows = rows_of(
        [0.2, 0.4],
        4 * [(0.1, 0.1)],
        rewind_iterations=(0,),
        throughout=True,
        training_iterations=30,
    )
    # An epoch ends after 24 iterations.
    assert [row.iteration for row in rows] == [24, 30, 24, 30]
    assert [row.matching for row in rows] == [None, True, None, True]
    assert [row.dense_test_error for row in rows] == [None, 0.2, None, 0.4]


def test_the_dense_network_is_not_compared_with_itself(study):
    assert all(isinstance(goal, Line) for goal in instability.plan(study()))


def test_the_studied_level_is_the_recipes(study):
    [line] = [
        goal
        for goal in instability.plan(study(subnetworks=(IMP,), rewind_iterations=(0,)))
        if isinstance(goal, Line)
    ]
    # 0.8^15 of 50,200 is 1,766.2.
    assert line.a.run.mask.num_survivors == 1_766


WRONG = {
    r"--subnetworks='ticket' has to name some of dense, imp, random_pruning, "
    r"random_reinit": {"subnetworks": ("ticket",)},
    r"--subnetworks='' has to name some of dense": {"subnetworks": ()},
    r"--subnetworks='imp,imp' names imp twice": {"subnetworks": (IMP, IMP)},
    r"are of a subnetwork: name one, such as --subnetworks=imp": {"levels": ("2",)},
    r"--levels and --density are of a subnetwork": {"density": 0.5},
    r"--levels=.*2.* and --density=0.5 say the same": {
        "subnetworks": (IMP,),
        "levels": ("2",),
        "density": 0.5,
    },
    r"'-1' names no levels": {"subnetworks": (IMP,), "levels": ("-1",)},
    r"--density=0.0 has to be above 0": {"subnetworks": (IMP,), "density": 0.0},
    r"--density=1.5 has to be above 0 and at most 1": {
        "subnetworks": (IMP,),
        "density": 1.5,
    },
    r"--density=nan has to be": {"subnetworks": (IMP,), "density": float("nan")},
    r"'0' names no levels": {"subnetworks": (IMP,), "levels": ("0",)},
    r"Level 0 is the dense network": {"subnetworks": (RANDOM_REINIT,), "density": 0.95},
    r"level=60 leaves none of 50200 weights": {
        "subnetworks": (RANDOM_PRUNING,),
        "levels": ("60",),
    },
    r"first 2 convolutions alone .* this network has no convolutions": {
        "subnetworks": (IMP,),
        "first_convolutions": 2,
    },
    r"random_counts='local' has to be one of": {
        "subnetworks": (RANDOM_PRUNING,),
        "random_counts": "local",
    },
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_options_on_pruning_are_refused(execute, trainings, tmp_path, text):
    with pytest.raises(ValueError, match=text):
        execute(**WRONG[text])
    assert trainings == []
    assert not (tmp_path / "output").exists()


def test_where_every_copy_diverges_there_is_a_table(execute):
    options = {"optimizer": "sgd", "learning_rate": 1e20}
    ended = execute(subnetworks=(IMP,), levels=("1",), figure=True, **options)
    assert ended.code == endings.INCOMPLETE
    rows = ended.table()
    assert len(rows) == 2 and (rows["diverged_iteration"] > 0).all()
    assert rows[[*MEASURED, *COMPARED]].isna().all(axis=None)
    assert not (ended.folder / "figure.png").exists()
