"""Tickets found on other tasks: which runs find them, and how they go on."""

import dataclasses
import functools

import numpy as np
import pytest

from tflottery.components.runs import State
from tflottery.components.transferring import Transferred, is_head
from tflottery.core import recipes, seeds
from tflottery.core.recipes import Setting
from tflottery.core.registry import MODELS
from tflottery.experiments import label_agnostic, lottery
from tflottery.experiments.label_agnostic import Config
from tflottery.models import limited_supervision
from tflottery.models import weights as model_weights
from tflottery.store.store import Store
from tflottery.studies import ticket_searches, ticket_transfer
from tflottery.studies.subnetworks import IMP, RANDOM_PRUNING, Subnetwork, Subnetworks
from tflottery.training import checkpoints

_TICKET = Subnetwork(kind=IMP, level=2, replicate=1, rewind_iteration=8)


@pytest.fixture
def study(study_of):
    def make(**options):
        return study_of(label_agnostic, **options)

    return make


def test_one_row_for_each_task_level_and_replicate(tiny):
    ended = tiny(label_agnostic)
    assert ended.code == 0
    table = ended.table("accuracy")
    found = list(
        zip(table["subnetwork"], table["ticket_task"], table["level"], strict=True)
    )
    labels = [(IMP, "labels", level) for level in (1, 2)]
    rotation = [(IMP, "rotation", level) for level in (1, 2)]
    assert found[1:5] == labels + rotation
    assert list(table["subnetwork"]) == ["dense", *[IMP] * 4, *[RANDOM_PRUNING] * 2]
    # Random pruning keeps initial weights.
    assert list(table["rewind_iteration"]) == [0, *[8] * 4, *[0] * 2]
    assert table["ticket_task"].isna().sum() == 3
    # All of them name digits: a tenth of 100 images and more is right.
    assert set(table["task"]) == {"labels"}
    assert table["test_error"].between(0, 0.9).all()
    assert table["variant"].eq("limited_supervision").all()


def test_a_ticket_of_rotation_is_found_without_labels(study):
    found = study()
    finder = found.related["rotation"]
    run = ticket_transfer.run(finder, _TICKET, to=found)
    assert run.mask == Subnetworks(finder).mask(_TICKET)
    pruned = run.mask.scored.run
    while pruned.mask is not None:
        assert (pruned.data.pretext, pruned.network.num_classes) == ("rotation", 4)
        pruned = pruned.mask.scored.run
    assert pruned.data.pretext == "rotation"
    # It begins from the finder's weights at k, and its schedule from the beginning.
    assert run.initial.of == State(finder.trunk(1), 8, keeps_slots=True)
    assert (run.first_iteration, run.data.pretext) == (0, None)
    assert (run.initial.new_head, run.initial.seed) == (True, seeds.init_seed(1))


def test_a_ticket_of_labels_is_that_of_the_lottery(study, study_of):
    found = study()
    run = ticket_transfer.run(found, _TICKET, to=found)
    other = study_of(lottery, variant="limited_supervision", rewind_iterations=(8,))
    assert run.key == Subnetworks(other).run(_TICKET, data_order=1).key


def test_a_task_of_the_same_classes_keeps_its_head(study):
    found = study(ticket_tasks=("blur",))
    run = ticket_transfer.run(found.related["blur"], _TICKET, to=found)
    assert not run.initial.new_head
    assert run.mask == Subnetworks(found.related["blur"]).mask(_TICKET)


