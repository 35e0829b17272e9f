"""Perturbed tickets: which conditions, which runs, and what their rows say."""

import dataclasses
import shutil

import numpy as np
import pytest

from tflottery.components.accuracies import Accuracy
from tflottery.components.perturbing import Perturbed
from tflottery.components.runs import MASK_FILE, State
from tflottery.core.fingerprints import fingerprint
from tflottery.core.recipes import PruningRecipe, Recipe
from tflottery.core.registry import PERTURBATIONS
from tflottery.experiments import effective_noise, lottery, perturbation
from tflottery.experiments.effective_noise import Correlation, NoisePoint
from tflottery.experiments.perturbation import Config
from tflottery.store.store import Store
from tflottery.studies import layer_tables, perturbed_runs
from tflottery.studies.perturbed_runs import NONE, Condition
from tflottery.studies.subnetworks import IMP, Subnetwork, Subnetworks
from tflottery.training import checkpoints

KERNELS = ("dense_1/kernel", "dense_2/kernel", "head/kernel")
_TICKET = Subnetwork(kind=IMP, level=1, replicate=1, rewind_iteration=8)


@pytest.fixture
def study(study_of):
    def make(module=perturbation, **options):
        return study_of(module, **options)

    return make


def measured(study):
    """Returns what measures the networks of a study."""
    return [one for one in perturbation.plan(study) if isinstance(one, Accuracy)]


def conditions(**options):
    options = {"noise_scales": None} | options
    found = dataclasses.replace(Config.tiny(), **options).conditions()
    return [one.text for one in found]


