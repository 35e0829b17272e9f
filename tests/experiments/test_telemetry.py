"""Telemetry's tables against the stored weights, and which trainings they need."""

import dataclasses
import json
import shutil

import numpy as np
import pandas
import pytest

from tflottery import results
from tflottery.components.runs import State
from tflottery.components.sign_changes import SignChanges
from tflottery.core import recipes
from tflottery.core.registry import MODELS
from tflottery.execution.plan import plan_of
from tflottery.execution.results_reader import PartialReader
from tflottery.experiments import lottery, table1, telemetry
from tflottery.experiments.telemetry import (
    Config,
    Phase,
    Reading,
    SignChange,
    Weight,
)
from tflottery.store.store import Store
from tflottery.studies import endings
from tflottery.studies.columns import NetworkKeys
from tflottery.training import checkpoints

KEYS = [field.name for field in dataclasses.fields(NetworkKeys)]
ERRORS = ["train_error", "test_error", "train_loss", "test_loss"]
MEASURED = """
    mean_weight_magnitude fraction_of_signs_changed gradient_examples gradient_norm
    mean_gradient_magnitude l2_from_initial l2_from_final cosine_to_initial
    cosine_to_final
""".split()
COLUMNS = [*KEYS, "iteration", "final_iteration", "network", "final_network"]
COLUMNS += [*ERRORS, *MEASURED]
KERNELS = ["dense_1/kernel", "dense_2/kernel", "head/kernel"]
ITERATIONS = [0, 1, 4, 10, 20]


@pytest.fixture
def study(study_of):
    def make(**options):
        return study_of(telemetry, **options)

    return make


@pytest.fixture
def stored(tiny, study):
    """Returns the weights of a replicate at an iteration, as tiny trained them."""
    store = Store(tiny(telemetry).folder.parent / "store")

    def read(replicate, iteration):
        state = State(study().trunk(replicate), iteration)
        return checkpoints.read_weights(store.open(state.address))

    return read


def flat(weights):
    """Returns all weights of the kernels as one vector, in float64."""
    return np.concatenate([weights[path].ravel() for path in KERNELS]).astype(float)


def by_numpy(weights, images, labels):
    """Returns the gradient of LeNet's mean cross-entropy by its kernels, as one."""
    layers = [path.removesuffix("/kernel") for path in KERNELS]
    inputs = [images.reshape(len(images), -1) / np.float64(255)]
    for layer in layers:
        x = inputs[-1] @ weights[f"{layer}/kernel"] + weights[f"{layer}/bias"]
        inputs.append(x if layer == "head" else np.maximum(x, 0))
    powers = np.exp(inputs.pop())
    error = powers / powers.sum(axis=1, keepdims=True) - np.eye(10)[labels]
    found = []
    for layer, x in zip(layers[::-1], inputs[::-1], strict=True):
        found.insert(0, x.T @ error / len(images))
        error = error @ weights[f"{layer}/kernel"].T * (x > 0)
    return np.concatenate([one.ravel() for one in found])


# Real tables.


def test_columns():
    assert [field.name for field in dataclasses.fields(Reading)] == [
        *COLUMNS,
        "diverged_iteration",
    ]
    names = [field.name for field in dataclasses.fields(Weight)]
    assert names == [*KEYS, "iteration", "weight", "path", "position", "value"]
    names = [field.name for field in dataclasses.fields(Phase)]
    assert names == [
        *["model", "variant", "dataset", "task", "training_iterations", "config"],
        *["precision", "final_iteration", "gradient_examples", "phase_start"],
        *["phase_end", "num_iterations", "statistic", "num_replicates"],
        *["value", "value_std"],
    ]
    names = [field.name for field in dataclasses.fields(SignChange)]
    changes = ["num_weights", "fraction_of_signs_changed"]
    compared = ["earlier_iteration", "later_iteration"]
    assert names == [*KEYS, "rewind_iteration", "mask", *compared, *changes]
    tables = ["telemetry", "weights", "phases", "sign_changes"]
    assert list(telemetry.TABLES) == tables


def test_every_iteration_of_a_replicate_has_a_row(tiny):
    ended = tiny(telemetry)
    assert ended.code == 0
    table = ended.table("telemetry")
    assert list(table.columns) == [*COLUMNS, "diverged_iteration"]
    found = list(zip(table["replicate"], table["iteration"], strict=True))
    assert found == [(replicate, k) for replicate in (1, 2) for k in ITERATIONS]
    assert table[COLUMNS].notna().all(axis=None)
    assert table["diverged_iteration"].isna().all()
    assert set(table["final_iteration"]) == set(table["training_iterations"]) == {24}
    # Two batches of the recipe's 60, of 150 images.
    assert set(table["gradient_examples"]) == {120}


