"""Recipes: the hyperparameters with which a paper trains and prunes a network.

A recipe belongs to a model, a variant (`standard`, `low`, `warmup`, ...) and a setting,
the data set and the task that is learned. It says how the network is trained, and in
its `pruning` how subnetworks are found in it, which decides no training.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from tflottery.core import durations, subsets
from tflottery.core.durations import Duration
from tflottery.core.initializers import BATCH_NORM_SCALES, KERNEL_INITIALIZERS

OPTIMIZERS = ("sgd", "adam")
# How images are changed in training (`datasets.augmentations`); where they have many
# sizes, also which part of each is seen (`datasets.crops`).
RESIZED_CROP = "resized_crop"
AUGMENTATIONS = ("none", "flip_crop", "flip_crop_2", "flip_crop_2_colour", RESIZED_CROP)
INPUT_SCALINGS = ("unit_interval", "standardized")
# The task of naming what is seen, by the labels of the data set; all others are
# pretexts.
LABELS = "labels"
# The values that are names, and those that are known.
_NAMES = {
    "optimizer": OPTIMIZERS,
    "kernel_initializer": KERNEL_INITIALIZERS,
    "batch_norm_scale": BATCH_NORM_SCALES,
    "augmentation": (*AUGMENTATIONS, None),
    "input_scaling": (*INPUT_SCALINGS, None),
    "random_counts": ("per_layer", "global"),
    "random_weights": ("rewound", "initial"),
    "schedule": ("continued", "restarted"),
    "first_pruning": ("trunk", "copy"),
}
# The grids of k.
_GRIDS = (
    "rewind_iterations",
    "dense_iterations",
    "throughout_iterations",
    "perturbed_iterations",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PruningRecipe:
    """How subnetworks are found. Durations take every form of `core.durations`.

    Attributes:
      unpruned: names of the layers whose kernels are never pruned (but counted on the
        paper's axis).
      rewind_iterations: the paper's grid of k, at which copies part and to which
        survivors are rewound.
      dense_iterations: the grid of figures where dense networks alone are copied; ():
        the same.
      throughout_iterations: likewise where they are compared at every epoch.
      perturbed_iterations: the k whose weights the paper perturbs; (): the positive
        ones of `rewind_iterations`.
      pruning_fraction: fraction of the surviving weights that a pruning removes.
      one_shot: whether each level is pruned from the dense network at once, not from
        the level before.
      num_levels: prunings on the paper's axes of density.
      measured_levels: those of which subnetworks are trained and measured, as --levels
        has them; (): all of them.
      random_counts: survivors of random pruning: "per_layer" (as many as IMP's in each
        layer, which fits the axes of LMC's Figures 7 and 8) or "global".
      random_weights: of random pruning: "rewound" to the k of the tickets beside it
        (LMC), or "initial", those of iteration 0 (LS).
      schedule: of what trains from weights at k: "continued" goes on at k on schedule
        and data order, "restarted" begins both anew and trains for the whole length.
      first_pruning: the dense network whose end is pruned to level 1: "trunk", trained
        without a break, or "copy", which parts from it at k on a data order of its own
        (LMC, Algorithm 2, read literally).
      studied_density: kept fraction at which the paper compares subnetworks; its
        nearest level counts, as papers that count unpruned weights name a higher one.
    """

    unpruned: tuple[str, ...] = ()
    rewind_iterations: tuple[Duration, ...] = (0,)
    dense_iterations: tuple[Duration, ...] = ()
    throughout_iterations: tuple[Duration, ...] = ()
    perturbed_iterations: tuple[Duration, ...] = ()
    pruning_fraction: float = 0.2
    one_shot: bool = False
    num_levels: int = 14
    measured_levels: tuple[str, ...] = ()
    random_counts: str = "per_layer"
    random_weights: str = "rewound"
    schedule: str = "continued"
    first_pruning: str = "trunk"
    studied_density: float = 0.168

    def __post_init__(self) -> None:
        """Makes floats of whole numbers; refuses a value out of bounds."""
        _make_floats(self)
        _refuse_out_of_bounds(
            self,
            {
                "pruning_fraction": (0 < self.pruning_fraction < 1, "in (0, 1)"),
                "num_levels": (self.num_levels >= 1, "at least 1"),
                "studied_density": (0 < self.studied_density <= 1, "in (0, 1]"),
            },
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained. Durations take every form of `core.durations`.

    Attributes:
      optimizer: "sgd" or "adam".
      learning_rate: the rate before decay and after warmup.
      batch_size: global batch size.
      replica_batch_size: images of each part of a batch, which batch norm sees by
        itself, on however many devices; None: one part on each device.
      training_iterations: length of a whole training.
      momentum: of SGD; accumulates gradients.
      weight_decay: factor of the L2 term in the gradient, on all trainable weights.
      milestones: when the rate is multiplied by `decay_factor`.
      decay_factor: in (0, 1].
      final_learning_rate: what the rate falls to linearly, from the first update to the
        end of training; None: it falls at milestones only. Has no milestones.
      warmup: how long the rate rises linearly from zero.
      augmentation: "flip_crop" mirrors images or not and moves them by up to four
        pixels, "flip_crop_2" by up to two, "flip_crop_2_colour" also changes their
        colours, "resized_crop" shows a part of an image of any size, mirrored or not,
        "none" changes nothing; None: the data set's own way (`adapt_recipe`).
      kernel_initializer: what kernels are drawn from (`core.initializers`).
      batch_norm_scale: batch norm's initial gamma: "ones", or "uniform" in [0, 1).
      input_scaling: "unit_interval" has images in [0, 1], "standardized" with mean 0
        and standard deviation 1 in each channel over the training images; None: the
        data set's own way.
      replicates: independent repetitions.
      pruning: how subnetworks are found in the network.
    """

    optimizer: str
    learning_rate: float
    batch_size: int
    training_iterations: Duration
    replica_batch_size: int | None = None
    momentum: float = 0.0
    weight_decay: float = 0.0
    milestones: tuple[Duration, ...] = ()
    decay_factor: float = 0.1
    final_learning_rate: float | None = None
    warmup: Duration = 0
    augmentation: str | None = None
    kernel_initializer: str = "he_normal"
    batch_norm_scale: str = "ones"
    input_scaling: str | None = None
    replicates: int = 3
    pruning: PruningRecipe = dataclasses.field(default_factory=PruningRecipe)

    def __post_init__(self) -> None:
        """Makes floats of whole numbers; refuses a value out of bounds."""
        _make_floats(self)
        final = self.final_learning_rate
        falls = f"the rate falls linearly: final_learning_rate={final!r}"
        part = self.replica_batch_size
        _refuse_out_of_bounds(
            self,
            {
                "learning_rate": (
                    0 < self.learning_rate < math.inf,
                    "above 0 and finite",
                ),
                "batch_size": (self.batch_size >= 1, "at least 1"),
                "replica_batch_size": (
                    part is None or (part >= 1 and not self.batch_size % part),
                    f"a divisor of batch_size={self.batch_size!r}",
                ),
                "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
                "weight_decay": (
                    0 <= self.weight_decay < math.inf,
                    "at least 0 and finite",
                ),
                "decay_factor": (0 < self.decay_factor <= 1, "in (0, 1]"),
                "replicates": (self.replicates >= 1, "at least 1"),
                "final_learning_rate": (
                    final is None or 0 <= final <= self.learning_rate,
                    f"at least 0 and at most learning_rate={self.learning_rate!r}",
                ),
                "milestones": (
                    final is None or not self.milestones,
                    f"empty where {falls}",
                ),
            },
        )


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a network learns: a variant may have another recipe for each.

    Attributes:
      dataset: name of the data set.
      task: "labels" or a registered pretext.
      subset: the part of the data set that is trained on, as `core.subsets` has it; of
        a pretext that sees unlabeled images, the part that has labels. None: all.
      shaped_like: name of another data set, to whose height, width and channels images
        are brought; None: they keep their own.
    """

    dataset: str
    task: str = LABELS
    subset: str | None = None
    shaped_like: str | None = None

    def __post_init__(self) -> None:
        """Writes the subset in one way; refuses what names none, and empty names."""
        for name in ("dataset", "shaped_like"):
            if getattr(self, name) == "":
                raise ValueError(
                    f"--{name} is empty: name a data set, or leave it out."
                )
        if self.subset is not None:
            part = subsets.parse(self.subset)
            object.__setattr__(self, "subset", None if part is None else str(part))

    @property
    def pretext(self) -> str | None:
        """The pretext that is learned; None is naming what is seen."""
        return None if self.task == LABELS else self.task


# Of a model, by variant: one recipe for all settings, or a function of the setting.
Recipes = Mapping[str, Recipe | Callable[[Setting], Recipe]]


def recipe_of(
    recipes: Recipes, *, model: str, variant: str | None, setting: Setting
) -> tuple[str, Recipe]:
    """Returns the variant's name and recipe; None is the model's first variant.

    Raises:
      ValueError: the model has no such variant; lists those it has. Or the variant has
        no recipe for the setting.
    """
    name = variant or next(iter(recipes))
    if name not in recipes:
        raise ValueError(
            f"Model {model!r} has no variant {name!r}. Known: {', '.join(recipes)}."
        )
    found = recipes[name]
    return name, found(setting) if callable(found) else found


def resolved(recipe: Recipe, *, num_examples: int) -> Recipe:
    """Returns the recipe with every duration as a number of iterations."""

    def iterations(duration: Duration) -> int:
        return durations.iterations(
            duration, num_examples=num_examples, batch_size=recipe.batch_size
        )

    grids = {
        name: tuple(map(iterations, getattr(recipe.pruning, name))) for name in _GRIDS
    }
    return replaced(
        recipe,
        training_iterations=iterations(recipe.training_iterations),
        milestones=tuple(map(iterations, recipe.milestones)),
        warmup=iterations(recipe.warmup),
        **grids,
    )


def replaced(recipe: Recipe, **values: object) -> Recipe:
    """Returns the recipe with other values, of training or of pruning, by name."""
    names = {field.name for field in dataclasses.fields(PruningRecipe)}
    pruning = {name: values.pop(name) for name in names & values.keys()}
    own = dataclasses.replace(recipe.pruning, **pruning)
    return dataclasses.replace(recipe, **({"pruning": own} | values))


def plain_values(recipe: Recipe) -> dict[str, object]:
    """Returns every value of a recipe by name, those of training first."""
    values = dataclasses.asdict(recipe)
    pruning = values.pop("pruning")
    return values | pruning


def with_length(recipe: Recipe, training_iterations: int) -> Recipe:
    """Returns a resolved recipe of another length.

    Milestones and warmup scale with the training, and a linear fall reaches
    the final rate at the new end; a recipe that has none of them is the same
    trajectory, cut or continued. The grids of k stay as they are.
    """

    def scaled(iteration: int) -> int:
        old = recipe.training_iterations
        return (2 * iteration * training_iterations + old) // (2 * old)

    return dataclasses.replace(
        recipe,
        training_iterations=training_iterations,
        milestones=tuple(map(scaled, recipe.milestones)),
        warmup=scaled(recipe.warmup),
    )


def at_final_rate(recipe: Recipe) -> Recipe:
    """Returns the recipe with the last rate of its training throughout.

    Raises:
      ValueError: the rate falls to zero, with which nothing trains.
    """
    rate = recipe.final_learning_rate
    if rate is None:
        last = recipe.training_iterations
        drops = sum(milestone < last for milestone in recipe.milestones)
        rate = recipe.learning_rate * recipe.decay_factor**drops
    if not rate:
        raise ValueError(
            "The learning rate falls to 0, with which fine_tuning would change "
            "nothing. Give --final_learning_rate, or leave fine_tuning out."
        )
    return dataclasses.replace(
        recipe,
        learning_rate=rate,
        final_learning_rate=None,
        milestones=(),
        warmup=0,
    )


def simplified(recipe: Recipe) -> Recipe:
    """Returns a recipe of the same training without what changes nothing in it.

    Milestones at which the rate is multiplied by 1 are none, a linear fall to the rate
    itself is no fall, and without a data set to say how, images are not augmented.
    """
    if recipe.augmentation is None:
        recipe = dataclasses.replace(recipe, augmentation="none")
    if recipe.decay_factor == 1:
        recipe = dataclasses.replace(recipe, milestones=())
    if recipe.final_learning_rate == recipe.learning_rate:
        recipe = dataclasses.replace(recipe, final_learning_rate=None)
    return recipe


def has_memory(recipe: Recipe) -> bool:
    """Returns whether an update depends on earlier gradients, through slots."""
    return recipe.optimizer != "sgd" or recipe.momentum > 0


def trajectory(recipe: Recipe) -> dict[str, object]:
    """Returns what of a resolved recipe decides a trajectory: not its length.

    Nor how weights are drawn, images scaled and batches divided, which a run's initial
    weights, data and replicas tell. Where the rate falls linearly to the end of
    training, the length decides too. What changes nothing (momentum under adam, the
    factor of no decay, the order of milestones, all that `simplified` leaves out) makes
    no other run of the same one.
    """
    recipe = simplified(recipe)
    names = ["optimizer", "learning_rate", "batch_size", "weight_decay"]
    names += ["milestones", "warmup", "augmentation"]
    names += ["momentum"] if recipe.optimizer == "sgd" else []
    names += ["decay_factor"] if recipe.milestones else []
    if recipe.final_learning_rate is not None:
        names += ["final_learning_rate", "training_iterations"]
    decided = {name: getattr(recipe, name) for name in names}
    return decided | {"milestones": tuple(sorted(recipe.milestones))}


def _make_floats(recipe: Recipe | PruningRecipe) -> None:
    """Makes floats of whole numbers where a float belongs.

    So that 0, 0.0 and -0.0 are one value, as they are to the training.
    """
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if field.type in (float, float | None) and value is not None:
            object.__setattr__(recipe, field.name, float(value) + 0.0)


def _refuse_out_of_bounds(
    recipe: Recipe | PruningRecipe, allowed: Mapping[str, tuple[bool, str]]
) -> None:
    """Raises ValueError for the first value that does not hold what is expected."""
    names = {
        name: (getattr(recipe, name) in known, f"one of {_listed(known)}")
        for name, known in _NAMES.items()
        if hasattr(recipe, name)
    }
    for name, (holds, expected) in (names | allowed).items():
        if not holds:
            value = getattr(recipe, name)
            raise ValueError(f"{name}={value!r} has to be {expected}.")


def _listed(names: Sequence[str | None]) -> str:
    return ", ".join(filter(None, names))
