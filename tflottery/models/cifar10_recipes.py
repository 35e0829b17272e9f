"""Recipes that CIFAR-10 networks share, of two papers.

Linear Mode Connectivity, Table 1: momentum, weight decay and the shape of the warmup
are not in it; those of The Early Phase of Neural Network Training, and a linear rise,
are taken. The Early Phase, Table A1 and Appendix A. Neither paper says what the scale
of batch norm begins as: it is drawn uniformly (`core.initializers` says why).
"""

from tflottery.core.durations import Duration
from tflottery.core.recipes import PruningRecipe, Recipe, replaced


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
        batch_norm_scale="uniform",
        pruning=PruningRecipe(
            rewind_iterations=rewind_iterations,
            # The legend of Figure 4, of either network.
            throughout_iterations=(0, 50, 100, 250, 500, 1000, 2000),
            unpruned=unpruned,
            num_levels=num_levels,
            studied_density=studied_densities[0],
        ),
    )
    return {
        "standard": standard,
        "low": replaced(
            standard, learning_rate=0.01, studied_density=studied_densities[1]
        ),
        "warmup": replaced(
            standard,
            learning_rate=warmup_learning_rate,
            warmup=30_000,
            studied_density=studied_densities[2],
        ),
    }


# Figure 1's legend cannot be read, nor can Figure A2's but for VGG-13's. The text names
# 0, 500 and 2000, says that nothing is gained beyond 2000, and that rewinding begins to
# help ResNet-18 at about 250: these k can tell.
_EARLY_PHASE_ITERATIONS = (0, 100, 250, 500, 1000, 2000, 4000)


def early_phase_recipe(
    *,
    perturbed_iterations: tuple[Duration, ...],
    num_levels: int,
    studied_density: float,
    more_iterations: tuple[Duration, ...] = (),
    batch_size: int = 128,
    unpruned: tuple[str, ...] = (),
) -> Recipe:
    """Returns the recipe of variant early_phase.

    Args:
      perturbed_iterations: the k whose weights are perturbed.
      num_levels: prunings on the paper's axes.
      studied_density: of the paper's comparison of perturbations (Figures 8 and A8).
      more_iterations: k of the network's grid beside those that all networks have.
      batch_size: the one hyperparameter that networks differ in.
      unpruned: layers whose kernels are never pruned.
    """
    return Recipe(
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=batch_size,
        training_iterations="160ep",
        momentum=0.9,
        weight_decay=1e-4,
        milestones=("80ep", "120ep"),
        decay_factor=0.1,
        batch_norm_scale="uniform",
        replicates=5,
        pruning=PruningRecipe(
            rewind_iterations=tuple(
                sorted({*_EARLY_PHASE_ITERATIONS, *more_iterations})
            ),
            perturbed_iterations=perturbed_iterations,
            unpruned=unpruned,
            num_levels=num_levels,
            studied_density=studied_density,
        ),
    )
