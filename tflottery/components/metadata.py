"""Facts about a network and a data set that a plan needs before anything trains."""

import dataclasses
import typing

from tflottery.core import fingerprints
from tflottery.core.identities import Data, Network
from tflottery.core.registry import MODELS, PRETEXTS
from tflottery.datasets import pipeline
from tflottery.datasets import source as sources
from tflottery.datasets.source import Source
from tflottery.training.runtime import Runtime

if typing.TYPE_CHECKING:
    import keras

# Of a layer's configuration, what says nothing about the function it computes.
_IMMATERIAL = ("module", "registered_name", "dtype", "build_config", "trainable")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a plan needs to know of a network on a data set.

    Attributes:
      network: the architecture.
      data: the data set.
      num_weights: weights and batch norm statistics.
      num_trainable: trainable weights.
      kernel_shapes: of each maskable kernel, in network order, by variable path.
      flops_per_example: of a forward pass, multiplications and additions apart.
      has_batch_norm: whether there are statistics to re-estimate.
      num_replicas: devices that share a batch.
    """

    network: Network
    data: Data
    num_weights: int
    num_trainable: int
    kernel_shapes: dict[str, tuple[int, ...]]
    flops_per_example: int
    has_batch_norm: bool
    num_replicas: int


def inspect(
    model: str, dataset: str, runtime: Runtime, *, pretext: str | None = None
) -> Facts:
    """Returns the facts, having made the data ready and the network once.

    Raises:
      ValueError: an unknown name, or a network or pretext that does not fit the images.
    """
    source = runtime.source(dataset, model=model)
    shape = source.image_shape
    needed = MODELS[model]["minimum_image_size"]
    if min(shape[:2]) < needed:
        raise ValueError(
            f"Model {model!r} needs images of at least {needed}x{needed}; those of "
            f"{dataset!r} have {shape[0]}x{shape[1]}. Choose another --dataset, or "
            "--model=lenet, which takes any."
        )
    data = Data(
        name=source.name,
        version=source.version,
        digest=source.digest,
        image_shape=source.image_shape,
        num_train=len(source.train.labels),
        num_test=len(source.test.labels),
        num_classes=source.num_classes,
        pretext=pretext,
        pretext_version=PRETEXTS[pretext]["version"] if pretext else None,
    )
    if pretext:
        _try(pretext, source)
    num_classes = sources.num_classes(source, pretext=pretext)
    return _measured(model, data, num_classes, runtime)


def _try(pretext: str, source: Source) -> None:
    """Raises ValueError if a pretext refuses the images of a dataset."""
    import tensorflow as tf

    load = pipeline.loader(
        source, split="test", augmentation="none", pretext=pretext, pretext_seed=0
    )
    try:
        load(tf.zeros(1, tf.int32), tf.zeros(1, tf.int32))
    except ValueError as error:
        raise ValueError(
            f"Dataset {source.name!r} does not suit the pretext {pretext!r}: {error}"
        ) from error


def _measured(model_name: str, data: Data, num_classes: int, runtime: Runtime) -> Facts:
    """Returns the facts of a network, which is built for that and thrown away."""
    from tflottery import layers
    from tflottery.models import weights

    model = MODELS[model_name].function(
        input_shape=data.image_shape, num_classes=num_classes
    )
    network = Network(model_name, data.image_shape, num_classes, architecture(model))
    sizes = {path: value.size for path, value in weights.weights(model).items()}
    trainable = sum(sizes[variable.path] for variable in model.trainable_variables)
    maskable = layers.masked_layers(model)
    flops = 0
    for layer in maskable:
        positions = 1
        if len(layer.output.shape) == 4:
            positions = layer.output.shape[1] * layer.output.shape[2]
        flops += 2 * sizes[layer.kernel.path] * positions
    strategy = runtime.strategy
    return Facts(
        network=network,
        data=data,
        num_weights=sum(sizes.values()),
        num_trainable=trainable,
        kernel_shapes={
            layer.kernel.path: tuple(layer.kernel.shape) for layer in maskable
        },
        flops_per_example=flops,
        has_batch_norm=bool(layers.normalizations(model)),
        num_replicas=strategy.num_replicas_in_sync if strategy else 1,
    )


def architecture(model: "keras.Model") -> str:
    """Returns a fingerprint of a model's layers and how they are connected.

    Names count where they are part of a weight's path; Keras numbers the others anew
    in each process.
    """
    names = {model.name: "model"} | {
        layer.name: f"layer {index}"
        for index, layer in enumerate(model.layers)
        if not layer.weights
    }
    return fingerprints.fingerprint(_material(model.get_config(), names), length=16)


def _material(config: object, names: dict[str, str]) -> object:
    """Returns a configuration without what does not change what is computed."""
    if isinstance(config, dict):
        return {
            name: _material(value, names)
            for name, value in config.items()
            if name not in _IMMATERIAL and not name.endswith("_initializer")
        }
    if isinstance(config, list | tuple):
        return [_material(value, names) for value in config]
    if isinstance(config, str):
        return names.get(config, config)
    if config is None or isinstance(config, bool | int | float):
        return config
    return repr(config)
