"""Pre-training: which runs, what they begin from, and what their rows say."""

import dataclasses

import numpy as np
import pytest

from tflottery.components.accuracies import Accuracy
from tflottery.components.runs import Initialization, State
from tflottery.components.transferring import BodyMask, Transferred
from tflottery.core import seeds
from tflottery.core.initializers import Initializers
from tflottery.experiments import lottery, pretraining
from tflottery.experiments.pretraining import Config
from tflottery.store.store import Store
from tflottery.studies.pretraining_runs import Pretraining, sparse_run, trunk
from tflottery.studies.subnetworks import IMP, RANDOM_REINIT, Subnetwork, Subnetworks
from tflottery.training import checkpoints
from tflottery.training.distribution import Placement

# Of the digits, in batches of 60.
_ITERATIONS_PER_EPOCH = 24


@pytest.fixture
def study(study_of):
    def make(**options):
        return study_of(pretraining, **options)

    return make


def pretraining_run(run):
    """Returns the run on the pretext task that a run begins from."""
    assert isinstance(run.initial, Transferred)
    return run.initial.of.run


def measured(study):
    """Returns what measures the networks of a study."""
    return [goal for goal in pretraining.plan(study) if isinstance(goal, Accuracy)]


def beginning(run):
    """Returns what the trunk begins from that a run, maybe a ticket's, goes back to."""
    return run.initial.run.initial if isinstance(run.initial, State) else run.initial


# Options.


