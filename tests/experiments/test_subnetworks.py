"""Subnetworks: counts of the papers' networks, and which runs are one and the same."""

import itertools
import pickle

import pytest

from tflottery.components.accuracies import Accuracy
from tflottery.components.mask_counts import MaskCounts
from tflottery.components.metadata import inspect
from tflottery.components.runs import Initialization, State
from tflottery.core.initializers import Initializers
from tflottery.core.recipes import Setting
from tflottery.core.registry import CRITERIA, MODELS
from tflottery.execution.plan import plan_of
from tflottery.experiments import instability, lottery
from tflottery.store.store import Store
from tflottery.studies.subnetworks import (
    ADJUSTED_RANDOM,
    DENSE,
    IMP,
    RANDOM_PRUNING,
    RANDOM_REINIT,
    Subnetwork,
    Subnetworks,
    sparse_kinds,
)

_SPARSE = (IMP, RANDOM_PRUNING, RANDOM_REINIT)
# Of LeNet's 50,200 prunable weights on digits; 50,200 * 0.8^3 is 25,702.4.
_SURVIVORS = [50_200, 40_160, 32_128, 25_702]


@pytest.fixture(scope="module")
def facts_of(runtime, facts):
    """Returns the facts of a network on the digits."""
    known = {"lenet": facts}

    def find(model):
        if model not in known:
            known[model] = inspect(model, Setting("digits"), runtime)
        return known[model]

    return find


@pytest.fixture
def subnetworks(study_of, facts_of):
    def make(model="lenet", *, experiment=lottery, **options):
        options = {"levels": None, "rewind_iterations": (0, 8)} | options
        study = study_of(experiment, of=facts_of(model), model=model, **options)
        return Subnetworks(study)

    return make


def named(kind=IMP, *, level=1, replicate=1, k=0):
    return Subnetwork(kind=kind, level=level, replicate=replicate, rewind_iteration=k)


def run(subnetworks, kind=IMP, *, data_order=1, **which):
    return subnetworks.run(named(kind, **which), data_order=data_order)


def mask(subnetworks, kind=IMP, **which):
    return subnetworks.mask(named(kind, **which))


# Levels, counts and columns.


@pytest.mark.parametrize(
    ("model", "variant", "level", "num_survivors"),
    [
        # On digits LeNet has 50,200 prunable weights, and 0.8^15 is 3.52%.
        ("lenet", "standard", 15, 1_766),
        ("resnet20", "standard", 8, 45_449),
        ("resnet20", "low", 11, 23_270),
        ("resnet20", "warmup", 12, 18_616),
        ("vgg16", "standard", 19, 212_000),
        ("vgg16", "low", 13, 808_716),
        ("vgg16", "warmup", 19, 212_000),
        # The Early Phase, Figures 8 and A8.
        ("resnet20", "early_phase", 8, 45_449),
        ("vgg13", "early_phase", 22, 69_375),
    ],
)
def test_the_studied_levels_of_the_papers(
    subnetworks, model, variant, level, num_survivors
):
    found = subnetworks(model, variant=variant)
    assert found.studied_levels == (level,)
    assert found.num_survivors(level) == num_survivors
    assert found.levels == tuple(range(1, 15 if model == "resnet20" else 25))


def test_every_model_of_the_papers_has_its_levels():
    for name in ("lenet", "resnet20", "vgg16", "resnet50", "inception_v3"):
        for variant, recipe in MODELS[name]["recipes"].items():
            if variant == "limited_supervision":
                continue
            found = recipe.pruning
            fraction, levels = found.pruning_fraction, found.num_levels
            assert (1 - fraction) ** levels <= 1.02 * found.studied_density
            assert found.one_shot == (name in ("resnet50", "inception_v3"))


def test_both_densities_of_vgg16(subnetworks):
    columns = subnetworks("vgg16").columns(named(IMP, level=19))
    assert (columns["subnetwork"], columns["level"]) == (IMP, 19)
    # 212,000 of 14,710,464; on the paper's axis the last layer's 5,120 count as kept.
    assert columns["density"] == 212_000 / 14_710_464
    assert round(100 * columns["axis_density"], 3) == 1.475
    assert columns["axis_density"] == (212_000 + 5_120) / (14_710_464 + 5_120)


