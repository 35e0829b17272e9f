"""Recipes of variant limited_supervision: how tickets are found with few labels.

Appendix A of Finding Winning Tickets with Limited (or No) Supervision has a row for
each data set, network, task and subset. What the paper does not say is read so:

- Rows of subsets and of semi-supervised learning name no network: they are
  ResNet-50's, which Section 4.2 names. Those of CIFAR-10 are for VGG-19 and ResNet-18;
  all other networks follow them there, and tasks without a row the one of labels.
- Subsets of CIFAR-10 (Figure 10) and semi-supervised learning on it have no rows.
  Epochs and milestones grow as on ImageNet, from 90 to 200 epochs, and to 1000 where
  1% of the data are seen or less; they are rounded to whole epochs.
- Tickets are rewound to 3,840,000 examples on ImageNet (Appendix B: 3 x 1,280,000) and
  on Places365; on CIFAR-10 to an epoch, 50,000 examples, of which a subset is seen more
  often.
- Images of CIFAR-10 are flipped and cropped; where 1% are seen or less, their colours
  change too, as the paper says of its rows of 1%; under permuted labels they stay as
  they are. Those rows are ImageNet's, where we depart from the paper: what shows parts
  of images of many sizes leaves their colours alone.
- Every other data set (MNIST, digits) follows CIFAR-10's rows with its own number of
  images, augmented in its own way. Where a subset of it is seen, tickets are rewound to
  the whole number of its epochs that comes nearest to an epoch of all images.
"""

import dataclasses
import functools
from collections.abc import Callable

from tflottery.core import subsets
from tflottery.core.durations import Duration
from tflottery.core.recipes import LABELS, PruningRecipe, Recipe, Setting


@dataclasses.dataclass(frozen=True)
class _Row:
    """A row of Appendix A.

    Attributes:
      task: that finds the ticket.
      subset: of the images or classes, as `Setting` has it; None: all.
      epochs: of what is trained on.
      batch_size: of all the paper's GPUs together.
      replica_batch_size: of each of them; None: of the one there is.
      learning_rate: a tenth of it after each of `decay_epochs`.
      warmup_epochs: how long the rate rises.
      weight_decay: factor of the L2 penalty.
      decay_epochs: when the rate falls.
    """

    task: str
    subset: str | None
    epochs: int
    batch_size: int
    replica_batch_size: int | None
    learning_rate: float
    warmup_epochs: int
    weight_decay: float
    decay_epochs: tuple[int, ...]


_SEMI_SUPERVISED = "semi_supervised"
# By data set and network (None: any). Columns are the attributes of `_Row`: task and
# subset; epochs, batch size, of each GPU, rate, warmup, weight decay and decays.
APPENDIX_A: dict[tuple[str, str | None], tuple[_Row, ...]] = {
    ("imagenet2012", "alexnet"): (
        _Row("labels", None, 90, 4096, 512, 0.4, 0, 1e-4, (30, 60)),
        _Row("rotation", None, 90, 8192, 512, 0.5, 2, 1e-5, (30, 60)),
        _Row("exemplar", None, 30, 4096, 256, 0.1, 0, 1e-4, (20,)),
    ),
    ("imagenet2012", "resnet50"): (
        _Row("labels", None, 90, 1536, 96, 0.1, 0, 1e-4, (50, 65, 80)),
        _Row("labels", "images:0.3", 200, 1536, 96, 0.1, 5, 3e-4, (140, 160, 180)),
        _Row("labels", "classes:0.3", 200, 1536, 96, 0.03, 5, 1e-3, (140, 160, 180)),
        _Row("labels", "images:0.1", 200, 768, 96, 0.1, 5, 1e-3, (140, 160, 180)),
        _Row("labels", "classes:0.1", 200, 768, 96, 0.3, 5, 3e-4, (140, 160, 180)),
        _Row("labels", "images:0.01", 1000, 768, 96, 0.1, 0, 1e-3, (700, 800, 900)),
        _Row("labels", "classes:0.01", 1000, 768, 96, 0.01, 0, 3e-3, (700, 800, 900)),
        _Row(
            _SEMI_SUPERVISED, "images:0.1", 200, 2048, 64, 0.1, 5, 3e-4, (140, 160, 180)
        ),
        _Row("rotation", None, 90, 1536, 96, 1.0, 5, 1e-5, (50, 65, 80)),
        _Row("exemplar", None, 30, 1536, 48, 1.0, 0, 1e-5, (20, 25)),
    ),
    ("places365_small", "resnet50"): (
        _Row("labels", None, 90, 2048, 128, 0.1, 0, 1e-4, (50, 65, 80)),
    ),
    ("cifar10", None): (
        _Row("labels", None, 160, 512, None, 1e-3, 0, 1e-4, (80, 120)),
        _Row("rotation", None, 160, 512, None, 1e-3, 0, 1e-4, (80, 120)),
        _Row("exemplar", None, 180, 512, None, 3e-4, 0, 1e-4, (120,)),
        _Row("permuted_labels", None, 160, 512, None, 1e-3, 0, 1e-4, (80, 120)),
    ),
}
_CIFAR10 = "cifar10"
_SMALL_COLOURED = (_CIFAR10, "cifar10_16x16")
# Tasks that are another reading of one that has a row.
_READINGS = {"rotation_all": "rotation"}
# The data sets whose networks and settings without a row have no recipe.
_STRICT = {dataset for dataset, _ in APPENDIX_A} - {_CIFAR10}
# How many times the epochs a subset takes; and one of this fraction or less.
_GROWTH = 200 / 90
_SMALL_FRACTION, _SMALL_GROWTH = 0.01, 1000 / 90


