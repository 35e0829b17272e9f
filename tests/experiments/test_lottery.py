"""The lottery's tables: which rows there are, and what stands in them."""

import dataclasses
import itertools
import json

import numpy as np
import pandas
import pytest

from tflottery import results
from tflottery.components.accuracies import ACCURACY_FILE, Accuracy
from tflottery.components.mask_counts import MaskCounts
from tflottery.components.runs import MASK_FILE, State
from tflottery.execution.results_reader import PartialReader
from tflottery.execution.run_index import divergence_address
from tflottery.experiments import lottery
from tflottery.experiments.lottery import Best
from tflottery.store.store import Store
from tflottery.studies import endings
from tflottery.studies.accuracy_table import TrainedNetwork
from tflottery.studies.subnetworks import (
    DENSE,
    IMP,
    RANDOM_PRUNING,
    RANDOM_REINIT,
    Subnetwork,
    Subnetworks,
)
from tflottery.training import checkpoints

_TICKET = Subnetwork(kind=IMP, level=1, replicate=1, rewind_iteration=8)
SETTING = ["model", "variant", "dataset", "task", "training_iterations", "config"]
SETTING += ["precision"]
KEYS = [*SETTING, "subnetwork", "level", "density", "axis_density"]
KEYS += ["replicate", "rewind_iteration", "data_order"]
ADDRESSES = ["network", "mask"]
MEASURED = ["train_error", "test_error", "train_loss", "test_loss"]
COLUMNS = [*KEYS, *ADDRESSES, *MEASURED, "matching", "diverged_iteration"]
BEST_KEYS = [*SETTING, "level", "density", "axis_density"]


@pytest.fixture
def study(study_of):
    def make(**options):
        return study_of(lottery, **options)

    return make


def measured(study):
    """Returns what measures the networks of a study."""
    return [one for one in lottery.plan(study) if isinstance(one, Accuracy)]


def places(table):
    """Returns which networks a table has rows of, in order."""
    names = ["subnetwork", "level", "replicate", "data_order", "rewind_iteration"]
    return [tuple(row) for row in table[names].itertuples(index=False)]


# A real table.


def test_columns():
    assert [field.name for field in dataclasses.fields(TrainedNetwork)] == COLUMNS
    names = [field.name for field in dataclasses.fields(Best)]
    assert names == [
        *BEST_KEYS,
        "rewind_iteration",
        "num_rewind_iterations",
        "num_networks",
        "test_error_mean",
        "test_error_std",
        "dense_test_error_mean",
        "dense_test_error_std",
        "matching",
        "studied",
    ]


def test_every_network_has_a_row_of_its_own(tiny):
    table = tiny(lottery).table("accuracy")
    assert list(table.columns) == COLUMNS
    both, levels = (1, 2), (1, 2)
    expected = {(DENSE, 0, replicate, 0, 0) for replicate in both}
    for level, replicate in itertools.product(levels, both):
        expected |= {(IMP, level, replicate, 1, k) for k in (0, 8)}
        # The random kinds begin at the first k alone.
        expected |= {
            (kind, level, replicate, 1, 0) for kind in (RANDOM_PRUNING, RANDOM_REINIT)
        }
    found = places(table)
    assert set(found) == expected and len(found) == len(expected)
    assert not table.duplicated(KEYS).any()
    assert table[[*KEYS, *MEASURED]].notna().all(axis=None)
    # Every network can be found in the store, and so can the masks of the pruned.
    assert table["network"].is_unique and table["network"].str.match("runs/").all()
    assert (table["mask"].isna() == (table["subnetwork"] == DENSE)).all()
    store = Store(tiny(lottery).folder.parent / "store")
    for address in table[ADDRESSES].stack().dropna():
        assert store.has(address)
    # Of dense networks it would say nothing.
    assert (table["matching"].isna() == (table["subnetwork"] == DENSE)).all()
    assert table["diverged_iteration"].isna().all()