@pytest.mark.slow
def test_motion_is_that_of_the_stored_weights(tiny, stored):
    for _, row in tiny(telemetry).table("telemetry").iterrows():
        replicate = row["replicate"]
        own = flat(stored(replicate, row["iteration"]))
        initial, final = (flat(stored(replicate, k)) for k in (0, 24))
        expected = {
            "mean_weight_magnitude": np.abs(own).mean(),
            "fraction_of_signs_changed": np.mean(np.sign(own) != np.sign(initial)),
        }
        for name, other in (("initial", initial), ("final", final)):
            length = np.linalg.norm(own) * np.linalg.norm(other)
            expected[f"l2_from_{name}"] = np.linalg.norm(own - other)
            expected[f"cosine_to_{name}"] = own @ other / length
        assert dict(row[list(expected)]) == pytest.approx(expected, rel=1e-12)
    changed = tiny(telemetry).table("telemetry")["fraction_of_signs_changed"]
    assert 0 < changed.max() < 0.5


def test_gradients_are_those_of_the_stored_weights(tiny, stored, runtime, facts):
    source = runtime.source("digits", model="lenet").train
    evaluator = runtime.evaluator(facts.network, facts.data)
    batches = evaluator._random_order("train")[:120].reshape(2, 60)
    for _, row in tiny(telemetry).table("telemetry").iloc[::3].iterrows():
        weights = stored(row["replicate"], row["iteration"])
        found = [
            by_numpy(weights, source.images[batch], source.labels[batch])
            for batch in batches
        ]
        norms = [np.linalg.norm(gradient) for gradient in found]
        assert row["gradient_norm"] == pytest.approx(np.mean(norms), rel=1e-5)
        mean = np.abs(found).mean()
        assert row["mean_gradient_magnitude"] == pytest.approx(mean, rel=1e-5)


def test_ten_weights_of_a_replicate_are_followed(tiny, stored):
    table = tiny(telemetry).table("weights")
    assert len(table) == 2 * len(ITERATIONS) * 10
    for _, row in table.iterrows():
        weights = stored(row["replicate"], row["iteration"])
        assert row["value"] == weights[row["path"]].flat[row["position"]]
    places = {}
    for (replicate, _), own in table.groupby(["replicate", "iteration"]):
        assert list(own["weight"]) == list(range(1, 11))
        place = tuple(zip(own["path"], own["position"], strict=True))
        places.setdefault(replicate, set()).add(place)
    (first,), (second,) = places[1], places[2]
    assert len(set(first)) == 10 and not set(first) & set(second)


def test_signs_are_compared_between_each_pair_of_iterations(tiny, stored):
    table = tiny(telemetry).table("sign_changes")
    pairs = [(0, 4), (0, 20), (4, 20)]
    found = zip(table["earlier_iteration"], table["later_iteration"], strict=True)
    assert list(found) == 2 * pairs
    for _, row in table.iterrows():
        earlier, later = (
            np.sign(flat(stored(row["replicate"], row[f"{which}_iteration"])))
            for which in ("earlier", "later")
        )
        assert row["fraction_of_signs_changed"] == np.mean(earlier != later)
        assert row["num_weights"] == len(earlier)
    # From 0 on it is what stands beside the other telemetry.
    telemetry_ = tiny(telemetry).table("telemetry").set_index("iteration")
    first = telemetry_[telemetry_["replicate"] == 1]["fraction_of_signs_changed"]
    assert list(table["fraction_of_signs_changed"][:2]) == [first[4], first[20]]


def test_which_iterations_are_compared_in_signs(study):
    def compared(**options):
        changes = [
            goal
            for goal in telemetry.plan(study(replicates=1, **options))
            if isinstance(goal, SignChanges)
        ]
        return [(one.earlier.iteration, one.later.iteration) for one in changes]

    usual = {"sign_iterations": None, "training_iterations": 60}
    # The recipe's k of digits are 0, 10, 25, 50 and 100; 25 is not measured.
    assert compared(**usual, iterations=None) == [(0, 10), (0, 50), (10, 50)]
    assert compared(**usual, iterations=(0, 3, 25)) == [(0, 25)]
    assert compared(sign_iterations=(3, "1ep", 3)) == [(3, 24)]
    assert compared(sign_iterations=(3,)) == []
    with pytest.raises(ValueError, match="--sign_iterations names .25., beyond"):
        compared(sign_iterations=(25,))


