"""What the loop asks of networks and pretexts, checked before anything trains."""

import math
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tflottery.datasets import pipeline
from tflottery.datasets.source import Source
from tflottery.models import architecture
from tflottery.training import tasks
from tflottery.training.generators import Generators

# By the dtypes in which layers compute; variables and outputs are float32 in all.
_PRECISIONS = {
    frozenset({"float32"}): "float32",
    frozenset({"bfloat16"}): "mixed_bfloat16",
    frozenset({"float32", "bfloat16"}): "mixed_bfloat16",
}
# Activations and operations that make probabilities, where logits are expected.
_PROBABILITIES = ("softmax", "sigmoid")
_TRIED_IMAGES = 4
# Of which the labels alone are looked at, as many images as have so many values.
_TRIED_VALUES = 2**22
_TRIED_PASSES = 3


def validate(model: keras.Model) -> None:
    """Raises ValueError if the loop cannot train a built model as its author means.

    Changes: random states and batch norm statistics of the model.
    """
    precision(model)
    _validate_losses(model)
    _validate_logits(model)
    # Of the layers that are known all random numbers come from seed generators.
    if not architecture.is_known(model):
        random = np.random.default_rng(0)
        images = random.random((_TRIED_IMAGES, *model.input_shape[1:]), np.float32)
        validate_repeatable(model, images)


def validate_task(model: keras.Model, pretext: str, source: Source) -> None:
    """Tries a pretext with a network for it on a few images.

    Args:
      model: a built network, with the outputs that the pretext declares.
      pretext: name of a registered pretext.
      source: the data.

    Raises:
      ValueError: images, targets, losses or errors are not of the shapes, types and
        values they have to be of.
    """
    task = tasks.task_of(pretext)
    load = pipeline.loader(source, split="train", augmentation="none", pretext=pretext)
    # Those of training fit, or there was no loader.
    pipeline.relabelled(source.test.labels, pretext=pretext, pretext_seed=0)
    num_examples = len(source.train.labels)
    count = min(_TRIED_IMAGES, num_examples)
    # Of data that are sorted by class, the last class too.
    indices = np.linspace(0, num_examples - 1, count).astype(np.int32)
    images, targets = load(tf.constant(indices), tf.range(count))
    several = () if task.num_views == 1 else (task.num_views,)
    _validate_tensor(pretext, "images", images, (count, *several, *source.image_shape))
    _validate_tensor(
        pretext, "targets", targets, (count, *targets.shape[1:]), dtype="int32"
    )
    outputs = tasks.main_outputs(task.outputs(model, images, training=False))
    if task.losses is tasks.cross_entropies:
        _validate_tensor(pretext, "labels", targets, (count,), dtype="int32")
        _validate_labels(pretext, source, num_outputs=outputs.shape[-1])
    _validate_tensor(pretext, "losses", task.losses(targets, outputs), (count,))
    errors = task.errors(targets, outputs)
    _validate_tensor(pretext, "errors", errors, (count,), dtype="bool")


def validate_repeatable(model: keras.Model, inputs: object) -> None:
    """Raises ValueError unless a pass in training is a function of seeds and weights.

    A training with a layer that draws random numbers from elsewhere could not be
    resumed, nor repeated.

    Args:
      model: built.
      inputs: a batch, as the model takes it.

    Changes: random states of the model.
    """
    generators, weights = Generators(model), model.get_weights()
    generators.reseed(0)
    found = set()
    for _ in range(_TRIED_PASSES):
        model.set_weights(weights)
        generators.set(0)
        outputs = tf.nest.flatten(model(inputs, training=True))
        found.add(b"".join(one.numpy().tobytes() for one in outputs))
    model.set_weights(weights)
    if len(found) > 1:
        raise ValueError(
            f"Model {model.name!r} draws random numbers that do not come from seed "
            "generators of its layers, so that its training could not be resumed. In "
            "the layer that draws, set self.seed_generator = "
            "keras.random.SeedGenerator() and draw by keras.random with "
            "seed=self.seed_generator; for dropout, take layers.Dropout."
        )