def test_where_every_kernel_is_pruned_the_densities_are_one(subnetworks):
    columns = subnetworks("resnet20").columns(named(RANDOM_PRUNING, level=8))
    assert columns["density"] == columns["axis_density"] == 45_449 / 270_896
    dense = subnetworks("resnet20").columns(named(DENSE, level=0))
    expected = {"level": 0, "density": 1.0, "axis_density": 1.0}
    assert dense["subnetwork"] == DENSE and dense.items() >= expected.items()


@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({"levels": ("3",)}, (3,)),
        ({"levels": ("5", "1-3", "2")}, (1, 2, 3, 5)),
        ({"levels": ("1-6", "9-15:3")}, (1, 2, 3, 4, 5, 6, 9, 12, 15)),
        ({"density": 0.035}, (15,)),
        # Levels of 1, 0.64, 0.41, 0.26, 0.168.
        ({"density": 0.168, "pruning_fraction": 0.36}, (4,)),
        ({"levels": ("4",), "pruning_fraction": 0.36}, (4,)),
    ],
)
def test_levels_and_density_name_the_levels(subnetworks, options, level):
    found = subnetworks(**options)
    assert found.studied_levels == found.levels == level


def test_the_level_of_no_pruning_is_the_dense_network(subnetworks):
    with pytest.raises(ValueError, match="Level 0 is the dense network"):
        assert subnetworks(density=1.0).levels


def test_another_fraction_has_another_studied_level(subnetworks):
    """The recipe's 24 levels are for fifths; of halves only 15 leave a weight."""
    found = subnetworks(pruning_fraction=0.5)
    assert found.studied_levels == (5,)
    density = found.columns(named(level=5))["density"]
    assert density == pytest.approx(1 / 32, abs=1e-4)
    assert found.levels[-1] == 15 and found.num_survivors(15) == 2


@pytest.mark.parametrize(
    ("experiment", "options"),
    [(lottery, {}), (instability, {"subnetworks": (RANDOM_PRUNING,)})],
)
def test_a_level_without_weights_is_refused(study_of, experiment, options):
    # 50,200 * 0.5^16 is 0.77, which is 1, and half of that is none.
    options = options | {"pruning_fraction": 0.5}
    assert experiment.plan(study_of(experiment, levels=("16",), **options))
    with pytest.raises(ValueError, match="level=17 leaves none of 50200 weights"):
        experiment.plan(study_of(experiment, levels=("17",), **options))


@pytest.mark.parametrize(
    ("experiment", "options"), [(lottery, {}), (instability, {"subnetworks": (IMP,)})]
)
def test_the_deepest_chain_reaches_a_worker(
    study_of, facts, tmp_path, experiment, options
):
    """Keys and artifacts nest as deep as a chain is long."""
    options = options | {"pruning_fraction": 0.05, "rewind_iterations": (0,)}
    goals = experiment.plan(study_of(experiment, levels=("60",), **options))
    todo = plan_of(goals, Store(tmp_path), facts={facts.network: facts})
    for step in todo.steps:
        assert pickle.loads(pickle.dumps(step.job)).name == step.job.name
    with pytest.raises(
        ValueError, match="Level 61 is more than the 60 prunings .* --pruning_fraction"
    ):
        experiment.plan(study_of(experiment, levels=("61",), **options))


def test_first_convolutions(subnetworks):
    found = subnetworks("resnet20", first_convolutions=2)
    kernels = mask(found).kernels
    assert kernels == (
        ("stem/kernel", (3, 3, 3, 16)),
        ("stage_1_block_1_conv_1/kernel", (3, 3, 16, 16)),
    )
    # 432 + 2,304 weights, of which four fifths are 2,188.8.
    assert mask(found).num_survivors == mask(found, RANDOM_PRUNING).num_survivors
    assert mask(found).num_survivors == 2_189
    columns = found.columns(named(IMP, level=1))
    assert columns["density"] == 2_189 / 2_736
    assert columns["axis_density"] == (2_189 + 270_896 - 2_736) / 270_896
    with pytest.raises(ValueError, match="first 99 convolutions .* from 1 to 21"):
        mask(subnetworks("resnet20", first_convolutions=99))
    with pytest.raises(ValueError, match="this network has no convolutions"):
        mask(subnetworks("lenet", first_convolutions=1))


