"""What every experiment can be told: the fields of its Config become its flags."""

import dataclasses

from tflottery.core import durations
from tflottery.core.durations import Duration
from tflottery.core.recipes import recipe_of
from tflottery.core.registry import MODELS


def option(default: object, help_: str) -> object:
    """Returns a Config field with a default and the help text of its flag."""
    return dataclasses.field(default=default, metadata={"help": help_})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The options that all experiments share and that decide results.

    None means: the model's recipe for the variant and dataset decides.
    """

    model: str = option("lenet", "network to train")
    variant: str | None = option(
        None, "recipe of the paper: standard, low, warmup; None: the model's first"
    )
    dataset: str | None = option(None, "data set; None: the one of the model's paper")
    replicates: int = option(3, "independent repetitions, each from its own weights")
    data_orders: int = option(3, "trained copies of each replicate")
    rewind_iterations: tuple[Duration, ...] | None = option(
        None, "iterations k at which copies part, such as 0,100,4ep; None: the paper's"
    )
    training_iterations: Duration | None = option(
        None,
        "length of training; milestones, warmup keep their share; None: the recipe's",
    )
    batch_size: int | None = option(None, "global batch size; None: the recipe's")
    optimizer: str | None = option(None, "sgd or adam; None: the recipe's")
    learning_rate: float | None = option(None, "None: the recipe's")
    momentum: float | None = option(None, "of sgd; None: the recipe's")
    weight_decay: float | None = option(
        None, "factor of the L2 term in the gradient; None: the recipe's"
    )
    milestones: tuple[Duration, ...] | None = option(
        None, "when the learning rate drops; None: the recipe's"
    )
    decay_factor: float | None = option(
        None, "by which it drops at each milestone; None: the recipe's"
    )
    warmup: Duration | None = option(
        None, "how long the learning rate rises from zero; None: the recipe's"
    )
    augmentation: str | None = option(None, "flip_crop or none; None: the data set's")
    optimizer_state: str = option(
        "fresh", "optimizer slots of a copy at its k: fresh, or carried from the trunk"
    )
    evaluation_examples: int | None = option(
        None, "images measured of each split, a fixed random choice; None: all"
    )

    def check(self) -> None:
        """Raises ValueError for what is wrong whatever the data are."""
        recipes = MODELS[self.model]["recipes"]
        _, recipe = recipe_of(recipes, model=self.model, variant=self.variant)
        # The recipe checks the bounds of what replaces its values.
        dataclasses.replace(recipe, **self.recipe_values())
        for name in ("replicates", "data_orders", "batch_size", "evaluation_examples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name}={value!r} has to be at least 1.")
        if self.rewind_iterations == ():
            raise ValueError(
                "--rewind_iterations is empty: name at least one k, such as 0."
            )
        for name in (
            "rewind_iterations",
            "training_iterations",
            "milestones",
            "warmup",
        ):
            value = getattr(self, name)
            for one in value if isinstance(value, tuple) else (value,):
                if one is not None:
                    durations.check(one)
        _check_one_of("optimizer_state", self.optimizer_state, ("fresh", "carried"))
        _check_one_of("augmentation", self.augmentation, ("flip_crop", "none", None))

    def recipe_values(self) -> dict[str, object]:
        """Returns the options that replace a recipe's values as they are."""
        names = ("optimizer", "learning_rate", "momentum", "weight_decay")
        names += ("decay_factor", "augmentation")
        return {
            name: getattr(self, name)
            for name in names
            if getattr(self, name) is not None
        }


def _check_one_of(name: str, value: object, allowed: tuple) -> None:
    """Raises ValueError if an option has a value that it does not take."""
    if value not in allowed:
        known = ", ".join(one for one in allowed if one)
        raise ValueError(f"--{name}={value!r} is not known. Known: {known}.")