# Conditions.


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (
            {"perturbation": "gaussian_noise"},
            [f"noise_scales={scale}" for scale in ("0.5", "1", "2", "3")],
        ),
        (
            {"perturbation": "sign_magnitude"},
            [f"mixes={mix}" for mix in ("init:init", "fresh:k", "init:k", "k:init")],
        ),
        (
            {"perturbation": "shuffle", "keep_signs": True},
            [
                f"scope={scope} keep_signs=true initial_signs=false"
                for scope in ("globally", "layers", "filters")
            ],
        ),
        (
            {"perturbation": "shuffle", "scope": ("channels",)},
            ["scope=channels keep_signs=false initial_signs=false"],
        ),
        (
            {"perturbation": "gaussian_noise", "noise_scales": (1.5, 4.0)},
            ["noise_scales=1.5", "noise_scales=4"],
        ),
    ],
)
def test_conditions_are_the_paper_s_but_for_what_is_given(options, texts):
    assert conditions(**options) == texts


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"perturbation": "heat"}, "no perturbation 'heat'. Known: gaussian_noise, "),
        (
            {"perturbation": "shuffle", "noise_scales": (1.0,)},
            "'shuffle' does not take noise_scales. Its options: scope, keep_signs",
        ),
        ({"noise_scales": ()}, "--noise_scales is empty: name at least one value"),
        (
            {"noise_scales": (1.0, -1.0)},
            "'gaussian_noise': noise_scales=-1.0, expected",
        ),
        ({"noise_scales": (float("nan"),)}, "noise_scales=nan, expected one finite"),
        (
            {"perturbation": "shuffle", "noise_scales": None, "scope": ("nowhere",)},
            "'shuffle': scope='nowhere', expected one of globally, ",
        ),
        (
            {
                "perturbation": "shuffle",
                "noise_scales": None,
                "keep_signs": True,
                "initial_signs": True,
            },
            "keep_signs and initial_signs are both True",
        ),
        (
            {
                "perturbation": "sign_magnitude",
                "noise_scales": None,
                "mixes": ("k", "init"),
            },
            "mixes='k', expected one 'MAGNITUDES:SIGNS'",
        ),
        ({"options": ("heat=1",)}, "--options='heat=1' has to be NAME=VALUE of an opt"),
        ({"options": ("noise_scales",)}, "--options='noise_scales' has to be NAME=VAL"),
        (
            {"noise_scales": None, "options": ("noise_scales=hot",)},
            "--options='noise_scales=hot': 'hot' is no float",
        ),
        ({"options": ("noise_scales=1",)}, "--noise_scales is also among --options"),
        (
            {"optimizer_state": "carried"},
            "'carried' does not suit changed or pre-train",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    config = dataclasses.replace(Config.tiny(), **options)
    with pytest.raises(ValueError, match=text):
        config.validate()


def test_a_new_perturbation_is_one_registration(register):
    register(
        PERTURBATIONS,
        "halved",
        lambda kernels, masks, **_: kernels,
        version=1,
        options={"scope": ("layers",), "share": (0.5,), "loudly": False},
    )
    config = dataclasses.replace(
        Config.tiny(), perturbation="halved", noise_scales=None
    )
    config.validate()
    assert [one.text for one in config.conditions()] == [
        "scope=layers share=0.5 loudly=false"
    ]
    own = ("share=0.1", "share=2", "loudly=true")
    config = dataclasses.replace(config, options=own)
    assert [one.text for one in config.conditions()] == [
        "scope=layers share=0.1 loudly=true",
        "scope=layers share=2 loudly=true",
    ]
    assert config.conditions()[1].options[1:] == (("share", 2.0), ("loudly", True))


def test_a_value_is_one_condition_however_it_is_written():
    assert conditions(noise_scales=(1.0, 1, 2.0, 1.0)) == [
        "noise_scales=1",
        "noise_scales=2",
    ]
    [whole] = dataclasses.replace(Config.tiny(), noise_scales=(2,)).conditions()
    [exact] = dataclasses.replace(Config.tiny(), noise_scales=(2.0,)).conditions()
    assert fingerprint(list(whole.options)) == fingerprint(list(exact.options))
    close = (1.0, 1.0000001)
    assert conditions(noise_scales=close)[1] == "noise_scales=1.0000001"


def test_the_conditions_of_figure_8_are_fourteen_with_the_ticket_itself():
    found = effective_noise.conditions()
    assert len(set(found)) == len(found) == 13
    by_name = [one.perturbation for one in found]
    assert {name: by_name.count(name) for name in by_name} == {
        "gaussian_noise": 4,
        "sign_magnitude": 3,
        "shuffle": 6,
    }


# Which k.


def test_the_k_are_those_that_the_paper_perturbs(study):
    found = study(rewind_iterations=None, training_iterations=3000)
    assert found.rewind_iterations == (10, 25, 50, 100)
    recipe = Recipe(
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=4,
        training_iterations=9,
        pruning=PruningRecipe(rewind_iterations=(0, 3, 5), perturbed_iterations=(5,)),
    )
    assert Config.tiny().paper_iterations(recipe) == (5,)


@pytest.mark.parametrize("module", [perturbation, effective_noise])
def test_a_training_that_ends_before_every_k_is_refused(study, module):
    options = {"rewind_iterations": None, "training_iterations": 8}
    text = r"the paper studies \(10, 25, 50, 100\) is beyond .* on digits at 8"
    with pytest.raises(ValueError, match=text):
        study(module, **options)


@pytest.mark.parametrize("module", [perturbation, effective_noise])
def test_a_study_of_the_dense_network_alone_is_refused(study, module):
    with pytest.raises(ValueError, match="dense network"):
        module.plan(study(module, levels=("0",)))


# Runs.


def test_only_the_weights_at_k_differ_from_those_of_the_ticket(study):
    found = study()
    ticket = Subnetworks(found).run(_TICKET, data_order=1)
    tried = perturbation.plan(found)
    runs = {
        accuracy.of.run.key: accuracy.of.run
        for accuracy in tried
        if isinstance(accuracy, Accuracy)
        and isinstance(accuracy.of.run.initial, Perturbed)
    }
    # Two levels, two replicates, two scales.
    assert len(runs) == 8
    own = [run for run in runs.values() if run.mask == ticket.mask]
    assert len(own) == 2
    for run in own:
        change = run.initial
        assert dataclasses.replace(run, initial=ticket.initial) == ticket
        assert (change.of.iteration, change.initial.iteration) == (8, 0)
        assert change.mask == ticket.mask
        assert change.of.run == change.initial.run == found.trunk(1)
    assert len({run.initial.seed for run in runs.values()}) == 4


def test_the_tickets_are_those_of_the_lottery(study, study_of):
    options = {"levels": ("1-2",), "replicates": 2}
    theirs = study_of(lottery, rewind_iterations=(0, 8), **options)
    known = {one.key for one in lottery.plan(theirs)}
    mine = [
        one
        for one in measured(study(**options))
        if not isinstance(one.of.run.initial, Perturbed)
    ]
    # Dense, and two levels at two k, of two replicates.
    assert len(mine) == 2 + 8
    assert {one.key for one in mine} <= known


def test_effective_noise_reuses_the_runs_of_the_perturbations(study):
    options = {"levels": ("1-2",), "replicates": 1, "training_iterations": 24}
    noisy = study(noise_scales=None, **options)
    figure_7 = {
        one.key
        for one in measured(noisy)
        if one.of.run.mask is not None
        and one.of.run.mask.num_survivors == Subnetworks(noisy).num_survivors(2)
    }
    # Two tickets, four scales.
    assert len(figure_7) == 6
    noise = study(effective_noise, **options)
    figure_8 = {one.key for one in effective_noise.plan(noise)}
    assert figure_7 <= figure_8


# Rows.


def test_rows_of_the_tiny_experiment(tiny):
    table = tiny(perturbation).table("accuracy")
    assert set(table.perturbation) == {NONE, "gaussian_noise"}
    dense = table[table.subnetwork == "dense"]
    assert len(dense) == 2 and (dense.effective_std == 0).all()
    sparse = table[table.subnetwork == IMP]
    assert (sparse.data_order == 1).all()
    ticket = sparse[sparse.perturbation == NONE]
    assert set(ticket.rewind_iteration) == {0, 8}
    noisy = sparse[sparse.perturbation != NONE]
    assert set(noisy.rewind_iteration) == {8} and set(noisy.level) == {1, 2}
    assert sparse.matching.notna().all() and dense.matching.isna().all()
    # Noise of n standard deviations of each layer's own: most are in the first layer,
    # whose 64 inputs make that sqrt(2 / 64).
    sigma = np.sqrt(2 / 64)
    for scale in (0.5, 3.0):
        own = noisy[noisy.condition == f"noise_scales={scale:g}"]
        assert len(own) == 4
        assert own.effective_std.between(0.5 * scale * sigma, 1.1 * scale * sigma).all()
        assert (own.effective_mean.abs() < 0.05 * scale * sigma).all()
        assert (own.effective_std_of_all < own.effective_std).all()


def test_how_far_each_layer_is_moved(tiny):
    ended = tiny(perturbation)
    table, layers = ended.table("accuracy"), ended.table("perturbed_layers")
    noisy = table[table.perturbation != NONE]
    assert len(layers) == 3 * len(noisy)
    keys = ["level", "replicate", "rewind_iteration", "condition", "mask"]
    for _, network in noisy.iterrows():
        own = layers.merge(network[keys].to_frame().T.infer_objects(), on=keys)
        scale = float(network.condition.removeprefix("noise_scales="))
        assert list(own.kernel) == ["dense_1/kernel", "dense_2/kernel", "head/kernel"]
        sigma = np.sqrt(2 / np.array([64, 300, 100]))
        assert list(own.initial_std) == pytest.approx(sigma)
        ratio = own.effective_std / (scale * sigma)
        assert ratio[:2].between(0.95, 1.05).all() and 0.85 < ratio[2] < 1.15
        # Together they are what stands beside the accuracy.
        share = own.num_survivors / own.num_survivors.sum()
        mean = (share * own.effective_mean).sum()
        square = (share * (own.effective_std**2 + own.effective_mean**2)).sum()
        assert network.effective_mean == pytest.approx(mean)
        assert network.effective_std == pytest.approx(np.sqrt(square - mean**2))


def test_the_unit_of_noise_of_a_layer_is_that_of_the_recipes_initializer(study):
    found = study(kernel_initializer="glorot_uniform")

    class Results:
        def read(self, artifact, read):
            moved = {"num_weights": 1, "std": 1.0, "mean": 0.0}
            return {"layers": dict.fromkeys(KERNELS, moved)}

    planned = perturbed_runs.networks(found, found.config.conditions(), levels=(1,))
    rows = layer_tables.perturbed(found, planned, Results())
    expected = np.sqrt(2 / np.array([64 + 300, 300 + 100, 100 + 10]))
    assert [row.initial_std for row in rows[:3]] == pytest.approx(expected)


def test_signs_are_compared_over_all_weights_and_over_survivors(tiny, study):
    ended = tiny(perturbation)
    table = ended.table("sign_changes")
    store = Store(ended.folder.parent / "store")
    # Dense, and two levels at two k, of two replicates.
    assert len(table) == 2 + 2 * 2 * 2
    assert set(table.earlier_iteration) == {0} and set(table.later_iteration) == {8}
    for row in table.itertuples():
        run = study().trunk(row.replicate)
        earlier, later = (
            checkpoints.read_weights(store.open(State(run, k).address)) for k in (0, 8)
        )
        masks = {path: np.ones_like(earlier[path]) for path in KERNELS}
        if row.subnetwork == IMP:
            masks = checkpoints.read_arrays(store.open(row.mask) / MASK_FILE)
        counted, changed = 0, 0
        for path, mask in masks.items():
            differs = np.sign(earlier[path]) != np.sign(later[path])
            changed += differs[mask != 0].sum()
            counted += int(mask.sum())
        assert row.num_weights == counted
        assert row.fraction_of_signs_changed == changed / counted
    assert table[table.subnetwork == IMP].num_weights.max() == 0.8 * 50_200


def test_points_and_correlation_of_the_tiny_experiment(tiny):
    ended = tiny(effective_noise)
    points = ended.table("points")
    # Dense kernels have no filters to shuffle within: two of the 14 are the ticket.
    assert len(points) == 12
    assert not points.condition.str.contains("filters").any()
    [row] = ended.table("correlation").itertuples()
    assert (row.num_points, row.rewind_iteration, row.level) == (12, 8, 1)
    expected = np.corrcoef(points.effective_std, 1 - points.test_error_mean)[0, 1]
    assert row.r == pytest.approx(expected)
    assert 0 <= row.p <= 1
    # The ticket of iteration 0 is in the table, but is no perturbation of k.
    accuracy = ended.table("accuracy")
    assert set(accuracy.rewind_iteration) == {0, 8}
    assert set(points.rewind_iteration) == {8}


def test_means_are_over_replicates_and_diverged_ones_do_not_count():
    keys = {
        "model": "lenet",
        "variant": "standard",
        "task": "labels",
        "dataset": "digits",
        "training_iterations": 24,
        "config": "c",
        "subnetwork": IMP,
        "level": 1,
        "density": 0.8,
        "axis_density": 0.8,
        "data_order": 1,
        "rewind_iteration": 8,
        "network": "runs/a/00000024",
        "mask": "masks/a",
    }

    def row(perturbation, replicate, std, error):
        return perturbed_runs.PerturbedNetwork(
            **keys,
            perturbation=perturbation,
            condition="",
            replicate=replicate,
            effective_std=std,
            effective_mean=0.0,
            test_error=error,
            diverged_iteration=None if error is not None else 9,
        )

    table = [
        row(NONE, 1, 0.0, 0.1),
        row(NONE, 2, 0.0, 0.2),
        row("a", 1, 1.0, 0.3),
        row("a", 2, 3.0, None),
        row("b", 1, 2.0, 0.4),
        row("c", 1, 0.0, 0.1),
        row("c", 2, 0.0, 0.2),
    ]
    points = effective_noise._points(table, ks=(8,))
    found = [
        (p.perturbation, p.num_replicates, p.effective_std, p.test_error_mean)
        for p in points
    ]
    assert found == [
        (NONE, 2, 0.0, pytest.approx(0.15)),
        ("a", 1, 1.0, 0.3),
        ("b", 1, 2.0, 0.4),
    ]
    assert points[0].test_error_std == pytest.approx(np.std([0.1, 0.2], ddof=1))
    assert points[1].test_error_std is None
    [correlation] = effective_noise._correlations(points)
    assert isinstance(correlation, Correlation) and isinstance(points[0], NoisePoint)
    expected = np.corrcoef([0, 1, 2], [0.85, 0.7, 0.6])[0, 1]
    assert correlation.r == pytest.approx(expected)
    [few] = effective_noise._correlations(points[:2])
    assert (few.num_points, few.r, few.p) == (2, None, None)


def test_a_diverged_perturbation_has_a_row(execute, monkeypatch):
    def infinite(kernels, masks, *, initial, initializers, seed, noise_scales):
        return {path: kernel * np.float32(1e30) for path, kernel in kernels.items()}

    known = PERTURBATIONS["gaussian_noise"]
    monkeypatch.setitem(
        PERTURBATIONS._entries,
        "gaussian_noise",
        dataclasses.replace(known, function=infinite),
    )
    ended = execute(perturbation, replicates=1, levels=("1",), noise_scales=(1.0,))
    assert ended.code == 1
    table = ended.table("accuracy")
    [row] = table[table.perturbation != NONE].itertuples()
    assert row.diverged_iteration == 8
    assert np.isnan(row.test_error) and row.effective_std > 1e20
    assert table[table.perturbation == NONE].test_error.notna().all()


def test_what_the_rows_say_of_a_change_is_planned(execute, tiny, tmp_path):
    first = tiny(effective_noise)
    shutil.copytree(first.folder.parent / "store", tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "perturbed")
    again = execute(effective_noise)
    assert (again.code, again.csvs) == (0, first.csvs)


def test_a_condition_without_options_has_no_text():
    assert Condition().text == ""