def test_unpruned_kernels_have_no_mask(subnetworks):
    vgg = dict(mask(subnetworks("vgg16")).kernels)
    assert "head/kernel" not in vgg and len(vgg) == 13
    lenet = dict(mask(subnetworks()).kernels)
    assert list(lenet) == ["dense_1/kernel", "dense_2/kernel", "head/kernel"]


# What is shared, and what is not.


def test_nothing_is_pruned_at_level_zero(subnetworks):
    found = subnetworks()
    for kind in (DENSE, *sparse_kinds()):
        assert mask(found, kind, level=0) is None
        assert run(found, kind, level=0).mask is None


def test_the_first_mask_is_the_same_for_every_k(subnetworks):
    found = subnetworks()
    assert mask(found, k=0).address == mask(found, k=8).address
    assert mask(found, k=0).scored == State(found._study.trunk(1), 24)
    assert mask(found, k=0).previous is None
    assert mask(found, level=2, k=0).key != mask(found, level=2, k=8).key
    assert mask(found, replicate=2).key != mask(found).key


def test_a_mask_is_pruned_from_the_first_copy_of_the_level_before(subnetworks):
    found = subnetworks()
    for level, k in itertools.product(range(2, 6), (0, 8)):
        made = mask(found, level=level, k=k)
        before = run(found, level=level - 1, k=k, data_order=1)
        assert made.scored == State(before, 24)
        assert made.previous == mask(found, level=level - 1, k=k)
        assert made.num_survivors == found.num_survivors(level)


def test_one_shot_masks_are_pruned_from_the_dense_end(subnetworks):
    once, again = subnetworks(one_shot=True), subnetworks()
    dense_end = State(once._study.trunk(1), 24)
    for level in (1, 2, 3):
        made = mask(once, level=level, k=8)
        assert (made.scored, made.previous) == (dense_end, None)
        assert made.num_survivors == _SURVIVORS[level]
        assert made.key == mask(once, level=level, k=0).key
    # One pruning is one pruning.
    assert mask(once).key == mask(again).key
    assert run(once, k=8).key == run(again, k=8).key
    assert mask(once, level=2).key != mask(again, level=2).key


def test_the_first_pruning_may_be_of_a_copy(subnetworks):
    trunk, copied = subnetworks(), subnetworks(first_pruning="copy")
    for k in (0, 8):
        first = mask(copied, k=k)
        # The first copy of the instability analysis of the dense network.
        copy = run(copied, DENSE, level=0, k=k)
        assert (first.scored, first.previous) == (State(copy, 24), None)
        assert copy.key == run(trunk, DENSE, level=0, k=k).key
        assert copy.initial == State(copied._study.trunk(1), k, keeps_slots=True)
        # Every level is rewound to the trunk all the same.
        for level in (1, 2):
            assert run(copied, level=level, k=k).initial == copy.initial
        assert mask(copied, level=2, k=k).scored.run.mask == first
    assert mask(trunk, k=0) == mask(trunk, k=8) and mask(trunk).scored.run.mask is None
    assert mask(copied, k=0).key != mask(copied, k=8).key


@pytest.mark.parametrize(("first", "dense"), [("trunk", 24), ("copy", 24 + 24 + 16)])
def test_the_first_pruning_decides_what_is_trained(
    study_of, facts, tmp_path, first, dense
):
    options = {"levels": ("1",), "replicates": 1, "rewind_iterations": (0, 8)}
    study = study_of(lottery, subnetworks=(IMP,), first_pruning=first, **options)
    plan = plan_of(lottery.plan(study), Store(tmp_path), facts={facts.network: facts})
    # What is pruned is trained, and tickets from both k.
    assert plan.num_iterations == dense + 24 + 16


