"""Facts about a network and a data set that a plan needs before anything trains."""

import dataclasses

from tflottery.core.identities import Data, Network
from tflottery.core.registry import MODELS
from tflottery.datasets import source as sources
from tflottery.training.workshop import Workshop


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a plan needs to know of a network on a data set.

    Attributes:
      network: the architecture.
      data: the data set.
      num_weights: weights and batch norm statistics.
      num_trainable: trainable weights.
      kernel_sizes: number of weights of each maskable kernel, by variable path.
      flops_per_example: of a forward pass, multiplications and additions apart.
      num_reestimation_examples: images on which batch norm statistics are
        re-estimated; 0 where there are none.
      num_replicas: devices that share a batch.
    """

    network: Network
    data: Data
    num_weights: int
    num_trainable: int
    kernel_sizes: dict[str, int]
    flops_per_example: int
    num_reestimation_examples: int
    num_replicas: int


def inspect(
    model: str, dataset: str, workshop: Workshop, *, pretext: str | None = None
) -> Facts:
    """Returns the facts, having made the data ready and the network once.

    Raises:
      ValueError: an unknown name, or a network that does not fit the images.
    """
    source = workshop.source(dataset, model=model)
    shape = source.image_shape
    needed = MODELS[model]["minimum_image_size"]
    if min(shape[:2]) < needed:
        raise ValueError(
            f"Model {model!r} needs images of at least {needed}x{needed}; those of "
            f"{dataset!r} have {shape[0]}x{shape[1]}. Choose another --dataset, or "
            "--model=lenet, which takes any."
        )
    num_classes = sources.num_classes(source, pretext=pretext)
    network = Network(model, source.image_shape, num_classes)
    data = Data(
        name=source.name,
        version=source.version,
        digest=source.digest,
        image_shape=source.image_shape,
        num_train=len(source.train.labels),
        num_test=len(source.test.labels),
        num_classes=source.num_classes,
        pretext=pretext,
    )
    return _measured(network, data, workshop)


def _measured(network: Network, data: Data, workshop: Workshop) -> Facts:
    """Returns the facts of a network, which is built for that and thrown away."""
    import keras

    from tflottery.layers import masked
    from tflottery.models import weights
    from tflottery.training import evaluation

    model = MODELS[network.model].function(
        input_shape=network.input_shape, num_classes=network.num_classes
    )
    sizes = {path: value.size for path, value in weights.weights(model).items()}
    trainable = sum(sizes[variable.path] for variable in model.trainable_variables)
    layers = masked.masked_layers(model)
    flops = 0
    for layer in layers:
        positions = 1
        if len(layer.output.shape) == 4:
            positions = layer.output.shape[1] * layer.output.shape[2]
        flops += 2 * sizes[layer.kernel.path] * positions
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    strategy = workshop.strategy
    return Facts(
        network=network,
        data=data,
        num_weights=sum(sizes.values()),
        num_trainable=trainable,
        kernel_sizes={layer.kernel.path: sizes[layer.kernel.path] for layer in layers},
        flops_per_example=flops,
        num_reestimation_examples=evaluation.REESTIMATION_EXAMPLES if norms else 0,
        num_replicas=strategy.num_replicas_in_sync if strategy else 1,
    )