@pytest.mark.slow
def test_weights_and_masks_by_themselves(study, make, facts, tmp_path):
    """The body is the finder's, the head the replicate's own initial one."""
    found = study()
    finder = found.related["rotation"]
    run = ticket_transfer.run(finder, _TICKET, to=found)
    assert isinstance(run.initial, Transferred)
    goals = [run.initial, run.mask]
    store = make(goals, Store(tmp_path / "store"), found.facts, finder.facts)
    weights = checkpoints.read_weights(store.open(run.initial.address))
    state = State(finder.trunk(1), 8)
    before = checkpoints.read_weights(store.open(state.address))
    shapes = {path: value.shape for path, value in weights.items()}
    initial = model_weights.initial_values(shapes, seeds.init_seed(1))
    for path, value in weights.items():
        expected = initial[path] if is_head(path) else before[path]
        np.testing.assert_array_equal(value, expected)
    assert weights["head/kernel"].shape == (100, 10)
    assert before["head/kernel"].shape == (100, 4)
    masks = checkpoints.read_arrays(store.open(run.mask.address) / "mask.safetensors")
    assert set(masks) == {"dense_1/kernel", "dense_2/kernel"}
    assert sum(mask.sum() for mask in masks.values()) == round(0.64 * 49_200)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ticket_tasks": ()}, "--ticket_tasks is empty"),
        ({"ticket_tasks": ("labels", "jigsaw")}, "no task 'jigsaw'"),
        (
            {"ticket_tasks": ("labels", "blur", "labels")},
            "'labels,blur,labels' names labels twice",
        ),
        (
            {"ticket_tasks": ("labels", "semi_supervised")},
            "names 'semi_supervised', .* semi_supervised, whose --labeled says",
        ),
        ({"subset": "images:0.5"}, "--subset='images:0.5' .* judged on, .* all data"),
        ({"optimizer_state": "carried"}, "'carried' does not suit"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        dataclasses.replace(Config.tiny(), **options).validate()


def test_a_head_for_other_classes_may_not_be_pruned(study):
    found = study(variant="standard")
    told = "'standard' prunes head/kernel, and a ticket .* --variant=limited_superv"
    with pytest.raises(ValueError, match=told):
        label_agnostic.plan(found)


def test_where_every_variant_prunes_the_head_none_is_recommended(study, register):
    lenet = MODELS["lenet"]
    limited = functools.partial(limited_supervision.recipe, "lenet")
    # The other one has no recipe for labels of ImageNet.
    of_imagenet = {"other": lambda setting: limited(Setting("imagenet2012"))}
    standard = {"standard": lenet["recipes"]["standard"]}
    declared = dict(lenet.attributes) | {"recipes": standard | of_imagenet}
    register(MODELS, "lenet", lenet.function, **declared)
    with pytest.raises(ValueError, match="All variants of 'lenet' do: take another"):
        label_agnostic.plan(study())


@pytest.fixture
def register_rotation(register):
    """Gives the rotation task a recipe with values of its own."""
    lenet = MODELS["lenet"]
    proper = lenet["recipes"]["limited_supervision"](recipes.Setting("digits"))

    def add(**own):
        def by_task(setting):
            is_rotation = setting.task == "rotation"
            return recipes.replaced(proper, **own) if is_rotation else proper

        declared = {"recipes": {"limited_supervision": by_task}}
        attributes = dict(lenet.attributes) | declared
        register(MODELS, "lenet", lenet.function, **attributes)

    return add


@pytest.fixture
def slow_rotation(register_rotation):
    """Gives the rotation task a recipe of its own, of a lower rate."""
    register_rotation(learning_rate=1e-4)


def test_a_level_is_one_density_whoever_found_the_ticket(study, register_rotation):
    register_rotation(pruning_fraction=0.5)
    told = "At level 1 tickets of 'rotation' keep 24,600 weights, and 39,360 are exp"
    with pytest.raises(ValueError, match=told):
        label_agnostic.plan(study())
    label_agnostic.plan(study(pruning_fraction=0.5))


def test_recipes_that_only_finders_follow_are_told_apart(study, slow_rotation):
    usual = study()
    rate = usual.recipe.learning_rate
    finder = usual.related["rotation"]
    assert finder.recipe.learning_rate < rate
    # What the task proper has anyway, its tickets' finder has not.
    other = study(learning_rate=rate)
    assert other.recipe == usual.recipe
    assert other.related["rotation"].recipe.learning_rate == rate
    assert other.name != usual.name
    # Rows of what is the same are the same; tickets of another finder are not.
    assert other.config_hash == usual.config_hash
    networks = ticket_searches._networks
    found = [
        {row.ticket_config for row, _ in networks(one) if row.search == "rotation"}
        for one in (usual, other)
    ]
    assert found == [{finder.config_hash}, {other.related["rotation"].config_hash}]
    assert found[0] != found[1]
    # What config.json says.
    found = {"rotation": {"learning_rate": finder.recipe.learning_rate}}
    assert usual.decisions()["ticket_recipes"] == found
    assert "ticket_recipes" not in other.decisions()


def test_config_is_that_of_other_commands_where_the_recipe_is_one(study):
    assert study().config_hash == study(ticket_tasks=("labels",)).config_hash


def test_options_that_the_recipe_of_a_finder_forbids_are_refused(slow_rotation):
    given = dataclasses.replace(Config.tiny(), final_learning_rate=5e-4)
    with pytest.raises(ValueError, match="final_learning_rate=0.0005 has to be at"):
        given.validate()
    dataclasses.replace(given, ticket_tasks=("labels",)).validate()