def test_random_masks_are_one_ranking_for_every_k(subnetworks):
    found = subnetworks(random_counts="global")
    masks = [mask(found, RANDOM_PRUNING, level=2, k=k) for k in (0, 8)]
    assert masks[0].key == masks[1].key and masks[0].inputs == {}
    assert mask(found, RANDOM_PRUNING, level=5).seed == masks[0].seed
    other = mask(found, RANDOM_PRUNING, level=2, replicate=2)
    assert other.seed != masks[0].seed


def test_random_masks_with_counts_of_imps_layers(subnetworks):
    found = subnetworks()
    for level, k in itertools.product((1, 2), (0, 8)):
        made = mask(found, RANDOM_PRUNING, level=level, k=k)
        assert made.inputs == {"layers_of": mask(found, level=level, k=k)}
    plain = mask(subnetworks(random_counts="global"), RANDOM_PRUNING)
    assert plain.seed == made.seed and plain.key != made.key


def test_random_pruning_starts_from_the_dense_weights_of_k(subnetworks):
    found = subnetworks()
    for k in (0, 8):
        begun = run(found, RANDOM_PRUNING, level=3, k=k)
        assert begun.initial == State(found._study.trunk(1), k, keeps_slots=True)
        assert begun.initial == run(found, IMP, level=3, k=k).initial
        assert begun.first_iteration == k


def test_adjusted_random_pruning_chooses_among_what_the_dense_end_leaves(subnetworks):
    found = subnetworks()
    masks = [mask(found, ADJUSTED_RANDOM, level=level, replicate=2) for level in (1, 3)]
    for one in masks:
        assert one.scored == State(found._study.trunk(2), found._study.last)
        assert (one.previous, one.layers_of) == (None, None)
        assert one.seed == mask(found, RANDOM_PRUNING, replicate=2).seed
    assert [one.num_survivors for one in masks] == [_SURVIVORS[1], _SURVIVORS[3]]


def test_kinds_that_keep_initial_weights_begin_at_0(subnetworks):
    found = subnetworks()
    ks = {kind: found.rewind_iterations(kind) for kind in sparse_kinds()}
    assert ks == dict.fromkeys(sparse_kinds(), (0, 8)) | {ADJUSTED_RANDOM: (0,)}
    found = subnetworks(variant="limited_supervision")
    ks = {kind: found.rewind_iterations(kind) for kind in sparse_kinds()}
    assert ks[RANDOM_PRUNING] == ks[ADJUSTED_RANDOM] == (0,)
    assert ks[IMP] == ks[RANDOM_REINIT] == (0, 8)
    initial = run(found, RANDOM_PRUNING, level=2).initial
    assert (initial.iteration, initial.run.first_iteration) == (0, 0)


def test_a_restarted_schedule_begins_anew_from_the_weights_of_k(subnetworks):
    found = subnetworks(schedule="restarted")
    for level, k in itertools.product((0, 2), (0, 8)):
        kind = IMP if level else DENSE
        begun = run(found, kind, level=level, k=k)
        assert begun.initial == State(found._study.trunk(1), k, keeps_slots=True)
        assert begun.first_iteration == 0
        going_on = run(subnetworks(), kind, level=level, k=k)
        assert begun.data_order_seed == going_on.data_order_seed
        # From the very beginning both are one.
        assert (begun.key == going_on.key) == (k == 0)


def test_random_reinit_keeps_the_mask_and_draws_other_weights(subnetworks):
    found = subnetworks()
    for level, k in itertools.product((1, 2), (0, 8)):
        begun = run(found, RANDOM_REINIT, level=level, k=k)
        assert begun.mask == mask(found, IMP, level=level, k=k)
        assert begun.first_iteration == k
        assert begun.initial == run(found, RANDOM_REINIT, level=level).initial
    fresh = {
        run(found, RANDOM_REINIT, level=level, replicate=replicate).initial
        for level, replicate in itertools.product((1, 2), (1, 2))
    }
    assert len(fresh) == 4 and all(isinstance(one, Initialization) for one in fresh)
    assert not fresh & {found._study.trunk(replicate).initial for replicate in (1, 2)}


