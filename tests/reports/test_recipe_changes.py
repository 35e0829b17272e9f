"""What is not as a recipe has it, by what the config.json of a command says."""

import pytest

from tflottery.core import recipes
from tflottery.core.recipes import Setting
from tflottery.core.registry import MODELS
from tflottery.reports import recipe_changes

IMAGES = {"cifar10": 50_000, "mnist": 60_000}


def said(model, variant, *, dataset="cifar10", options=None, **used):
    """Returns what config.json says of a recipe with other values."""
    setting = Setting(dataset)
    known = MODELS[model]["recipes"]
    _, own = recipes.recipe_of(known, model=model, variant=variant, setting=setting)
    own = recipes.resolved(own, num_examples=IMAGES[dataset])
    keys = {"model": model, "variant": variant, "dataset": dataset, "config": "0"}
    return {
        "decisions": keys | (options or {}),
        "recipe": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in (recipes.plain_values(own) | used).items()
        },
        "data": {"num_train": IMAGES[dataset]},
    }


def changes(told, *, config="0"):
    """Returns how such a command departs from its recipe."""
    own = told["decisions"]
    return recipe_changes.of(told, variant=own.get("variant", ""), config=config)


@pytest.mark.parametrize("variant", ["early_phase", "warmup", "limited_supervision"])
def test_a_recipe_is_no_change_of_itself(variant):
    model = "resnet18" if variant == "limited_supervision" else "resnet20"
    assert changes(said(model, variant)) == recipe_changes.Changes()


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        ("learning_rate", 0.3, "0.3"),
        ("milestones", [100, 200], "100,200"),
        ("warmup", 10, "10"),
        ("final_learning_rate", 0.01, "0.01"),
        ("pruning_fraction", 0.5, "0.5"),
        ("one_shot", True, "true"),
        ("schedule", "restarted", "restarted"),
    ],
)
def test_other_values_are_named_with_their_flag(name, value, flag):
    found = changes(said("resnet20", "standard", **{name: value}))
    assert found.names == (name,) and found.flags == f"--{name}={flag}"


def test_recipes_of_a_setting_are_those_of_a_function():
    assert changes(said("vgg19", "limited_supervision", optimizer="sgd")).names == (
        "optimizer",
    )


def test_a_schedule_goes_with_its_length():
    short = said("resnet20", "standard", training_iterations=6300)
    assert changes(short).names == ("milestones",)
    short["recipe"]["milestones"] = [3200, 4800]
    assert changes(short).names == ()
    # Epochs are those of the batch that is used.
    large = said("resnet20", "early_phase", batch_size=256, training_iterations=31_250)
    large["recipe"]["milestones"] = [15_625, 23_438]
    assert changes(large).names == ("batch_size",)


def test_what_the_papers_do_not_say_is_no_other_setting():
    found = changes(said("resnet20", "standard", random_counts="global"))
    assert found.names == () and found.flags == "--random_counts=global"


def test_parts_of_the_data_and_of_the_network_are_named():
    options = {"evaluation_examples": 2000, "first_convolutions": 3, "subset": None}
    found = changes(said("resnet20", "standard", options=options))
    assert found.names == ("evaluation_examples", "first_convolutions")
    assert found.flags == "--evaluation_examples=2000 --first_convolutions=3"


def test_of_several_networks_each_has_its_own():
    one, other = said("lenet", "standard", dataset="mnist"), said("vgg16", "low")
    other["decisions"]["config"] = "1"
    other["recipe"]["learning_rate"] = 0.2
    both = {name: {"a": one[name], "b": other[name]} for name in one}
    assert recipe_changes.of(both, variant="standard", config="0").names == ()
    assert recipe_changes.of(both, variant="low", config="1").names == (
        "learning_rate",
    )


def test_what_is_older_than_an_option_is_as_all_was_then():
    """Batch norm began with ones before there was a choice."""
    told = said("resnet20", "early_phase")
    del told["recipe"]["batch_norm_scale"]
    assert changes(told).names == ("batch_norm_scale",)
    told = said("lenet", "standard", dataset="mnist")
    del told["recipe"]["batch_norm_scale"]
    assert changes(told).names == ()


def test_of_networks_of_ones_own_nothing_is_known():
    told = said("resnet20", "standard", learning_rate=0.7)
    told["decisions"]["model"] = "my_net"
    assert changes(told) == recipe_changes.Changes()
    assert changes({"decisions": {}}).names == (recipe_changes.UNKNOWN,)