def recipes_of(network: str) -> dict[str, Callable[[Setting], Recipe]]:
    """Returns the variant of a network, as registrations take it.

    Args:
      network: its name, that of its family where it has several forms.
    """
    return {"limited_supervision": functools.partial(recipe, network)}


def recipe(network: str, setting: Setting) -> Recipe:
    """Returns the recipe of a network in a setting.

    Raises:
      ValueError: the paper's data set has no row for it; lists those there are.
    """
    if setting.dataset in _STRICT:
        return _recipe_of_row(
            _row(network, setting),
            optimizer="sgd",
            momentum=0.9,
            rewind="3840000ex",
            replicates=3,
        )
    return _recipe_of_row(
        _cifar10_row(setting),
        optimizer="adam",
        augmentation=augmentation_of(setting),
        rewind=_cifar10_rewind(setting),
        replicates=5,
    )


def growth_of(setting: Setting) -> float:
    """Returns how many times the epochs of all data a subset is trained for."""
    if setting.subset is None:
        return 1
    return _SMALL_GROWTH if sees_few(setting) else _GROWTH


def augmentation_of(setting: Setting) -> str | None:
    """Returns how images are augmented; None: as the data set has it."""
    if setting.task == "permuted_labels":
        return "none"
    if setting.dataset not in _SMALL_COLOURED:
        return None
    return "flip_crop_2_colour" if sees_few(setting) else "flip_crop_2"


def sees_few(setting: Setting) -> bool:
    """Returns whether 1% of the data are seen or less, labeled or not."""
    if setting.subset is None or setting.task == _SEMI_SUPERVISED:
        return False
    return subsets.parse(setting.subset).fraction <= _SMALL_FRACTION


def _recipe_of_row(row: _Row, *, rewind: Duration, **values: object) -> Recipe:
    """Returns the recipe of a row, with values that the rows do not have."""
    return Recipe(
        learning_rate=row.learning_rate,
        batch_size=row.batch_size,
        replica_batch_size=row.replica_batch_size,
        training_iterations=f"{row.epochs}ep",
        weight_decay=row.weight_decay,
        milestones=tuple(f"{epochs}ep" for epochs in row.decay_epochs),
        decay_factor=0.1,
        warmup=f"{row.warmup_epochs}ep",
        pruning=PruningRecipe(
            rewind_iterations=(rewind,),
            unpruned=("head",),
            num_levels=30,
            # The rows of Tables 2 to 7.
            measured_levels=("1-6", "9-30:3"),
            random_counts="global",
            random_weights="initial",
            schedule="restarted",
            studied_density=0.069,
        ),
        **values,
    )


def _row(network: str, setting: Setting) -> _Row:
    """Returns the row of ImageNet or Places365 for a network and setting."""
    rows = {
        (named, row.task, row.subset): row
        for (dataset, named), of_network in APPENDIX_A.items()
        for row in of_network
        if dataset == setting.dataset
    }
    task = _READINGS.get(setting.task, setting.task)
    key = (network, task, setting.subset)
    if key not in rows:
        known = ", ".join(" ".join(filter(None, one)) for one in rows)
        raise ValueError(
            f"Variant 'limited_supervision' has no recipe for model {network!r} on "
            f"{setting.dataset!r} with task={setting.task!r} and "
            f"subset={setting.subset!r}. The paper has there: {known}."
        )
    return rows[key]


def _cifar10_row(setting: Setting) -> _Row:
    """Returns the row of CIFAR-10, for as long as a subset takes."""
    rows = {row.task: row for row in APPENDIX_A[_CIFAR10, None]}
    task = _READINGS.get(setting.task, setting.task)
    row = rows.get(task, rows[LABELS])
    growth = growth_of(setting)
    return dataclasses.replace(
        row,
        epochs=round(growth * row.epochs),
        decay_epochs=tuple(round(growth * epochs) for epochs in row.decay_epochs),
    )


def _cifar10_rewind(setting: Setting) -> Duration:
    """Returns what CIFAR-10 and data sets like it are rewound to."""
    if setting.subset is None or setting.task == _SEMI_SUPERVISED:
        return "1ep"
    if setting.dataset == _CIFAR10:
        return "50000ex"
    return f"{round(1 / subsets.parse(setting.subset).fraction)}ep"