def test_who_is_drawn_afresh_is_drawn_as_the_recipe_says(subnetworks):
    options = {"kernel_initializer": "glorot_normal"}
    found = run(subnetworks(**options), RANDOM_REINIT).initial
    assert found.initializers == Initializers("glorot_normal")
    usual = run(subnetworks(), RANDOM_REINIT)
    assert found.seed == usual.initial.seed
    assert run(subnetworks(**options), RANDOM_REINIT).key != usual.key
    # So is the network whose masks it has.
    first = run(subnetworks(**options), IMP).initial.run.initial
    assert first.initializers == found.initializers and first.seed != found.seed


def test_orders_are_paired_over_k_and_kinds(subnetworks):
    found = subnetworks()

    def seeds(**which):
        begun = run(found, **which)
        return begun.data_order_seed, begun.augmentation_seed

    same = {seeds(kind=kind, k=k) for kind, k in itertools.product(_SPARSE, (0, 8))}
    assert len(same) == 1
    others = [
        seeds(level=level, replicate=replicate, data_order=data_order)
        for level, replicate, data_order in itertools.product((1, 2), (1, 2), (1, 2))
    ]
    trunk = found._study.trunk(1)
    others.append((trunk.data_order_seed, trunk.augmentation_seed))
    assert len({one for pair in others for one in pair}) == 2 * len(others)


def test_carried_slots_are_those_of_dense_weights(subnetworks):
    found = subnetworks(optimizer_state="carried")
    assert run(found, IMP, k=8).optimizer_state == "carried"
    assert run(found, RANDOM_PRUNING, k=8).optimizer_state == "carried"
    # Fresh weights have no slots, and neither has the beginning of training.
    assert run(found, IMP, k=0).optimizer_state == "fresh"
    assert run(found, RANDOM_REINIT, k=8).optimizer_state == "fresh"


@pytest.mark.parametrize("kind", _SPARSE)
def test_networks_of_the_lottery_are_the_first_copies_of_instability(study_of, kind):
    both = study_of(lottery, random_rewind_iterations=(0, 8))
    measured = {one.of.key for one in lottery.plan(both) if isinstance(one, Accuracy)}
    for level in (1, 2):
        study = study_of(instability, subnetworks=(kind,), levels=(str(level),))
        *_, first, second = instability.plan(study)
        for line in (first, second):
            assert line.a.key in measured
            assert line.b.key not in measured


# Other criteria.


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no subnetwork 'impp'. Known: dense, imp, ra"):
        named("impp")
    with pytest.raises(ValueError, match="dense network has level 0, not 1"):
        named(DENSE)


@pytest.mark.parametrize("scored", ["trained", "rewound", "dense_end", "none"])
def test_a_criterion_of_ones_own_is_a_line_of_the_lottery(study_of, register, scored):
    def smallest(weights, *, shapes, seed):
        raise NotImplementedError

    register(
        CRITERIA, "smallest", smallest, version=3, scored_weights=scored, seeded=False
    )
    study = study_of(lottery, subnetworks=("smallest",), rewind_iterations=(0, 8))
    found = Subnetworks(study)
    goals = lottery.plan(study)
    masks = {goal.mask.key for goal in goals if isinstance(goal, MaskCounts)}
    assert masks == {
        goal.of.run.mask.key
        for goal in goals
        if isinstance(goal, Accuracy) and goal.of.run.mask is not None
    }
    made = found.mask(named("smallest", level=2, k=8))
    assert (made.criterion, made.criterion_version, made.seed) == ("smallest", 3, None)
    assert made.key in masks and made.num_survivors == _SURVIVORS[2]
    above = found.run(named("smallest", level=1, k=8), data_order=1)
    expected = {
        "trained": State(above, 24),
        "rewound": State(study.trunk(1), 8),
        "dense_end": State(study.trunk(1), 24),
        "none": None,
    }[scored]
    assert made.scored == expected or made.scored.address == expected.address
    assert (made.previous is not None) == (scored == "trained")


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow"])
def test_criteria_of_a_network_and_data(subnetworks, name):
    found = subnetworks()
    made = mask(found, name, level=2, k=8)
    assert made.examples == CRITERIA[name]["examples"]
    assert (made.seed is None) == (name == "synflow")
    assert made.scored.address == State(found._study.trunk(1), 8).address
    assert made.previous is None and made.num_survivors == _SURVIVORS[2]
    # One mask a replicate, level and k.
    keys = {
        mask(found, name, level=level, replicate=replicate, k=k).key
        for level, replicate, k in itertools.product((1, 2), (1, 2), (0, 8))
    }
    assert len(keys) == 8


