"""Keys of runs and states, and what they come from."""

import dataclasses

import numpy as np
import pytest

from tflottery.components import runs
from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts
from tflottery.components.runs import Initialization, Run, State
from tflottery.core import recipes
from tflottery.core.identities import Data, Network
from tflottery.core.initializers import Initializers
from tflottery.core.recipes import Recipe

_RECIPE = Recipe(
    optimizer="adam",
    learning_rate=0.003,
    batch_size=60,
    training_iterations=40,
    weight_decay=1e-3,
    milestones=(9,),
    warmup=4,
)
_DATA = Data(
    name="digits",
    version="1",
    digest="0",
    image_shape=(8, 8, 1),
    num_train=1437,
    num_test=360,
    num_classes=10,
)
_NETWORK = Network("lenet", (8, 8, 1), 10)
_FACTS = Facts(
    network=_NETWORK,
    data=_DATA,
    num_weights=10,
    num_trainable=8,
    num_activations=5,
    kernel_shapes={},
    flops_per_example=0,
    has_batch_norm=False,
    num_devices=1,
)
_RUN = Run(
    network=_NETWORK,
    data=_DATA,
    recipe=_RECIPE,
    initial=Initialization(1),
    mask=None,
    data_order_seed=2,
    augmentation_seed=3,
    dropout_seed=4,
)
_BRANCH = dataclasses.replace(
    _RUN, initial=State(_RUN, 5), first_iteration=5, data_order_seed=12
)


_UNIFORM = Initializers(batch_norm_scale="uniform")


@dataclasses.dataclass(frozen=True)
class _Mask(Artifact):
    """Stands for a component that makes masks."""

    KIND = "mask"

    key: str
    address: str = "masks/1"
    files: tuple[str, ...] = (runs.MASK_FILE,)


def _with(run, **changes):
    return dataclasses.replace(run, **changes)


def _with_recipe(run, **changes):
    return _with(run, recipe=recipes.replaced(run.recipe, **changes))


@pytest.mark.parametrize(
    "other",
    [
        _with(_RUN, network=Network("lenet", (8, 8, 1), 4)),
        _with(_RUN, network=Network("vgg11", (8, 8, 1), 10)),
        _with(_RUN, data=dataclasses.replace(_DATA, name="mnist")),
        _with(_RUN, data=dataclasses.replace(_DATA, version="2")),
        _with(_RUN, data=dataclasses.replace(_DATA, digest="1")),
        _with(_RUN, data=dataclasses.replace(_DATA, num_train=1400)),
        _with(_RUN, data=dataclasses.replace(_DATA, pretext="rotation")),
        _with_recipe(_RUN, optimizer="sgd"),
        _with_recipe(_RUN, learning_rate=0.004),
        _with_recipe(_RUN, batch_size=61),
        _with(_RUN, network=dataclasses.replace(_RUN.network, architecture="1")),
        _with_recipe(_RUN, weight_decay=0.0),
        _with_recipe(_RUN, milestones=(10,)),
        _with_recipe(_RUN, warmup=5),
        _with_recipe(_RUN, augmentation="flip_crop"),
        _with(_RUN, data=dataclasses.replace(_DATA, input_scaling="standardized")),
        _with(_RUN, initial=Initialization(2)),
        _with(_RUN, initial=Initialization(1, Initializers("glorot_normal"))),
        _with(_RUN, initial=Initialization(1, _UNIFORM)),
        _with(_RUN, initial=State(_RUN, 0)),
        _with(_RUN, mask=_Mask("a")),
        _with(_RUN, mask=_Mask("b")),
        _with(_RUN, data_order_seed=4),
        _with(_RUN, augmentation_seed=4),
        _with(_RUN, dropout_seed=5),
        _with(_RUN, first_iteration=1),
        _with(_RUN, device="gpu"),
        _with(_RUN, num_replicas=2),
        _with(_RUN, precision="bfloat16"),
        _with(_RUN, threads=2),
    ],
    ids=lambda run: run.key[:6],
)
def test_what_decides_the_trajectory_enters_the_key(other):
    assert other.key != _RUN.key
    assert len(other.key) == 32
    assert State(other, 5).key != State(_RUN, 5).key
    assert _with(_BRANCH, initial=State(other, 5)).key != _BRANCH.key


