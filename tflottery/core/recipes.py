"""Recipes: the hyperparameters with which a paper trains a network.

A recipe belongs to a model, a dataset and a variant (`standard`, `low`, `warmup`, ...)
and says which tensors that paper never prunes.
"""

import dataclasses
from collections.abc import Mapping

from tflottery.core import durations
from tflottery.core.durations import Duration


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained. Durations take every form of `core.durations`.

    Attributes:
      optimizer: "sgd" or "adam".
      learning_rate: the rate before decay and after warmup.
      batch_size: global batch size.
      training_iterations: length of a whole training.
      momentum: of SGD; accumulates gradients.
      weight_decay: factor of the L2 term in the gradient, on all trainable weights.
      milestones: when the rate is multiplied by `decay_factor`.
      decay_factor: in (0, 1].
      warmup: how long the rate rises linearly from zero.
      augmentation: "flip_crop" or "none"; the dataset decides (`adapt_recipe`).
      unpruned: names of the layers whose kernels are never pruned (but counted on the
        paper's axis).
      rewind_iterations: the paper's grid of k.
    """

    optimizer: str
    learning_rate: float
    batch_size: int
    training_iterations: Duration
    momentum: float = 0.0
    weight_decay: float = 0.0
    milestones: tuple[Duration, ...] = ()
    decay_factor: float = 0.1
    warmup: Duration = 0
    augmentation: str = "none"
    unpruned: tuple[str, ...] = ()
    rewind_iterations: tuple[Duration, ...] = (0,)


def recipe_of(
    recipes: Mapping[str, Recipe], *, model: str, variant: str | None
) -> tuple[str, Recipe]:
    """Returns the variant's name and recipe; None is the model's first variant.

    Raises:
      ValueError: the model has no such variant; lists those it has.
    """
    name = variant or next(iter(recipes))
    if name not in recipes:
        raise ValueError(
            f"Model {model!r} has no variant {name!r}. Known: {', '.join(recipes)}."
        )
    return name, recipes[name]


def resolved(recipe: Recipe, *, num_examples: int) -> Recipe:
    """Returns the recipe with every duration as a number of iterations."""

    def iterations(duration: Duration) -> int:
        return durations.iterations(
            duration, num_examples=num_examples, batch_size=recipe.batch_size
        )

    return dataclasses.replace(
        recipe,
        training_iterations=iterations(recipe.training_iterations),
        milestones=tuple(map(iterations, recipe.milestones)),
        warmup=iterations(recipe.warmup),
        rewind_iterations=tuple(map(iterations, recipe.rewind_iterations)),
    )


def with_length(recipe: Recipe, training_iterations: int) -> Recipe:
    """Returns a resolved recipe of another length.

    Milestones and warmup keep their share of the training; a recipe that has none is
    the same trajectory, cut or continued. The grid of k is clipped to the length.
    """

    def scaled(iteration: int) -> int:
        old = recipe.training_iterations
        return (2 * iteration * training_iterations + old) // (2 * old)

    return dataclasses.replace(
        recipe,
        training_iterations=training_iterations,
        milestones=tuple(map(scaled, recipe.milestones)),
        warmup=scaled(recipe.warmup),
        rewind_iterations=tuple(
            k for k in recipe.rewind_iterations if k < training_iterations
        ),
    )


def trajectory(recipe: Recipe) -> dict[str, object]:
    """Returns what of a resolved recipe decides a trajectory: not its length."""
    names = ("optimizer", "learning_rate", "batch_size", "momentum", "weight_decay")
    names += ("milestones", "decay_factor", "warmup", "augmentation")
    return {name: getattr(recipe, name) for name in names}