def _validate_labels(pretext: str, source: Source, *, num_outputs: int) -> None:
    """Raises ValueError if labels of either split are not among a network's outputs."""
    found: set[int] = set()
    for split in ("train", "test"):
        load = pipeline.loader(
            source, split=split, augmentation="none", pretext=pretext
        )
        num_examples = len(getattr(source, split).labels)
        most = max(_TRIED_IMAGES, _TRIED_VALUES // math.prod(source.image_shape))
        count = min(most, num_examples)
        indices = np.linspace(0, num_examples - 1, count).astype(np.int32)
        _, labels = load(tf.constant(indices), tf.range(count))
        found.update(np.unique(labels.numpy()).tolist())
    if not found <= set(range(num_outputs)):
        raise ValueError(
            f"Pretext {pretext!r} gives labels {sorted(found)}, and its networks have "
            f"{num_outputs} outputs: labels go from 0 to {num_outputs - 1}. Declare "
            "num_outputs=."
        )


def precision(model: keras.Model) -> str:
    """Returns "float32" or "mixed_bfloat16": in what a model's layers compute.

    Raises:
      ValueError: in something else. float16 needs a loss that is scaled, and other
        dtypes of variables or outputs are not those of states and losses.
    """
    # Keras has no public way to the layers inside composite layers.
    parts = model._flatten_layers(include_self=False, recursive=True)
    computes = {one.compute_dtype for one in parts if one.weights}
    variables = {variable.dtype for variable in model.weights}
    outputs = {keras.backend.standardize_dtype(one.dtype) for one in _outputs(model)}
    found = _PRECISIONS.get(frozenset(computes))
    if found is None or variables | outputs != {"float32"}:
        raise ValueError(
            f"Model {model.name!r} computes in {_listed(computes)}, with variables of "
            f"{_listed(variables)} and outputs of {_listed(outputs)}. The loop trains "
            "networks that compute in float32, bfloat16 or both, with variables and "
            "outputs of float32: dtype='mixed_bfloat16' for the layers inside, and "
            "dtype='float32' for the last one."
        )
    return found


def _validate_tensor(
    pretext: str, name: str, found: tf.Tensor, shape: tuple, *, dtype: str = "float32"
) -> None:
    """Raises ValueError unless something of a pretext has its shape and dtype."""
    if tuple(found.shape) != shape or found.dtype.name != dtype:
        raise ValueError(
            f"Pretext {pretext!r} gives {name} of shape {tuple(found.shape)} and dtype "
            f"{found.dtype.name} for {shape[0]} examples; {shape} and {dtype} are "
            "expected. See tflottery/pretexts."
        )


def _validate_losses(model: keras.Model) -> None:
    """Raises ValueError if layers add losses, which the loop would leave out."""
    if model.losses:
        raise ValueError(
            f"Model {model.name!r} adds {len(model.losses)} losses of its own "
            "(regularizers, add_loss), which the loop does not train with. The L2 term "
            "is --weight_decay; leave the others out."
        )


def _validate_logits(model: keras.Model) -> None:
    """Raises ValueError if outputs are probabilities, of which losses would be wrong.

    Cross-entropy is computed from logits; it takes probabilities without complaint, and
    the network trains badly.
    """
    for operation in last_operations(model):
        activation = getattr(operation, "activation", operation)
        name = getattr(activation, "__name__", type(activation).__name__).lower()
        if name in _PROBABILITIES:
            raise ValueError(
                f"Model {model.name!r} ends in a {name} ({operation.name!r}), and the "
                "losses are computed from logits. Leave it out: end with a layer "
                "without activation."
            )


def last_operations(model: keras.Model) -> Iterator[keras.Operation]:
    """Yields the layers, or operations, that make the outputs of a model."""
    for output in _outputs(model):
        operation = output._keras_history.operation
        if isinstance(operation, keras.Model):
            yield from last_operations(operation)
        else:
            yield operation


def _outputs(model: keras.Model) -> list[keras.KerasTensor]:
    """Returns the symbolic outputs of a functional model."""
    return getattr(model, "outputs", [])


def _listed(names: set[str]) -> str:
    """Returns names as a sentence has them."""
    return ", ".join(sorted(names)) or "nothing"