@pytest.mark.parametrize(
    "same",
    [
        _with_recipe(_RUN, training_iterations=24_000),
        _with_recipe(_RUN, rewind_iterations=(0, 1, 2)),
        _with_recipe(_RUN, unpruned=("head",)),
        _with_recipe(_RUN, milestones=[9]),
        _with(_RUN, network=Network("lenet", [8, 8, 1], 10)),
        _with_recipe(_RUN, learning_rate=np.float64(0.003)),
        _with_recipe(_RUN, replicates=5),
        _with(_RUN, initial=Initialization(1, Initializers())),
        # What tells of these is the initial weights, and the data.
        _with_recipe(_RUN, kernel_initializer="glorot_normal"),
        _with_recipe(_RUN, batch_norm_scale="uniform"),
        _with_recipe(_RUN, input_scaling="standardized"),
    ],
    ids=str,
)
def test_length_and_what_is_done_with_a_run_do_not_enter_the_key(same):
    assert same.key == _RUN.key
    assert _with(_BRANCH, initial=State(same, 5)).key == _BRANCH.key


_SGD = _with_recipe(_RUN, optimizer="sgd", momentum=0.9)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"weight_decay": 0}, {"weight_decay": 0.0}),
        ({"weight_decay": 0.0}, {"weight_decay": -0.0}),
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
        ({"momentum": 0}, {"momentum": 0.0}),
        ({"milestones": (9, 20)}, {"milestones": (20, 9)}),
        ({"milestones": (9,), "decay_factor": 1}, {"milestones": ()}),
        (
            {"milestones": (), "final_learning_rate": 0.003},
            {"milestones": (), "final_learning_rate": None},
        ),
    ],
    ids=str,
)
def test_recipes_that_train_alike_are_one_run(one, two):
    for run in (_RUN, _SGD):
        assert _with_recipe(run, **one).key == _with_recipe(run, **two).key


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"weight_decay": 0.0}, {"weight_decay": 1e-30}),
        ({"milestones": (9,)}, {"milestones": (9, 9)}),
        ({"decay_factor": 1}, {"decay_factor": 0.999}),
        (
            {"milestones": (), "final_learning_rate": 0.003},
            {"milestones": (), "final_learning_rate": 0.0029},
        ),
        ({"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0.1}),
    ],
    ids=str,
)
def test_recipes_that_train_differently_are_two_runs(one, two):
    assert _with_recipe(_RUN, **one).key != _with_recipe(_RUN, **two).key


def _carried(run, *, initial, first_iteration):
    """Returns the keys of a run with fresh and with carried slots."""
    run = _with(run, initial=initial, first_iteration=first_iteration)
    return {_with(run, optimizer_state=one).key for one in ("fresh", "carried")}


def test_slots_that_make_no_difference_are_fresh_ones():
    plain = _with_recipe(_RUN, optimizer="sgd", momentum=0)
    assert len(_carried(plain, initial=State(plain, 5), first_iteration=5)) == 1
    # Neither fresh weights nor those of a component come with slots.
    assert len(_carried(_RUN, initial=Initialization(1), first_iteration=5)) == 1
    assert len(_carried(_RUN, initial=_Mask("a"), first_iteration=5)) == 1
    assert len(_carried(_RUN, initial=State(_RUN, 0), first_iteration=0)) == 1
    assert len(_carried(_RUN, initial=State(_BRANCH, 5), first_iteration=5)) == 1


def test_slots_that_make_a_difference_are_another_run():
    for run in (_RUN, _SGD):
        assert len(_carried(run, initial=State(run, 5), first_iteration=5)) == 2
    # Adam's bias correction would count from 0.
    assert len(_carried(_RUN, initial=State(_RUN, 0), first_iteration=5)) == 2
    carrying = _with(_BRANCH, optimizer_state="carried")
    assert len(_carried(_RUN, initial=State(carrying, 5), first_iteration=5)) == 2


