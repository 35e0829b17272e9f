"""Recipes of every registered model, and those of the papers' tables."""

import dataclasses

import pytest

from tflottery.core import recipes
from tflottery.core.registry import MODELS

# The Early Phase, Table A1 and Appendix A; lengths are iterations of 50,000 examples.
_BATCHES_OF_128 = {"batch_size": 128, "training_iterations": 62_500}
_BATCHES_OF_128 |= {"milestones": (31_250, 46_875)}
_BATCHES_OF_64 = {"batch_size": 64, "training_iterations": 125_000}
_BATCHES_OF_64 |= {"milestones": (62_500, 93_750)}
_RESNET18 = _BATCHES_OF_128 | {
    "rewind_iterations": (0, 100, 250, 500, 1000, 2000, 4000),
    "perturbed_iterations": (500, 2000),
    "num_levels": 24,
    "studied_density": 0.035,
}
_WIDE = _BATCHES_OF_128 | {
    "rewind_iterations": (0, 50, 100, 250, 500, 1000, 2000, 4000),
    "perturbed_iterations": (50, 250),
    "num_levels": 21,
    "studied_density": 0.069,
}
_EARLY_PHASE = {
    "resnet18": _RESNET18,
    "resnet18_cifar_stem": _RESNET18,
    "resnet20": _RESNET18 | {"num_levels": 14, "studied_density": 0.168},
    "resnet56": _RESNET18 | {"num_levels": 18, "studied_density": 0.168},
    "vgg13": _BATCHES_OF_64
    | {
        "rewind_iterations": (0, 10, 50, 100, 250, 500, 1000, 2000, 4000),
        "perturbed_iterations": (250, 500),
        "unpruned": ("head",),
        "num_levels": 24,
        "studied_density": 0.008,
    },
    "wrn16_8": _WIDE,
    "wrn16_8_preactivation": _WIDE,
}


def _epochs(*epochs: int) -> tuple[int, ...]:
    """Returns epochs of ImageNet in iterations of batches of 1024, rounded up."""
    return tuple(-(-1_281_167 * count // 1024) for count in epochs)


def _recipe(**values) -> recipes.Recipe:
    """Returns a recipe of these values, of training and of pruning."""
    own = {field.name for field in dataclasses.fields(recipes.PruningRecipe)}
    pruning = {name: values.pop(name) for name in own & values.keys()}
    return recipes.Recipe(**values, pruning=recipes.PruningRecipe(**pruning))


@pytest.mark.parametrize("name", MODELS.names())
def test_recipes_are_whole(name: str):
    entry = MODELS[name]
    setting = recipes.Setting(entry["dataset"])
    for variant in entry["recipes"]:
        _, recipe = recipes.recipe_of(
            entry["recipes"], model=name, variant=variant, setting=setting
        )
        resolved = recipes.resolved(recipe, num_examples=50_000)
        ks = resolved.pruning.rewind_iterations
        assert list(ks) == sorted(set(ks)), variant
        # The paper on limited supervision rewinds to one k alone.
        assert ks[0] == 0 or variant == "limited_supervision"
        assert ks[-1] < resolved.training_iterations
        assert list(resolved.milestones) == sorted(resolved.milestones)
        assert all(m < resolved.training_iterations for m in resolved.milestones)
        # What is perturbed is a state that a rewound network starts from.
        perturbed = resolved.pruning.perturbed_iterations
        assert list(perturbed) == sorted(set(perturbed)), variant
        assert set(perturbed) <= set(ks) - {0}
    # The first is what users get who name none.
    names = list(entry["recipes"])
    assert names[0] == "standard" or "standard" not in names


def test_recipes_of_mode_connectivity_are_those_of_table_1():
    rates = {
        (name, variant): (recipe.learning_rate, recipe.warmup)
        for name in ("resnet20", "vgg16")
        for variant, recipe in MODELS[name]["recipes"].items()
        if variant not in ("early_phase", "limited_supervision")
    }
    assert rates == {
        ("resnet20", "standard"): (0.1, 0),
        ("resnet20", "low"): (0.01, 0),
        ("resnet20", "warmup"): (0.03, 30_000),
        ("vgg16", "standard"): (0.1, 0),
        ("vgg16", "low"): (0.01, 0),
        ("vgg16", "warmup"): (0.1, 30_000),
    }
    lenet = MODELS["lenet"]["recipes"]["standard"]
    assert (lenet.optimizer, lenet.learning_rate, lenet.batch_size) == (
        "adam",
        0.0012,
        60,
    )
    assert (lenet.training_iterations, lenet.weight_decay) == (24_000, 0.0)
    assert lenet.milestones == ()


def test_recipes_of_the_early_phase_are_those_of_table_a1():
    common = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9}
    common |= {"weight_decay": 1e-4, "decay_factor": 0.1, "replicates": 5}
    common |= {"batch_norm_scale": "uniform"}
    found = {
        name: recipes.resolved(
            MODELS[name]["recipes"]["early_phase"], num_examples=50_000
        )
        for name in MODELS.names()
        if "early_phase" in MODELS[name]["recipes"]
    }
    assert found == {
        name: _recipe(**common | own, pruning_fraction=0.2)
        for name, own in _EARLY_PHASE.items()
    }


@pytest.mark.parametrize("name", MODELS.names())
def test_batch_norm_scales_are_uniform_in_lmc_and_ep_alone(name: str):
    """Lenet, of LMC too, has no batch norm."""
    setting = recipes.Setting(MODELS[name]["dataset"])
    found = {
        variant: recipes.recipe_of(
            MODELS[name]["recipes"], model=name, variant=variant, setting=setting
        )[1].batch_norm_scale
        for variant in MODELS[name]["recipes"]
    }
    others = {"limited_supervision", "laptop"}
    uniform = set() if name == "lenet" else found.keys() - others
    assert {one for one, scale in found.items() if scale == "uniform"} == uniform


def test_recipes_of_imagenet_are_those_of_table_1():
    found = {
        name: recipes.resolved(
            MODELS[name]["recipes"]["standard"], num_examples=1_281_167
        )
        for name in ("resnet50", "inception_v3")
    }
    common = {"optimizer": "sgd", "batch_size": 1024}
    common |= {"momentum": 0.9, "weight_decay": 1e-4, "batch_norm_scale": "uniform"}
    pruning = {"pruning_fraction": 0.7, "one_shot": True}
    pruning |= {"num_levels": 1, "studied_density": 0.3}
    assert found["resnet50"] == _recipe(
        **common,
        learning_rate=0.4,
        training_iterations=112_603,
        milestones=(37_535, 75_069, 100_092),
        decay_factor=0.1,
        warmup=6_256,
        rewind_iterations=_epochs(0, 2, 4, 6, 8, 10, 12),
        dense_iterations=_epochs(0, 4, 8, 12, 16, 18, 20),
        **pruning,
    )
    assert found["inception_v3"] == _recipe(
        **common,
        learning_rate=0.03,
        final_learning_rate=0.005,
        training_iterations=213_945,
        rewind_iterations=_epochs(0, 1, 2, 3, 4, 6),
        **pruning,
    )
