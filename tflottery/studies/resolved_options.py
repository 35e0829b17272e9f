"""Options resolved: a recipe and facts as a Config and the data have them."""

import dataclasses
from collections.abc import Sequence

from tflottery.components.metadata import Facts
from tflottery.core import durations, recipes
from tflottery.core.durations import Duration
from tflottery.core.recipes import Recipe
from tflottery.datasets import source as sources
from tflottery.studies import schedule_options
from tflottery.studies.config import Config
from tflottery.training import precisions


def in_iterations(
    given: Sequence[Duration], recipe: Recipe, facts: Facts
) -> tuple[int, ...]:
    """Returns durations in iterations, under a recipe that has its own in them."""
    return tuple(
        durations.iterations(
            duration,
            num_examples=facts.data.num_train,
            batch_size=recipe.batch_size,
            training_iterations=recipe.training_iterations,
        )
        for duration in given
    )


def recipe_of(recipe: Recipe, config: Config, facts: Facts) -> Recipe:
    """Returns a recipe in iterations, with the data set's and the user's changes.

    Raises:
      ValueError: an option does not suit the data or the recipe.
    """
    recipe = config.with_batch_sizes(recipe)
    recipe = recipes.resolved(recipe, num_examples=facts.data.num_train)
    recipe = sources.adapted(
        recipe, dataset=facts.data.name, has_many_sizes=facts.has_many_sizes
    )
    if config.augmentation == recipes.RESIZED_CROP and not facts.has_many_sizes:
        raise ValueError(
            f"--augmentation={config.augmentation!r} is of images of many sizes; those "
            f"of {facts.data.name!r} have one. Take another."
        )
    if config.training_iterations is not None:
        (length,) = in_iterations((config.training_iterations,), recipe, facts)
        schedule_options.refuse_no_training(config.training_iterations, length)
        recipe = recipes.with_length(recipe, length)
    given = config.recipe_values()
    if config.milestones is not None:
        given["milestones"] = in_iterations(config.milestones, recipe, facts)
        schedule_options.refuse_milestones(
            given["milestones"], last=recipe.training_iterations
        )
    if config.warmup is not None:
        (given["warmup"],) = in_iterations((config.warmup,), recipe, facts)
        schedule_options.refuse_warmup(given["warmup"], last=recipe.training_iterations)
    recipe = recipes.replaced(recipe, **given)
    # What changes nothing is said in one way.
    scale = recipe.batch_norm_scale if facts.has_batch_norm else "ones"
    scaling = recipe.input_scaling or facts.input_scaling
    return dataclasses.replace(recipe, batch_norm_scale=scale, input_scaling=scaling)


def facts_of(facts: Facts, recipe: Recipe, config: Config) -> Facts:
    """Returns facts with an unusual scaling of images, and in the precision asked for.

    Raises:
      ValueError: the network computes in another precision by itself.
    """
    usual = recipe.input_scaling == facts.input_scaling
    scaling = None if usual else recipe.input_scaling
    data = dataclasses.replace(facts.data, input_scaling=scaling)
    precision = config.precision or facts.precision
    if facts.precision not in (precision, precisions.FLOAT32):
        raise ValueError(
            f"--precision={precision!r} cannot be had of {facts.network.model!r}: its "
            f"layers say that they compute in {facts.precision}. Leave it out."
        )
    return dataclasses.replace(facts, data=data, precision=precision)
