"""Recipes: durations resolved, lengths changed, and what decides a trajectory."""

import dataclasses
import re

import pytest

from tflottery.core import recipes
from tflottery.core.recipes import PruningRecipe, Recipe

_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    batch_size=128,
    training_iterations=63_000,
    momentum=0.9,
    weight_decay=1e-4,
    milestones=(32_000, 48_000),
    warmup=30_000,
    augmentation="none",
    pruning=PruningRecipe(
        rewind_iterations=(0, 100, 2000), perturbed_iterations=(100,)
    ),
)


_TOLD_ELSEWHERE = (
    "kernel_initializer",
    "batch_norm_scale",
    "input_scaling",
    "replica_batch_size",
)


def test_resolved_turns_every_duration_into_iterations():
    recipe = recipes.replaced(
        _RECIPE,
        batch_size=60,
        training_iterations="10ep",
        milestones=("5ep", "7ep3it"),
        warmup="1ep",
        rewind_iterations=(0, "7it", "2ep"),
        perturbed_iterations=("7it", "1ep1it"),
        dense_iterations=(0, "3ep"),
        throughout_iterations=("1it",),
    )
    found = recipes.resolved(recipe, num_examples=1437)
    assert found.training_iterations == 240
    assert found.milestones == (120, 171)
    assert found.warmup == 24
    assert found.pruning.rewind_iterations == (0, 7, 48)
    assert found.pruning.perturbed_iterations == (7, 25)
    assert found.pruning.dense_iterations == (0, 72)
    assert found.pruning.throughout_iterations == (1,)
    assert recipes.resolved(found, num_examples=1437) == found
    assert recipe.training_iterations == "10ep"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("optimizer", "lamb", "one of sgd, adam"),
        ("learning_rate", 0.0, "above 0 and finite"),
        ("learning_rate", float("nan"), "above 0 and finite"),
        ("batch_size", 0, "at least 1"),
        ("momentum", 1.0, "in [0, 1)"),
        ("weight_decay", float("inf"), "at least 0 and finite"),
        ("decay_factor", 1.5, "in (0, 1]"),
        ("kernel_initializer", "he", "one of he_normal, he_uniform, glorot_nor"),
        ("batch_norm_scale", "zeros", "one of ones, uniform"),
        ("input_scaling", "none", "one of unit_interval, standardized"),
        ("replicates", 0, "at least 1"),
        ("pruning_fraction", 0.0, "in (0, 1)"),
        ("pruning_fraction", 1.0, "in (0, 1)"),
        ("num_levels", 0, "at least 1"),
        ("studied_density", 0.0, "in (0, 1]"),
        ("studied_density", 16.8, "in (0, 1]"),
        ("final_learning_rate", -0.1, "at least 0 and at most learning_rate=0.1"),
        ("final_learning_rate", 0.2, "at least 0 and at most learning_rate=0.1"),
    ],
)
def test_values_out_of_bounds_are_refused(name, value, expected):
    text = re.escape(f"{name}={value!r} has to be {expected}")
    with pytest.raises(ValueError, match=text):
        recipes.replaced(_RECIPE, **{name: value})


def test_a_linear_fall_allows_no_milestones():
    text = re.escape(
        "milestones=(32000, 48000) has to be empty where the rate falls linearly: "
        "final_learning_rate=0.01."
    )
    with pytest.raises(ValueError, match=text):
        dataclasses.replace(_RECIPE, final_learning_rate=0.01)


@pytest.mark.parametrize(
    ("length", "milestones", "warmup"),
    [
        (63_000, (32_000, 48_000), 30_000),
        (6_300, (3_200, 4_800), 3_000),
        (126_000, (64_000, 96_000), 60_000),
        # 304.76, 457.14 and 285.71, rounded to the nearest.
        (600, (305, 457), 286),
        (100, (51, 76), 48),
        (1, (1, 1), 0),
    ],
)
def test_milestones_and_warmup_scale_with_the_length(length, milestones, warmup):
    found = recipes.with_length(_RECIPE, length)
    assert found.training_iterations == length
    assert found.milestones == milestones
    assert found.warmup == warmup
    assert found.pruning == _RECIPE.pruning


def test_another_length_without_milestones_is_the_same_trajectory():
    recipe = dataclasses.replace(_RECIPE, milestones=(), warmup=0)
    shorter = recipes.with_length(recipe, 500)
    assert shorter != recipe
    assert recipes.trajectory(shorter) == recipes.trajectory(recipe)
    scaled = recipes.with_length(_RECIPE, 500)
    assert recipes.trajectory(scaled) != recipes.trajectory(_RECIPE)


