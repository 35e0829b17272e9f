"""Facts about a network and a data set that a plan needs before anything trains."""

import dataclasses
import math
import typing

from tflottery.core.identities import Data, Network
from tflottery.core.recipes import Setting
from tflottery.core.registry import MODELS, PRETEXTS
from tflottery.datasets import forms
from tflottery.datasets import source as sources
from tflottery.datasets.source import Source
from tflottery.training.runtime import Runtime

if typing.TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a plan needs to know of a network on a data set.

    Attributes:
      network: the architecture.
      data: the data set.
      num_weights: weights and batch norm statistics.
      num_trainable: trainable weights.
      kernel_shapes: of each maskable kernel, in network order, by variable path.
      flops_per_example: of a forward pass of all its views, multiplications and
        additions apart.
      has_batch_norm: whether there are statistics to re-estimate.
      num_devices: how many share a batch.
      precision: of the network's arithmetic, as `Run` has it.
      input_scaling: the data set's own way, one of `recipes.INPUT_SCALINGS`.
      has_many_sizes: whether images stay in their files, of which parts are shown.
      num_activations: numbers that all layers put out for an example and its views; 0
        where that is not known.
    """

    network: Network
    data: Data
    num_weights: int
    num_trainable: int
    kernel_shapes: dict[str, tuple[int, ...]]
    flops_per_example: int
    has_batch_norm: bool
    num_devices: int
    precision: str = "float32"
    input_scaling: str = "standardized"
    has_many_sizes: bool = False
    num_activations: int = 0


def inspect(model: str, setting: Setting, runtime: Runtime) -> Facts:
    """Returns the facts, having made the data ready and the network once.

    Args:
      model: a registered model.
      setting: what it learns.
      runtime: of this process.

    Raises:
      ValueError: an unknown name, a network or pretext that does not fit the images, a
        subset that leaves too little, or a network that the training loop does not
        support.
    """
    source, pretext = runtime.learned(setting, model=model), setting.pretext
    shape = source.image_shape
    needed = MODELS[model]["minimum_image_size"]
    if min(shape[:2]) < needed:
        raise ValueError(
            f"Model {model!r} needs images of at least {needed}x{needed}; those of "
            f"{setting.dataset!r} have {shape[0]}x{shape[1]}. Choose another "
            "--dataset, or --model=lenet, which takes any."
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
        resized_to=runtime.resized_to(setting, model=model),
        subset=runtime.subset(setting, model=model),
    )
    if pretext:
        forms.validate(pretext, source)
    return _measured(model, data, source, runtime)


def _measured(model_name: str, data: Data, source: Source, runtime: Runtime) -> Facts:
    """Returns the facts of a network, which is built for that and thrown away."""
    from tflottery.training import requirements

    # What the loop cannot train as it is meant is refused here.
    num_outputs = sources.num_outputs(source, pretext=data.pretext)
    model = MODELS[model_name].function(
        input_shape=data.image_shape, num_classes=num_outputs
    )
    requirements.validate(model)
    if data.pretext:
        requirements.validate_task(model, data.pretext, source)
    return facts_of(
        model,
        Network(model_name, data.image_shape, num_outputs),
        data,
        num_devices=runtime.num_devices,
        input_scaling=source.input_scaling,
        has_many_sizes=source.is_encoded,
    )


def facts_of(
    model: "keras.Model", network: Network, data: Data, **known: object
) -> Facts:
    """Returns the facts of a network that is built, whose weights need no values.

    Args:
      model: the network.
      network: what it is called and takes.
      data: what it learns.
      **known: what else `Facts` has of data and devices.
    """
    from tflottery import layers
    from tflottery.models import flops, weights
    from tflottery.models.architecture import architecture
    from tflottery.training import requirements, tasks

    # What training costs: multiplications and additions of the kernels.
    shapes = weights.variable_shapes(model)
    sizes = {path: math.prod(shape) for path, shape in shapes.items()}
    trainable = sum(sizes[variable.path] for variable in model.trainable_variables)
    maskable = layers.masked_kernels(model)
    counts = [
        # A kernel of which that is not known counts as if it were applied once.
        2 * sizes[path] if count is None else count
        for path, count in flops.kernel_flops(model).items()
    ]
    num_views = tasks.task_of(data.pretext).num_views
    return Facts(
        network=dataclasses.replace(network, architecture=architecture(model)),
        data=data,
        num_weights=sum(sizes.values()),
        num_trainable=trainable,
        kernel_shapes={one.kernel.path: tuple(one.kernel.shape) for one in maskable},
        flops_per_example=num_views * sum(counts),
        has_batch_norm=bool(layers.normalizations(model)),
        precision=requirements.precision(model),
        num_activations=num_views * sum(map(_size, model.layers)),
        **known,
    )


def _size(layer: object) -> int:
    """Returns how many numbers a layer puts out for an example, or all layers in it."""
    if hasattr(layer, "layers"):
        return sum(map(_size, layer.layers))
    outputs = layer.output if isinstance(layer.output, list) else [layer.output]
    return sum(math.prod(size or 1 for size in one.shape[1:]) for one in outputs)