def test_errors_and_densities_of_a_real_table(tiny):
    table = tiny(lottery).table("accuracy")
    # Tiny measures 100 images of each split.
    for name in ("train_error", "test_error"):
        assert table[name].between(0, 1).all()
        assert np.allclose(100 * table[name], np.round(100 * table[name]))
    assert (table[["train_loss", "test_loss"]] > 0).all(axis=None)
    # 40,160 and 32,128 of 50,200.
    assert dict(zip(table["level"], table["density"], strict=True)) == {
        0: 1.0,
        1: 0.8,
        2: 0.64,
    }
    assert (table["axis_density"] == table["density"]).all()


def test_the_error_is_that_of_the_stored_weights(tiny, study, runtime, facts):
    """Worked out by a forward pass of LeNet in numpy, in float64."""
    ended = tiny(lottery)
    accuracies = measured(study())
    table = ended.table("accuracy")
    source = runtime.source("digits", model="lenet")
    evaluator = runtime.evaluator(facts.network, facts.data)
    chosen = {split: evaluator.examples(split, 100) for split in ("train", "test")}
    assert len(accuracies) == len(table)
    store = Store(ended.folder.parent / "store")
    for accuracy, (_, row) in zip(accuracies, table.iterrows(), strict=True):
        weights = checkpoints.read_weights(store.open(accuracy.of.address))
        for split, images in chosen.items():
            data = getattr(source, split)
            x = data.images[images].reshape(100, -1) / np.float64(255)
            for layer in ("dense_1", "dense_2", "head"):
                x = x @ weights[f"{layer}/kernel"] + weights[f"{layer}/bias"]
                x = x if layer == "head" else np.maximum(x, 0)
            wrong = x.argmax(axis=1) != data.labels[images]
            assert row[f"{split}_error"] == wrong.mean()
            correct = x[np.arange(100), data.labels[images]]
            losses = np.log(np.exp(x).sum(axis=1)) - correct
            assert row[f"{split}_loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_survivors_of_every_kernel_of_a_mask(tiny):
    ended = tiny(lottery)
    networks, layers = ended.table("accuracy"), ended.table("mask_layers")
    keys = [name for name in KEYS if name != "data_order"]
    assert not layers.duplicated([*keys, "kernel"]).any()
    store = Store(ended.folder.parent / "store")
    sparse = networks[networks["subnetwork"] != DENSE]
    assert len(layers) == 3 * len(sparse)
    for _, network in sparse.iterrows():
        own = layers.merge(network[keys].to_frame().T.infer_objects(), on=keys)
        sizes = dict(zip(own["kernel"], own["num_weights"], strict=True))
        assert sizes == {
            "dense_1/kernel": 64 * 300,
            "dense_2/kernel": 300 * 100,
            "head/kernel": 100 * 10,
        }
        assert set(own["mask"]) == {network["mask"]}
        masks = checkpoints.read_arrays(store.open(network["mask"]) / MASK_FILE)
        counts = [int(masks[path].sum()) for path in sizes]
        assert list(own["num_survivors"]) == counts
        assert sum(counts) == round(network["density"] * 50_200)
        assert (
            own["kernel_density"] == own["num_survivors"] / own["num_weights"]
        ).all()
    # How many survive is found, and pools over replicates.
    found = results.summary(layers, of="kernel_density")
    assert set(found["kernel_density_count"]) == {2}


def test_copies_on_several_orders_have_one_mask(study):
    found = study(replicates=1, levels=("1",), subnetworks=(IMP,), data_orders=3)
    counted = [one for one in lottery.plan(found) if isinstance(one, MaskCounts)]
    # Two k share the first mask.
    assert len(counted) == 1


def test_matching_of_a_real_table_by_hand(tiny):
    table = tiny(lottery).table("accuracy")
    dense = table[table["subnetwork"] == DENSE]["test_error"]
    limit = dense.mean() + dense.std(ddof=1)
    sparse = table[table["subnetwork"] != DENSE]
    assert list(sparse["matching"]) == list(sparse["test_error"] <= limit)
    assert sparse["matching"].nunique() == 2


def test_the_best_of_a_real_table_by_hand(tiny):
    ended = tiny(lottery)
    table, best = ended.table("accuracy"), ended.table("best")
    imp = table[table["subnetwork"] == IMP]
    assert list(best["level"]) == [1, 2]
    for _, row in best.iterrows():
        networks = imp[imp["level"] == row["level"]]
        means = networks.groupby("rewind_iteration")["test_error"].mean()
        assert row["test_error_mean"] == pytest.approx(means.min())
        chosen = networks[networks["rewind_iteration"] == row["rewind_iteration"]]
        assert chosen["test_error"].mean() == pytest.approx(means.min())
        assert row["test_error_std"] == pytest.approx(chosen["test_error"].std())
        assert row["num_networks"] == len(chosen) == 2
        assert row["num_rewind_iterations"] == 2


def test_a_command_makes_a_figure_too(execute):
    ended = execute(
        lottery, figure=True, levels=("1",), subnetworks=(IMP,), replicates=1
    )
    names = {path.name for path in ended.folder.iterdir()}
    tables = {f"{name}.csv" for name in lottery.TABLES}
    assert names == {*tables, "config.json", "figure.png", "log.txt"}
    said = json.loads((ended.folder / "config.json").read_text())
    assert said["experiment"] == "lottery"
    assert said["decisions"]["levels"] == [1]
    assert said["decisions"]["pruning_fraction"] == 0.2


def test_controls_alone_have_a_figure_too(execute):
    ended = execute(
        lottery, figure=True, levels=("1",), subnetworks=(RANDOM_PRUNING,), replicates=1
    )
    assert (ended.folder / "figure.png").exists()
    assert len(ended.table("best")) == 0


def test_tables_of_two_commands_go_together(execute):
    one = execute(lottery, output="one", levels=("1",))
    two = execute(
        lottery,
        output="two",
        subnetworks=(RANDOM_PRUNING, IMP),
        random_rewind_iterations=(8,),
        rewind_iterations=(8,),
    )
    rows = results.load(one.folder, two.folder, table="accuracy").drop_duplicates()
    assert not rows.duplicated(KEYS).any()
    assert rows["config"].nunique() == 1


def test_tables_of_other_settings_are_told_apart(study):
    hashes = [
        study(**options).config_hash
        for options in (
            {},
            {"pruning_fraction": 0.3},
            {"one_shot": True},
            {"random_counts": "global"},
            {"first_pruning": "copy"},
            {"optimizer_state": "carried"},
        )
    ]
    assert len(set(hashes)) == len(hashes)
    for same in (
        {"pruning_fraction": 0.2},
        {"one_shot": False},
        {"levels": ("1",)},
        {"data_orders": 3},
        {"subnetworks": (IMP,)},
        {"random_rewind_iterations": (4,)},
    ):
        assert study(**same).config_hash == hashes[0], same


# Which networks are asked for.


def names_of(study):
    """Returns the networks of a plan as (kind, level, replicate, data order, k)."""
    everything = {}
    sparse = Subnetworks(study)
    for kind, level, k in itertools.product(
        (IMP, RANDOM_PRUNING, RANDOM_REINIT), range(1, 4), (0, 4, 8)
    ):
        for replicate, data_order in itertools.product((1, 2), (1, 2)):
            one = Subnetwork(
                kind=kind, level=level, replicate=replicate, rewind_iteration=k
            )
            run = sparse.run(one, data_order=data_order)
            everything[run.key] = (kind, level, replicate, data_order, k)
    for replicate in (1, 2):
        everything[study.trunk(replicate).key] = (DENSE, 0, replicate, 0, 0)
    return [everything[accuracy.of.run.key] for accuracy in measured(study)]


def test_the_random_kinds_begin_at_their_own_k(study):
    found = names_of(
        study(replicates=1, levels=("1",), random_rewind_iterations=(4, 8))
    )
    assert {name[0::4] for name in found} == {
        (DENSE, 0),
        (IMP, 0),
        (IMP, 8),
        (RANDOM_PRUNING, 4),
        (RANDOM_PRUNING, 8),
        (RANDOM_REINIT, 4),
        (RANDOM_REINIT, 8),
    }
    found = names_of(study(replicates=1, levels=("1",), rewind_iterations=(8, 4)))
    assert {name[4] for name in found if name[0] == RANDOM_REINIT} == {4}


def test_kinds_and_data_orders(study):
    found = names_of(study(replicates=1, subnetworks=(RANDOM_REINIT,), data_orders=2))
    assert sorted(found) == [
        (DENSE, 0, 1, 0, 0),
        (RANDOM_REINIT, 1, 1, 1, 0),
        (RANDOM_REINIT, 1, 1, 2, 0),
        (RANDOM_REINIT, 2, 1, 1, 0),
        (RANDOM_REINIT, 2, 1, 2, 0),
    ]


# Tables of made-up errors.


@pytest.fixture
def tables_of(study, tmp_path):
    """Returns the tables of made-up test errors, by kind, level, replicate and k.

    All other networks have diverged, and their rows are left out; or nothing is known
    of them.
    """

    def make(errors, *, others="diverged", **options):
        found, store = study(**options), Store(tmp_path)
        sparse = Subnetworks(found)
        for (kind, level, replicate, k), error in errors.items():
            run = found.trunk(replicate)
            if level:
                one = Subnetwork(
                    kind=kind, level=level, replicate=replicate, rewind_iteration=k
                )
                run = sparse.run(one, data_order=1)
            accuracy = Accuracy(State(run, 24), 100)
            values = {name: 0.5 for name in MEASURED} | {"test_error": error}
            with store.writing(accuracy.address, {}) as folder:
                (folder / ACCURACY_FILE).write_text(json.dumps(values))
        goals = [goal.address for goal in lottery.plan(found)]
        lost = {one: 9 for one in goals if not store.has(one)}
        unobtainable = lost if others == "diverged" else {}
        tables = lottery.rows(found, PartialReader(store, unobtainable=unobtainable))
        measured = [row for row in tables["accuracy"] if row.diverged_iteration is None]
        tables |= {"accuracy": measured}
        return {name: pandas.DataFrame(rows) for name, rows in tables.items()}

    return make


# Mean 0.3, standard deviation 0.1414.
_DENSE = {(DENSE, 0, 1, 0): 0.2, (DENSE, 0, 2, 0): 0.4}


def errors_of(level, k, *values):
    return {
        (IMP, level, replicate, k): value
        for replicate, value in enumerate(values, start=1)
    }


def test_matching_is_within_a_standard_deviation_of_the_dense_mean(tables_of):
    table = tables_of(
        _DENSE
        | errors_of(1, 0, 0.44, 0.45)
        | errors_of(1, 8, 0.0, 1.0)
        | {(RANDOM_PRUNING, 1, 1, 0): 0.441, (RANDOM_REINIT, 1, 1, 0): 0.442}
    )["accuracy"]
    found = {
        place: matching
        for place, matching in zip(places(table), table["matching"], strict=True)
    }
    assert found == {
        (DENSE, 0, 1, 0, 0): None,
        (DENSE, 0, 2, 0, 0): None,
        (IMP, 1, 1, 1, 0): True,
        (IMP, 1, 2, 1, 0): False,
        (IMP, 1, 1, 1, 8): True,
        (IMP, 1, 2, 1, 8): False,
        (RANDOM_PRUNING, 1, 1, 1, 0): True,
        (RANDOM_REINIT, 1, 1, 1, 0): False,
    }


def test_the_best_k_of_each_level(tables_of):
    best = tables_of(
        _DENSE
        | errors_of(1, 0, 0.3, 0.5)
        | errors_of(1, 8, 0.1, 0.3)
        | errors_of(2, 0, 0.35, 0.45)
        | errors_of(2, 8, 0.6, 0.6)
        # A control that does better than IMP is none of its k.
        | {(RANDOM_PRUNING, 2, 1, 0): 0.0}
    )["best"]
    assert list(best["level"]) == [1, 2]
    assert list(best["rewind_iteration"]) == [8, 0]
    assert list(best["test_error_mean"]) == pytest.approx([0.2, 0.4])
    assert list(best["test_error_std"]) == pytest.approx([np.sqrt(0.02), np.sqrt(5e-3)])
    assert list(best["dense_test_error_mean"]) == pytest.approx([0.3, 0.3])
    assert list(best["dense_test_error_std"]) == pytest.approx([np.sqrt(0.02)] * 2)
    assert list(best["density"]) == [0.8, 0.64]
    assert list(best["matching"]) == [True, True]
    # The sparsest that matches.
    assert list(best["studied"]) == [False, True]


def test_of_equal_k_the_earlier_is_the_best(tables_of):
    best = tables_of(_DENSE | errors_of(1, 8, 0.2, 0.4) | errors_of(1, 0, 0.4, 0.2))
    assert list(best["best"]["rewind_iteration"]) == [0]


def test_a_k_that_lacks_a_network_is_not_the_best(tables_of):
    best = tables_of(
        _DENSE
        | errors_of(1, 0, 0.5, 0.5)
        | errors_of(1, 8, 0.0)
        | errors_of(2, 0, 0.0)
        | errors_of(2, 8, 0.0)
    )["best"]
    assert list(best["level"]) == [1]
    assert list(best["rewind_iteration"]) == [0]
    assert list(best["num_rewind_iterations"]) == [1]


def test_nothing_is_compared_with_a_part_of_the_networks(tables_of):
    one = (
        errors_of(1, 0, 0.3, 0.3) | errors_of(1, 8, 0.2, 0.2) | {(DENSE, 0, 1, 0): 0.3}
    )
    tables = tables_of(one, others="unknown")
    assert len(tables["accuracy"]) == 5 and not len(tables["best"])
    assert list(tables["accuracy"]["matching"]) == [None] * 5
    # With the other dense network level 1 is whole; the studied one may be level 2.
    tables = tables_of(one | _DENSE, others="unknown")
    assert list(tables["best"]["level"]) == [1]
    assert list(tables["best"]["studied"]) == [None]
    # Of level 2 the networks of one k are unknown, and could be better.
    tables = tables_of(one | _DENSE | errors_of(2, 0, 0.3, 0.3), others="unknown")
    assert list(tables["best"]["level"]) == [1]


def test_the_studied_level_may_lie_beyond_levels_that_do_not_match(tables_of):
    best = tables_of(
        _DENSE
        | errors_of(1, 0, 0.9, 0.9)
        | errors_of(2, 0, 0.3, 0.3)
        | errors_of(3, 0, 0.5, 0.5),
        levels=("1-3",),
    )["best"]
    assert list(best["matching"]) == [False, True, False]
    assert list(best["studied"]) == [False, True, False]


def test_no_level_is_studied_where_none_matches(tables_of):
    best = tables_of(_DENSE | errors_of(1, 0, 0.9, 0.9))["best"]
    assert list(best["matching"]) == list(best["studied"]) == [False]


def test_one_replicate_says_nothing_of_matching(tables_of):
    tables = tables_of(
        {(DENSE, 0, 1, 0): 0.2} | errors_of(1, 0, 0.1) | errors_of(2, 0, 0.1),
        replicates=1,
    )
    assert list(tables["accuracy"]["matching"]) == [None] * 3
    best = tables["best"]
    assert list(best["matching"]) == list(best["studied"]) == [None, None]
    assert list(best["test_error_std"]) == [None, None]
    assert list(best["num_networks"]) == [1, 1]


def test_what_is_not_measured_has_no_row(tables_of):
    assert all(not len(table) for table in tables_of({}).values())
    tables = tables_of(errors_of(1, 0, 0.1))
    assert len(tables["accuracy"]) == 1 and not len(tables["best"])


# What cannot be made, and what is refused.


def test_a_diverged_subnetwork_takes_only_what_comes_of_it_along(
    execute, study, tmp_path, tiny
):
    lost = Subnetworks(study()).run(_TICKET, data_order=1)
    with Store(tmp_path / "store").writing(divergence_address(lost), {"iteration": 11}):
        pass
    ended = execute(lottery)
    assert ended.code == endings.INCOMPLETE
    assert "diverged" in ended.text
    table, whole = ended.table("accuracy"), tiny(lottery).table("accuracy")
    assert places(table) == places(whole)
    found = table["diverged_iteration"].notna()
    # Level 2 of that chain has no mask without it.
    assert [
        one for one, is_lost in zip(places(table), found, strict=True) if is_lost
    ] == [
        (IMP, 1, 1, 1, 8),
        (IMP, 2, 1, 1, 8),
    ]
    assert set(table[found]["diverged_iteration"]) == {11}
    assert table[found][[*MEASURED, "matching"]].isna().all(axis=None)
    columns = [*KEYS, *MEASURED]
    assert table[~found][columns].equals(whole[~found][columns])


def test_a_setting_in_which_all_diverges_is_told(execute, trainings):
    options = {"optimizer": "sgd", "learning_rate": 1e20, "replicates": 1}
    ended = execute(lottery, figure=True, **options)
    assert ended.code == endings.INCOMPLETE
    assert (ended.table("accuracy")["diverged_iteration"] > 0).all()
    assert len(ended.table("best")) == 0
    trainings.clear()
    again = execute(lottery, **options)
    assert again.csvs == ended.csvs and trainings == []


WRONG = {
    r"--subnetworks='' has to name some of imp, random_pruning, random_reinit": {
        "subnetworks": ()
    },
    r"--subnetworks='imp,dense' has to name some of": {"subnetworks": (IMP, DENSE)},
    r"--subnetworks='winning' has to": {"subnetworks": ("winning",)},
    r"--subnetworks='imp,imp' names imp twice": {"subnetworks": (IMP, IMP)},
    r"--levels=.*1-2.* and --density=0.5 say the same": {"density": 0.5},
    r"'-1' names no levels.*9-30:3": {"levels": ("-1",)},
    r"'0' names no levels": {"levels": ("0",)},
    r"'3-1' names no levels": {"levels": ("3-1",)},
    r"--density=0.0 has to be above 0": {"levels": None, "density": 0.0},
    r"--density=3.5 has to be .* 3.5% is 0.035": {"levels": None, "density": 3.5},
    # 50,200 * 0.8^51 is 0.57, which is 1.
    r"level=52 leaves none of 50200 weights": {"levels": ("1-52",)},
    r"pruning_fraction=1.0 has to be in \(0, 1\)": {"pruning_fraction": 1.0},
    r"--first_convolutions=0 has to be at least 1": {"first_convolutions": 0},
    r"this network has no convolutions": {"first_convolutions": 1},
    r"random_counts='layer' has to be one of .*per_layer.*global": {
        "random_counts": "layer"
    },
    r"first_pruning='branch' has to be one of .*trunk.*copy": {
        "first_pruning": "branch"
    },
    r"--random_rewind_iterations names \[25\], beyond the end of training at 24": {
        "random_rewind_iterations": (0, 25)
    },
    r"--random_rewind_iterations is empty: leave it out": {
        "random_rewind_iterations": ()
    },
    r"'1 epoch' is not a duration": {"random_rewind_iterations": ("1 epoch",)},
    r"--data_orders=0 has to be at least 1": {"data_orders": 0},
    r"gradual_pruning trains by another .* --precision=mixed_bfloat16": {
        "subnetworks": ("gradual_pruning",),
        "precision": "mixed_bfloat16",
    },
    r"gradual_pruning trains by another library.* --task=exemplar": {
        "subnetworks": ("gradual_pruning",),
        "task": "exemplar",
    },
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_options_are_refused(execute, trainings, tmp_path, text):
    with pytest.raises(ValueError, match=text):
        execute(lottery, **WRONG[text])
    assert trainings == []
    assert not (tmp_path / "output").exists()