def test_every_field_of_a_run_is_in_its_derivation():
    names = {field.name for field in dataclasses.fields(Run)}
    # Several threads are in it, one is not (LATER).
    threaded = _with(_RUN, threads=2)
    assert threaded.derivation().keys() == names
    assert _RUN.derivation().keys() == names - {"threads"}
    decided = recipes.trajectory(_RECIPE).keys()
    assert _RUN.derivation()["recipe"].keys() == decided


def test_the_version_of_the_component_enters_the_key(monkeypatch):
    before = _with(_RUN).key
    monkeypatch.setattr(Run, "VERSION", 99)
    assert _with(_RUN).key != before


def test_slots_do_not_enter_a_states_key():
    plain, kept = State(_RUN, 7), State(_RUN, 7, keeps_slots=True)
    whole = State(_RUN, 7, needs_slots=True)
    assert plain.key == kept.key == whole.key
    assert plain.address == whole.address == f"runs/{_RUN.key}/00000007"
    assert plain.files == kept.files == ("weights.safetensors",)
    assert whole.files == ("weights.safetensors", "slots.safetensors")
    branches = [_with(_BRANCH, initial=state) for state in (plain, whole)]
    assert branches[0].key == branches[1].key
    assert State(_RUN, 8).key != plain.key
    assert isinstance(plain, Artifact) and not isinstance(Initialization(1), Artifact)


def test_a_state_that_two_want_has_the_slots_of_either():
    plain, kept = State(_RUN, 7), State(_RUN, 7, keeps_slots=True)
    whole = State(_RUN, 7, needs_slots=True)
    assert not plain.has_slots and kept.has_slots and whole.has_slots
    assert plain.together(kept) == kept.together(plain) == kept
    assert plain.together(whole) == whole.together(plain) == whole
    assert kept.together(whole).files == whole.files


def test_slots_are_needed_of_a_state_only_where_they_are_carried():
    [fresh] = _BRANCH.sources
    [carried] = _with(_BRANCH, optimizer_state="carried").sources
    assert not fresh.needs_slots and carried.needs_slots


def test_sources_are_the_artifacts_a_run_begins_from():
    mask = _Mask("a")
    assert _RUN.sources == ()
    assert _BRANCH.sources == (State(_RUN, 5),)
    assert _with(_BRANCH, mask=mask).sources == (State(_RUN, 5), mask)


@pytest.mark.parametrize(
    ("optimizer", "slots", "expected"),
    [("adam", {}, 40), ("sgd", {"needs_slots": True}, 72)]
    + [("adam", {"keeps_slots": True}, 104)],
)
def test_bytes_of_a_state(optimizer, slots, expected):
    state = State(_with_recipe(_RUN, optimizer=optimizer), 5, **slots)
    assert state.num_bytes({_RUN.network: _FACTS}) == expected


@pytest.mark.parametrize(
    ("optimizer", "changes", "expected"),
    [
        # Weights, gradients and slots of 8, and 5 outputs of 60 images.
        ("sgd", {}, 4 * (3 * 8 + 60 * 5)),
        ("adam", {}, 4 * (4 * 8 + 60 * 5)),
        ("sgd", {"mask": _Mask("1")}, 4 * (4 * 8 + 60 * 5)),
        # Parts of a batch are trained on in turn.
        ("sgd", {"num_replicas": 4}, 4 * (3 * 8 + 15 * 5)),
        # Layers put out bfloat16, and weights stay float32.
        ("sgd", {"precision": "mixed_bfloat16"}, 4 * 3 * 8 + 2 * 60 * 5),
    ],
)
def test_bytes_that_training_works_with(optimizer, changes, expected):
    run = dataclasses.replace(_with_recipe(_RUN, optimizer=optimizer), **changes)
    assert runs.num_working_bytes(run, _FACTS) == expected
