"""Recipes of the CIFAR-10 networks of Linear Mode Connectivity, Table 1.

Momentum, weight decay and the shape of the warmup are not in the paper: those of The
Early Phase of Neural Network Training, and a linear rise, are taken.
"""

import dataclasses

from tflottery.core.durations import Duration
from tflottery.core.recipes import Recipe


def cifar10_recipes(
    *,
    warmup_learning_rate: float,
    rewind_iterations: tuple[Duration, ...],
    num_levels: int,
    studied_densities: tuple[float, float, float],
    unpruned: tuple[str, ...] = (),
) -> dict[str, Recipe]:
    """Returns the recipes of variants standard, low and warmup, in this order.

    Args:
      warmup_learning_rate: the rate of variant warmup, the one that networks differ in.
      rewind_iterations: the grid of k.
      num_levels: prunings on the paper's axes.
      studied_densities: of the three variants.
      unpruned: layers whose kernels are never pruned.
    """
    standard = Recipe(
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=128,
        training_iterations=63_000,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=(32_000, 48_000),
        decay_factor=0.1,
        rewind_iterations=rewind_iterations,
        unpruned=unpruned,
        num_levels=num_levels,
        studied_density=studied_densities[0],
    )
    return {
        "standard": standard,
        "low": dataclasses.replace(
            standard, learning_rate=0.01, studied_density=studied_densities[1]
        ),
        "warmup": dataclasses.replace(
            standard,
            learning_rate=warmup_learning_rate,
            warmup=30_000,
            studied_density=studied_densities[2],
        ),
    }