def test_phases_are_means_over_replicates(tiny):
    ended = tiny(telemetry)
    table, phases = ended.table("telemetry"), ended.table("phases")
    # 500 was not measured.
    ends = phases[["phase_start", "phase_end", "num_iterations"]].drop_duplicates()
    assert ends.values.tolist() == [[0, 10, 4]]
    assert set(phases["num_replicates"]) == {2}
    found = phases.set_index("statistic")
    ten = table[table["iteration"] == 10]
    for name in ("fraction_of_signs_changed", "test_error", "gradient_norm"):
        row = found.loc[f"{name}_at_end"]
        assert row["value"] == pytest.approx(ten[name].mean())
        assert row["value_std"] == pytest.approx(ten[name].std(ddof=1))
    early = table[table["iteration"] <= 10]
    lowest = early.groupby("replicate")["gradient_norm"].min().mean()
    assert found.loc["gradient_norm_minimum"]["value"] == pytest.approx(lowest)
    assert not phases.duplicated(["phase_start", "statistic"]).any()
    assert not any("error_minimum" in name for name in phases["statistic"])


def test_a_replicate_that_lacks_an_iteration_is_in_no_phase(tiny, study, tmp_path):
    shutil.copytree(tiny(telemetry).folder.parent / "store", tmp_path / "store")
    lost = telemetry.plan(study())[2 * len(ITERATIONS) + 3]
    shutil.rmtree(tmp_path / "store" / lost.address)
    found = PartialReader(Store(tmp_path / "store"), unobtainable={})
    tables = telemetry.rows(study(), found)
    table, whole = pandas.DataFrame(tables["telemetry"]), tiny(telemetry)
    # Error and loss of that iteration are there.
    assert list(table[MEASURED].isna().any(axis=1)) == 6 * [False] + [True] + 3 * [
        False
    ]
    assert table[ERRORS].notna().all(axis=None)
    phases = pandas.DataFrame(tables["phases"])
    assert set(phases["num_replicates"]) == {1}
    assert phases["value_std"].isna().all()
    first = whole.table("telemetry")[3:4]["gradient_norm"].item()
    [value] = phases[phases["statistic"] == "gradient_norm_at_end"]["value"]
    assert value == first


