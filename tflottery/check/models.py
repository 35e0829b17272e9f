"""What holds of every registered model."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from tflottery.check.contract import ContractError
from tflottery.core import recipes, seeds
from tflottery.core.registry import MODELS
from tflottery.pruning.prunable import prunable

if TYPE_CHECKING:
    import keras

_NUM_CLASSES = 10
_BATCH_SIZE = 4
# A whole number of iterations in an epoch matters nowhere: any number of examples does.
_NUM_EXAMPLES = 50_000
_LARGEST_OF_ONE_CHANNEL = 8
_NAMING = "give every layer a name that does not change from one building to the next"


def is_built_alike_each_time(name: str) -> str:
    """Two models of one process have the same layers, variables and paths."""
    from tflottery.models import weights
    from tflottery.models.architecture import architecture

    first, second = built(name), build(name)
    paths = [list(weights.variable_shapes(one).items()) for one in (first, second)]
    if paths[0] != paths[1]:
        only = [path for path, _ in set(paths[0]) ^ set(paths[1])]
        raise ContractError(
            f"variables that one building alone has: {sorted(only)[:4]}",
            expected="the same paths and shapes",
            remedy=_NAMING,
        )
    if architecture(first) != architecture(second):
        raise ContractError(
            "layers whose options or connections differ",
            expected="the same network each time",
            remedy="let nothing but input_shape and num_classes decide what is built",
        )
    return f"{len(paths[0])} variables"


def outputs_a_float32_logit_a_class(name: str) -> str:
    """Outputs are [batch, num_classes] float32, whatever the number of classes."""
    from tflottery.training import tasks

    for model, width in (
        (built(name), _NUM_CLASSES),
        (build(name, num_classes=_NUM_CLASSES + 3), _NUM_CLASSES + 3),
    ):
        outputs = tasks.main_outputs(model(_images(model), training=False))
        came = (tuple(outputs.shape), outputs.dtype.name)
        if came != ((_BATCH_SIZE, width), "float32"):
            raise ContractError(
                f"outputs of shape {came[0]} and dtype {came[1]}",
                expected=f"({_BATCH_SIZE}, {width}) and float32",
                remedy="end with a layer of num_classes units, without a softmax",
            )
        if not np.isfinite(outputs).all():
            raise ContractError(
                "outputs that are not finite",
                expected="numbers",
                remedy="look for a division by zero or a logarithm of it",
            )
    return f"{_NUM_CLASSES} and {_NUM_CLASSES + 3} classes"


def initial_weights_follow_the_seed_alone(name: str) -> None:
    """Weights are a function of the seed; other seeds draw other kernels."""
    from tflottery.models import weights

    model = built(name)
    first, again, other = (
        weights.initial_weights(model, seeds.init_seed(replicate))
        for replicate in (1, 1, 2)
    )
    if any(first[path].tobytes() != again[path].tobytes() for path in first):
        raise ContractError(
            "other weights for the same seed",
            expected="the same, bit for bit",
            remedy="register nothing that draws weights itself",
        )
    kernels = [path for path in first if path.endswith("/kernel")]
    same = [path for path in kernels if first[path].tobytes() == other[path].tobytes()]
    if same or not kernels:
        raise ContractError(
            f"kernels that no seed changes: {same or 'there are no kernels'}",
            expected="every kernel drawn from the seed",
            remedy="use layers whose weights are called kernel",
        )


def kernels_can_be_pruned(name: str) -> str:
    """Every kernel has a mask, and layers that recipes leave unpruned exist."""
    from tflottery import layers
    from tflottery.models import weights

    model = built(name)
    shapes = weights.variable_shapes(model)
    masked = {path: shapes[path] for path in layers.masks(model)}
    kernels = [path for path in shapes if path.endswith("/kernel")]
    bare = [path for path in kernels if path not in masked]
    if bare or not masked:
        raise ContractError(
            f"kernels without a mask: {bare or 'there are no kernels'}",
            expected="every kernel in a layer that can be masked",
            remedy="take layers.MaskedDense and layers.MaskedConv2D, and name what is "
            "never pruned in PruningRecipe(unpruned=...)",
        )
    chosen = set()
    for recipe in _recipes(name).values():
        # Refuses layers that the network does not have, and names those it has.
        chosen |= set(prunable(masked, unpruned=recipe.pruning.unpruned))
    size = sum(int(np.prod(masked[path])) for path in chosen)
    return f"{len(chosen)} of {len(masked)} kernels, {size:,} weights"


def pruned_weights_have_no_effect(name: str) -> None:
    """Outputs are the same whatever value a pruned weight had."""
    from tflottery import layers
    from tflottery.models import weights
    from tflottery.training import tasks

    model = built(name)
    drawn = weights.initial_weights(model, seeds.init_seed(1))
    masks = _half(model)
    others = {
        path: np.where(masks[path], value, np.float32(7)) if path in masks else value
        for path, value in drawn.items()
    }
    found = []
    for values in (drawn, others):
        weights.assign(model, values)
        layers.set_masks(model, masks)
        found.append(np.asarray(tasks.main_outputs(model(_images(model)))))
    layers.set_masks(model, {})
    if found[0].tobytes() != found[1].tobytes():
        raise ContractError(
            f"outputs that differ by up to {abs(found[0] - found[1]).max():.1e}",
            expected="the same bits",
            remedy="use kernels through their masked layers alone",
        )


def the_loop_can_train_it(name: str) -> None:
    """Arithmetic, losses and random numbers are those that the loop supports."""
    from tflottery.training import requirements

    requirements.validate(built(name))


def training_changes_what_is_kept_and_revives_nothing(name: str) -> None:
    """Two iterations change every weight that is kept; pruned ones stay 0.0."""
    from tflottery import layers
    from tflottery.models import weights

    model = built(name)
    weights.assign(model, weights.initial_weights(model, seeds.init_seed(1)))
    masks = _half(model)
    layers.set_masks(model, masks)
    before = weights.weights(model)
    losses = _trained(model, iterations=2)
    after = weights.weights(model)
    layers.set_masks(model, {})
    if not np.isfinite(losses).all():
        raise ContractError(
            f"losses {losses}", expected="numbers", remedy="see what outputs it gives"
        )
    still = [path for path, value in after.items() if (value == before[path]).all()]
    if still:
        raise ContractError(
            f"weights that two iterations do not change: {still}",
            expected="every one of them trained, or batch norm's statistics",
            remedy="leave out layers that nothing depends on, and trainable=False",
        )
    # Bytes, because -0.0 equals 0.0.
    revived = [
        p for p, mask in masks.items() if after[p][mask == 0].tobytes().strip(b"\0")
    ]
    if revived:
        raise ContractError(
            f"pruned weights that are not 0.0 after training: {revived}",
            expected="exactly 0.0",
            remedy="take the masked layers as they are",
        )


def recipes_are_whole(name: str) -> str:
    """Grids of iterations ascend, and end before training does."""
    known = _recipes(name)
    for variant, recipe in known.items():
        resolved = recipes.resolved(recipe, num_examples=_NUM_EXAMPLES)
        pruning, last = resolved.pruning, resolved.training_iterations
        for grid, values, least in (
            ("rewind_iterations", pruning.rewind_iterations, 0),
            ("perturbed_iterations", pruning.perturbed_iterations, 1),
            ("milestones", resolved.milestones, 1),
        ):
            inside = all(least <= value < last for value in values)
            if list(values) != sorted(set(values)) or not inside:
                raise ContractError(
                    f"{grid}={values} of variant {variant!r}",
                    expected=f"ascending, each once, from {least} to below {last}",
                    remedy="shorten the grid, or train for longer",
                )
    return ", ".join(known)


CHECKS = (
    is_built_alike_each_time,
    outputs_a_float32_logit_a_class,
    initial_weights_follow_the_seed_alone,
    kernels_can_be_pruned,
    pruned_weights_have_no_effect,
    the_loop_can_train_it,
    training_changes_what_is_kept_and_revives_nothing,
    recipes_are_whole,
)


def build(name: str, *, num_classes: int = _NUM_CLASSES) -> keras.Model:
    """Returns a new model for the smallest images it takes, of the form of digits."""
    size = max(MODELS[name]["minimum_image_size"], _LARGEST_OF_ONE_CHANNEL)
    channels = 1 if size == _LARGEST_OF_ONE_CHANNEL else 3
    return MODELS[name].function(
        input_shape=(size, size, channels), num_classes=num_classes
    )


@functools.lru_cache(maxsize=1)
def built(name: str) -> keras.Model:
    """Returns the model that the checks of one name share."""
    return build(name)


def _recipes(name: str) -> dict[str, recipes.Recipe]:
    """Returns the recipes of a model by variant, in the setting of its paper."""
    entry = MODELS[name]
    setting = recipes.Setting(entry["dataset"])
    return {
        variant: recipes.recipe_of(
            entry["recipes"], model=name, variant=variant, setting=setting
        )[1]
        for variant in entry["recipes"]
    }


def _half(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns masks that keep about half of every kernel, and one weight at least."""
    from tflottery import layers

    generator = np.random.default_rng(0)
    masks = {}
    for path, mask in layers.masks(model).items():
        masks[path] = (generator.random(mask.shape) < 0.5).astype(np.float32)
        masks[path].flat[0] = 1
    return masks


def _images(model: keras.Model) -> np.ndarray:
    """Returns a batch of random images, of the same seed each time."""
    generator = np.random.default_rng(1)
    shape = (_BATCH_SIZE, *model.input_shape[1:])
    return generator.normal(size=shape).astype(np.float32)


def _trained(model: keras.Model, *, iterations: int) -> list[float]:
    """Returns the losses of a few eager iterations (cheaper than tracing a graph)."""
    import keras
    import tensorflow as tf

    from tflottery.training import tasks

    task, images = tasks.task_of(None), _images(model)
    labels = np.arange(_BATCH_SIZE, dtype=np.int32)
    optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
    losses = []
    for _ in range(iterations):
        with tf.GradientTape() as tape:
            outputs = task.outputs(model, images, training=True)
            loss = tf.reduce_mean(task.training_losses(labels, outputs))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        losses.append(float(loss))
    return losses