def test_the_controls_of_a_criterion_change_one_thing_each(subnetworks):
    found = subnetworks()
    own, shuffled, reinit = (
        run(found, kind, level=2, k=8)
        for kind in ("snip", "snip_shuffled", "snip_reinit")
    )
    assert shuffled.initial.address == own.initial.address
    assert shuffled.mask.layers_of.key == own.mask.key
    assert (shuffled.mask.criterion, shuffled.mask.examples) == ("random", None)
    assert shuffled.mask.num_survivors == own.mask.num_survivors
    assert reinit.mask.key == own.mask.key
    random_reinit = run(found, RANDOM_REINIT, level=2, k=8)
    assert reinit.initial == random_reinit.initial
    seeds = {(one.data_order_seed, one.first_iteration) for one in (own, shuffled)}
    assert seeds == {(reinit.data_order_seed, reinit.first_iteration)}


def test_the_controls_of_a_criterion_that_trains_have_its_masks(subnetworks, register):
    def smallest(weights, *, shapes, seed):
        raise NotImplementedError

    register(
        CRITERIA, "small", smallest, version=1, scored_weights="trained", seeded=False
    )
    found = subnetworks()
    assert mask(found, "small_reinit", level=3) is mask(found, "small", level=3)
    shuffled = mask(found, "small_shuffled", level=3)
    assert shuffled.layers_of is mask(found, "small", level=3)


def test_learning_rate_rewinding_keeps_weights_and_rewinds_the_schedule(subnetworks):
    found = subnetworks()
    first, second = (run(found, "lr_rewinding", level=one, k=8) for one in (1, 2))
    # Of the first level it is the mask of IMP, and weights of the dense network's end.
    assert first.mask.key == mask(found, IMP, level=1, k=8).key
    assert first.initial.key == State(found._study.trunk(1), 24).key
    assert second.initial.key == State(first, 24).key == second.mask.scored.key
    assert second.mask.previous.key == first.mask.key
    assert first.first_iteration == second.first_iteration == 8
    imp = run(found, IMP, level=2, k=8)
    assert second.recipe == imp.recipe
    assert second.data_order_seed == imp.data_order_seed
    assert second.mask.key != imp.mask.key


def test_fine_tuning_trains_as_long_with_the_last_rate(subnetworks):
    # Without a schedule there is no difference but the name.
    found = subnetworks()
    expected = run(found, "lr_rewinding", level=2, k=8).key
    assert run(found, "fine_tuning", level=2, k=8).key == expected
    found = subnetworks(
        optimizer="sgd",
        learning_rate=0.5,
        milestones=("8", "16"),
        decay_factor=0.1,
        warmup="4",
    )
    tuned = run(found, "fine_tuning", level=2, k=8)
    assert tuned.recipe.learning_rate == pytest.approx(0.005)
    assert (tuned.recipe.milestones, tuned.recipe.warmup) == ((), 0)
    assert tuned.first_iteration == 8
    assert tuned.key != run(found, "lr_rewinding", level=2, k=8).key
    # What is pruned first was trained as ever.
    assert State(found._study.trunk(1), 24).key == (
        mask(found, "fine_tuning", level=1, k=8).scored.key
    )
    falls = subnetworks(final_learning_rate=0.0, optimizer="sgd")
    with pytest.raises(ValueError, match="falls to 0, with which fine_tuning would"):
        run(falls, "fine_tuning", level=1)