@pytest.mark.slow
def test_a_command_makes_a_figure_too(execute):
    ended = execute(telemetry, figure=True, replicates=1, iterations=(0, 5))
    assert (ended.folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    said = json.loads((ended.folder / "config.json").read_text())
    assert said["decisions"]["iterations"] == [0, 5]
    assert said["decisions"]["gradient_examples"] == 150


def test_rows_of_other_options_are_told_apart(execute):
    folders = [
        execute(telemetry, output=str(number), replicates=1, **options).folder
        for number, options in enumerate(
            (
                {},
                {"gradient_examples": 60},
                {"final_iteration": 20},
                {"iterations": (0, 3, 10)},
                {"evaluation_examples": 50},
            )
        )
    ]
    table = results.load(folders, table="telemetry").drop_duplicates()
    keys = ["config", "final_iteration", "gradient_examples", "replicate", "iteration"]
    assert not table.duplicated(keys).any()
    weights = results.load(folders, table="weights").drop_duplicates()
    assert not weights.duplicated(["config", "replicate", "iteration", "weight"]).any()
    phases = results.load(folders, table="phases").drop_duplicates()
    keys = ["config", "final_iteration", "gradient_examples", "num_iterations"]
    assert not phases.duplicated([*keys, "phase_start", "statistic"]).any()


# What is trained.


def test_a_replicate_is_trained_once_and_in_one_go(execute, trainings):
    ended = execute(telemetry)
    assert trainings == [(0, 24)] * 2
    assert "iterations  48 to make" in ended.text
    trainings.clear()
    assert execute(telemetry, output="again").csvs == ended.csvs
    assert trainings == []


def test_the_lottery_goes_on_from_telemetry(execute, trainings, study_of, tmp_path):
    ks = {"rewind_iterations": (0, 8), "replicates": 1}
    assert execute(telemetry, iterations=(0, 8, 10), **ks).code == 0
    assert trainings == [(0, 24)]
    found = study_of(lottery, **ks)
    goals = lottery.plan(found)
    networks = {found.facts.network: found.facts}
    whole = plan_of(goals, Store(tmp_path / "empty"), facts=networks)
    rest = plan_of(goals, Store(tmp_path / "store"), facts=networks)
    assert rest.num_stored == whole.num_iterations - rest.num_iterations == 24
    # The dense network itself is measured already.
    ended = execute(table1, output="table1", replicates=1)
    assert trainings == [(0, 24)]
    assert len(ended.table("accuracy")) == 1


@pytest.fixture
def with_early_phase(register):
    """LeNet under another name, with the paper's variant behind its own."""
    recipe = MODELS["lenet"]["recipes"]["standard"]
    early = recipes.replaced(recipe, learning_rate=6e-4, rewind_iterations=(0, 8))
    register(
        MODELS,
        "second",
        MODELS["lenet"].function,
        recipes={"standard": recipe, "early_phase": early},
        dataset="digits",
        minimum_image_size=1,
    )


@pytest.mark.usefixtures("with_early_phase")
def test_the_trunk_is_that_of_the_papers_lottery(study_of):
    found = study_of(telemetry, model="second")
    assert found.variant == "early_phase"
    of = {"model": "second", "rewind_iterations": None}
    same = study_of(lottery, variant="early_phase", **of)
    assert found.trunk(2).key == same.trunk(2).key
    assert (
        found.trunk(2).key != study_of(lottery, variant="standard", **of).trunk(2).key
    )
    assert Config().model == "resnet20"


def test_no_more_states_than_needed(study):
    iterations = {"iterations": ("1ep", 3, 3), "sign_iterations": None}
    found = study(final_iteration=24, replicates=1, **iterations)
    states = {
        (state.run.key, state.iteration)
        for goal in telemetry.plan(found)
        for state in goal.inputs.values()
    }
    trunk = found.trunk(1).key
    assert states == {(trunk, 0), (trunk, 3), (trunk, 24)}


# Which iterations.


def test_the_usual_iterations_are_dense_at_first_and_the_papers(study):
    found = study(iterations=None, training_iterations=5000)
    usual = telemetry._iterations(found)
    assert usual[:12] == (*range(11), 20) and usual[-1] == 4000
    steps = np.diff(usual)
    assert list(steps) == sorted(steps)
    # All k of the paper's figures are among them, and where its phases end.
    assert {0, 10, 50, 100, 250, 400, 500, 1000, 2000} <= set(usual)
    assert "0 to 4,000 (76 of them), final weights of 5,000" in telemetry.subject(found)
    assert "beyond" not in telemetry.subject(found)


def test_the_usual_iterations_end_where_training_does(study):
    found = study(iterations=None)
    assert telemetry._iterations(found) == (*range(11), 20)
    assert telemetry.subject(found) == (
        "measured at iterations 0 to 20 (12 of them), final weights of 24 (the usual "
        "30 to 4,000: beyond that)"
    )
    assert telemetry._iterations(study(iterations=None, final_iteration=9))[-1] == 9
    # One that a user names may be the last.
    assert telemetry._iterations(study(iterations=(24, 0))) == (0, 24)


def test_final_is_what_is_named(execute, study, stored):
    ended = execute(telemetry, final_iteration=20, replicates=1)
    table = ended.table("telemetry")
    assert set(table["final_iteration"]) == {20}
    assert table["l2_from_final"].iloc[-1] == 0.0
    distance = np.linalg.norm(flat(stored(1, 4)) - flat(stored(1, 20)))
    assert table["l2_from_final"].iloc[2] == pytest.approx(distance, rel=1e-12)
    # What comes after it is not trained.
    assert "iterations  20 to make" in ended.text


# What cannot be made, and what is refused.


def test_what_was_measured_before_a_divergence_is_told(execute, trainings):
    options = {"optimizer": "sgd", "learning_rate": 1e20, "replicates": 1}
    ended = execute(telemetry, **options)
    assert ended.code == endings.INCOMPLETE
    table = ended.table("telemetry")
    assert list(table["iteration"]) == ITERATIONS
    assert (table["diverged_iteration"] > 0).all()
    assert table[ERRORS].iloc[0].notna().all() and table[ERRORS].iloc[-1].isna().all()
    # There is no end to compare with.
    assert table[MEASURED].isna().all(axis=None)
    assert not len(ended.table("weights")) and not len(ended.table("phases"))
    trainings.clear()
    assert execute(telemetry, **options).csvs == ended.csvs and trainings == []


WRONG = {
    r"--iterations names \[25\], beyond the end of training at 24": {
        "iterations": (0, 25)
    },
    r"--final_iteration names \[25\], beyond the end of training": {
        "final_iteration": 25
    },
    r"--final_iteration=10 is iteration 10, but --iterations goes to 20": {
        "final_iteration": 10
    },
    r"--iterations is empty: leave it out": {"iterations": ()},
    r"'1 epoch' is not a duration": {"iterations": ("1 epoch",)},
    r"'-1' is not a duration": {"final_iteration": "-1"},
    r"--gradient_examples=0 has to be at least 1": {"gradient_examples": 0},
    r"--replicates=0 has to be at least 1": {"replicates": 0},
    r"'lenet' has no variant 'early_phase'": {"variant": "early_phase"},
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_options_are_refused(execute, trainings, tmp_path, text):
    with pytest.raises(ValueError, match=text):
        execute(telemetry, **WRONG[text])
    assert trainings == []
    assert not (tmp_path / "output").exists()