def test_the_defaults_are_figures_9_and_10():
    dense, sparse = Config(), Config(sparse=True)
    assert dense.pretexts() == ("random_labels", "rotation", "blur", "blur_rotation")
    assert dense.lengths() == (2, 5, 10, 40)
    assert (sparse.pretexts(), sparse.lengths()) == (("rotation",), (40,))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pretext": ("jigsaw",)}, "no task 'jigsaw'. Known: labels, blur, "),
        ({"pretext": ()}, "have to name at least one each"),
        ({"pretraining_epochs": ()}, "have to name at least one each"),
        ({"pretraining_epochs": (2, 0)}, "--pretraining_epochs=0 has to be at least 1"),
        (
            {"optimizer_state": "carried"},
            "'carried' does not suit changed or pre-train",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        dataclasses.replace(Config.tiny(), **options).validate()


# Runs.


def test_a_pre_trained_trunk_begins_where_the_pretext_left_it(study):
    found = study()
    run = trunk(found, Pretraining("rotation", 2), 1)
    ordinary = found.trunk(1)
    assert dataclasses.replace(run, initial=ordinary.initial) == ordinary
    before = run.initial.of
    assert before.iteration == 2 * _ITERATIONS_PER_EPOCH
    assert before.run.data.pretext == "rotation"
    assert before.run.network.num_classes == 4
    # From the replicate's own initial weights, and so is the head it gets back.
    assert before.run.initial == ordinary.initial
    assert run.initial.seed == seeds.init_seed(1)
    assert before.run.data_order_seed != ordinary.data_order_seed


def test_several_threads_pre_train_runs_of_their_own(study):
    found = study()
    threaded = dataclasses.replace(found, placement=Placement(threads=4))
    runs = [
        pretraining_run(trunk(one, Pretraining("rotation", 1), 1))
        for one in (found, threaded)
    ]
    assert [run.threads for run in runs] == [1, 4]
    assert runs[0].key != runs[1].key


def test_pre_training_keeps_the_rate(study):
    options = {"milestones": (8, 12), "warmup": 4, "decay_factor": 0.5}
    run = pretraining_run(trunk(study(**options), Pretraining("rotation", 1), 1))
    assert (run.recipe.milestones, run.recipe.warmup) == ((), 0)
    assert run.recipe.final_learning_rate is None
    assert run.recipe.learning_rate == study().recipe.learning_rate


def test_pre_training_has_seeds_of_its_own(study):
    runs = {
        replicate: pretraining_run(
            trunk(study(), Pretraining("rotation", 1), replicate)
        )
        for replicate in (1, 2)
    }
    for replicate, run in runs.items():
        expected = (
            seeds.pretraining_order_seed(replicate),
            seeds.pretraining_augmentation_seed(replicate),
            seeds.pretraining_dropout_seed(replicate),
        )
        assert (
            run.data_order_seed,
            run.augmentation_seed,
            run.dropout_seed,
        ) == expected
    found = {
        seed
        for run in runs.values()
        for seed in (run.data_order_seed, run.augmentation_seed, run.dropout_seed)
    }
    assert len(found) == 6


def test_longer_pre_training_goes_on_with_the_shorter(study):
    runs = [
        pretraining_run(trunk(study(), Pretraining("rotation", epochs), 1))
        for epochs in (1, 3)
    ]
    assert runs[0].key == runs[1].key


def test_random_labels_are_the_replicate_s_own(study):
    runs = {
        (pretext, replicate): pretraining_run(
            trunk(study(), Pretraining(pretext, 1), replicate)
        )
        for pretext in ("random_labels", "rotation")
        for replicate in (1, 2)
    }
    assert runs["random_labels", 1].data != runs["random_labels", 2].data
    assert runs["random_labels", 1].data.pretext_seed == seeds.pretext_seed(
        1, pretext="random_labels"
    )
    assert runs["rotation", 1].data == runs["rotation", 2].data


def test_masks_are_found_from_the_pre_trained_state(study):
    """EP, reading 16: every level is rewound to the pre-trained state."""
    found = study(levels=("1-2",), pretext=("rotation",))
    deepest = [
        one.of.run
        for one in measured(found)
        if isinstance(beginning(one.of.run), Transferred) and one.of.run.mask
    ]
    assert len(deepest) == 2
    for run in deepest:
        assert (run.first_iteration, run.initial.iteration) == (0, 0)
        assert beginning(run.mask.scored.run) == beginning(run)


def test_the_ordinary_tickets_are_those_of_the_lottery(study, study_of):
    options = {"levels": ("1-2",), "rewind_iterations": (0, 8), "replicates": 1}
    options["training_iterations"] = 24
    known = {one.key for one in lottery.plan(study_of(lottery, **options))}
    mine = {
        one.key
        for one in measured(study(**options))
        if not isinstance(beginning(one.of.run), Transferred)
    }
    # Dense, and two levels at two k.
    assert len(mine) == 1 + 4 and mine <= known


def test_a_sparse_network_is_pre_trained_with_its_mask(study):
    found = study(sparse=True, rewind_iterations=(0, 8), pretext=("rotation", "blur"))
    sparse = Subnetworks(found)
    pruned = Subnetwork(kind=IMP, level=1, replicate=1, rewind_iteration=8)
    pretraining_ = Pretraining("rotation", 2)
    run = sparse_run(found, pretraining_, sparse, pruned)
    ticket = sparse.run(pruned, data_order=1)
    assert dataclasses.replace(run, initial=ticket.initial) == ticket
    before = pretraining_run(run)
    assert before.mask == BodyMask(ticket.mask)
    # From the weights of k, with a new head.
    assert isinstance(before.initial, Transferred)
    assert before.initial.of.address == State(found.trunk(1), 8).address
    reinitialized = dataclasses.replace(pruned, kind=RANDOM_REINIT)
    fresh = sparse_run(found, pretraining_, sparse, reinitialized)
    seed = seeds.reinit_seed(1, level=1)
    assert pretraining_run(fresh).initial == Initialization(seed)
    # A reinitialized network gets none of the ticket's weights back.
    assert (fresh.initial.seed, run.initial.seed) == (seed, seeds.init_seed(1))
    # A task of the same classes shares the head, and its mask.
    blurred = sparse_run(found, Pretraining("blur", 2), sparse, pruned)
    assert pretraining_run(blurred).mask == ticket.mask
    assert not blurred.initial.new_head


def test_heads_are_drawn_as_the_recipe_says(study):
    found = study(sparse=True, kernel_initializer="glorot_normal")
    pruned = Subnetwork(kind=IMP, level=1, replicate=1, rewind_iteration=0)
    run = sparse_run(found, Pretraining("rotation", 2), Subnetworks(found), pruned)
    heads = (run.initial, pretraining_run(run).initial)
    dense = trunk(found, Pretraining("rotation", 2), 1)
    for one in (*heads, dense.initial, pretraining_run(dense).initial):
        assert one.initializers == Initializers("glorot_normal")


def test_figure_10_has_all_kinds_with_and_without(study):
    found = study(sparse=True, rewind_iterations=(0, 8), pretext=None, replicates=2)
    rows = [network.row for network in pretraining._networks(found)]
    lines = {
        (row.subnetwork, row.rewind_iteration, row.pretext is not None)
        for row in rows
        if row.subnetwork != "dense"
    }
    kinds = [("imp", 0), ("imp", 8), ("random_pruning", 0), ("random_reinit", 0)]
    assert lines == {(*kind, is_sparse) for kind in kinds for is_sparse in (0, 1)}


# Rows, and what is stored.


def test_rows_of_the_tiny_experiment(tiny):
    table = tiny(pretraining).table("accuracy")
    ordinary = table[table.pretraining_epochs == 0]
    assert list(zip(ordinary.subnetwork, ordinary.level, strict=True)) == [
        ("dense", 0),
        ("imp", 1),
    ]
    assert ordinary.pretext.isna().all()
    for pretext in ("rotation", "random_labels"):
        own = table[table.pretext == pretext]
        assert list(zip(own.subnetwork, own.level, strict=True)) == [
            ("dense", 0),
            ("imp", 1),
        ]
        assert (own.pretraining_epochs == 1).all()
    assert not table.sparse_pretraining.any()
    assert table.test_error.between(0, 1).all()
    told = [row[0] for row in pretraining.answer({"accuracy": table}).rows]
    assert told == ["dense", "k = 0", "rotation, 1 epoch", "random_labels, 1 epoch"]


def test_the_pre_trained_body_is_what_the_next_task_begins_with(tiny, study):
    run = trunk(study(), Pretraining("rotation", 1), 1)
    store = Store(tiny(pretraining).folder.parent / "store")
    before, after = (
        checkpoints.read_weights(store.open(one.address))
        for one in (run.initial.of, run.initial)
    )
    initial = checkpoints.read_weights(store.open(State(study().trunk(1), 0).address))
    assert run.initial.sources == (run.initial.of,)
    for path, value in after.items():
        expected = initial[path] if path.startswith("head/") else before[path]
        np.testing.assert_array_equal(value, expected)
    assert before["head/kernel"].shape == (100, 4)


def test_pruned_weights_stay_zero_through_sparse_pre_training(execute, study, tmp_path):
    options = {"sparse": True, "pretext": ("rotation",), "rewind_iterations": (0, 8)}
    ended = execute(pretraining, **options)
    assert ended.code == 0
    table = ended.table("accuracy")
    assert table.sparse_pretraining.sum() == 4
    found = study(**options)
    ticket = Subnetwork(kind=IMP, level=1, replicate=1, rewind_iteration=8)
    sparse = Subnetworks(found)
    run = sparse_run(found, Pretraining("rotation", 1), sparse, ticket)
    store = Store(tmp_path / "store")
    mask = checkpoints.read_arrays(store.open(run.mask.address) / "mask.safetensors")
    end = checkpoints.read_weights(store.open(run.initial.of.address))
    for path in ("dense_1/kernel", "dense_2/kernel"):
        assert (end[path][mask[path] == 0] == 0).all()
        assert (end[path][mask[path] == 1] != 0).mean() > 0.9
    # The task's own head is dense.
    assert (end["head/kernel"] != 0).mean() > 0.9