def test_the_length_of_a_linear_fall_decides_the_trajectory():
    plain = dataclasses.replace(_RECIPE, milestones=())
    falling = dataclasses.replace(plain, final_learning_rate=0.01)
    decided = recipes.trajectory(falling)
    assert decided == recipes.trajectory(plain) | {
        "final_learning_rate": 0.01,
        "training_iterations": 63_000,
    }
    shorter = recipes.with_length(falling, 500)
    assert shorter.final_learning_rate == 0.01
    assert recipes.trajectory(shorter)["training_iterations"] == 500
    zero = dataclasses.replace(plain, final_learning_rate=0.0)
    assert recipes.trajectory(zero)["final_learning_rate"] == 0.0


def test_whole_numbers_become_floats():
    found = recipes.replaced(
        _RECIPE,
        milestones=(),
        learning_rate=1,
        momentum=0,
        weight_decay=-0.0,
        decay_factor=1,
        final_learning_rate=0,
        studied_density=1,
    )
    names = ("learning_rate", "momentum", "weight_decay", "decay_factor")
    names += ("final_learning_rate", "studied_density")
    plain = recipes.plain_values(found)
    values = [repr(plain[name]) for name in names]
    assert values == ["1.0", "0.0", "0.0", "1.0", "0.0", "1.0"]


def test_simplified_leaves_out_what_changes_nothing():
    constant = dataclasses.replace(_RECIPE, milestones=())
    same = [
        dataclasses.replace(_RECIPE, decay_factor=1),
        dataclasses.replace(constant, decay_factor=1, final_learning_rate=0.1),
        dataclasses.replace(constant, augmentation=None),
    ]
    for recipe in same:
        found = recipes.simplified(recipe)
        assert dataclasses.replace(found, decay_factor=0.1) == constant
    for recipe in (_RECIPE, dataclasses.replace(constant, final_learning_rate=0.01)):
        assert recipes.simplified(recipe) == recipe


@pytest.mark.parametrize(
    ("optimizer", "momentum", "expected"),
    [("sgd", 0.0, False), ("sgd", 0.1, True), ("adam", 0.0, True)],
)
def test_memory_of_an_optimizer(optimizer, momentum, expected):
    recipe = dataclasses.replace(_RECIPE, optimizer=optimizer, momentum=momentum)
    assert recipes.has_memory(recipe) == expected


@pytest.mark.parametrize(
    "field",
    # What a final rate decides is tested above: it goes with no milestones.
    sorted(recipes.plain_values(_RECIPE).keys() - {"final_learning_rate"}),
)
def test_trajectory_is_all_but_the_length_and_what_is_done_with_it(field):
    other = {
        "optimizer": "adam",
        "augmentation": "flip_crop",
        "milestones": (32_000,),
        "unpruned": ("head",),
        "rewind_iterations": (0,),
        "perturbed_iterations": (2000,),
        "decay_factor": 0.2,
        "momentum": 0.5,
        "one_shot": True,
        "random_counts": "global",
        "random_weights": "initial",
        "schedule": "restarted",
        "first_pruning": "copy",
        "kernel_initializer": "glorot_normal",
        "batch_norm_scale": "uniform",
        "input_scaling": "standardized",
        "replica_batch_size": 64,
    }
    plain = recipes.plain_values(_RECIPE)
    value = other.get(field, plain[field])
    changed = value if field in other else 2 * value
    found = recipes.trajectory(recipes.replaced(_RECIPE, **{field: changed}))
    # What weights are drawn from, how images are scaled and batches divided is told
    # elsewhere.
    apart = field in ("training_iterations", "replicates", *_TOLD_ELSEWHERE)
    apart = apart or hasattr(_RECIPE.pruning, field)
    assert (found == recipes.trajectory(_RECIPE)) == apart


_DIGITS = recipes.Setting("digits")


def test_recipe_of_a_variant():
    both = {"standard": _RECIPE, "low": dataclasses.replace(_RECIPE, warmup=0)}
    first = recipes.recipe_of(both, model="m", variant=None, setting=_DIGITS)
    assert first == ("standard", _RECIPE)
    low = recipes.recipe_of(both, model="m", variant="low", setting=_DIGITS)
    assert low == ("low", both["low"])
    with pytest.raises(ValueError, match="'m' has no variant 'fast'.*standard, low"):
        recipes.recipe_of(both, model="m", variant="fast", setting=_DIGITS)


def test_a_variant_may_have_a_recipe_for_each_setting():
    def of(setting):
        if setting == recipes.Setting("digits", "rotation"):
            return dataclasses.replace(_RECIPE, batch_size=7)
        return _RECIPE

    sizes = [
        recipes.recipe_of({"own": of}, model="m", variant=None, setting=one)[
            1
        ].batch_size
        for one in (_DIGITS, recipes.Setting("digits", "rotation"))
    ]
    assert sizes == [_RECIPE.batch_size, 7]
