"""A network on made images, ready to make updates in a process of its own."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from tflottery.experiments.instability import Config
from tflottery.plan import known_data
from tflottery.studies.study import Study, study_of
from tflottery.training.distribution import Placement

if TYPE_CHECKING:
    from tflottery.datasets.stream import DataStream
    from tflottery.training.trainer import Trainer


def study(
    model: str, *, batch_size: int | None = None, precision: str | None = None
) -> Study:
    """Returns the study of a network on its paper's data, by their published size."""
    config = Config(
        model=model, batch_size=batch_size, precision=precision, replicates=1
    )
    return study_of(config, known_data.facts_of, Placement())


def ready(
    model: str,
    *,
    batch_size: int | None = None,
    precision: str | None = None,
    sparse: bool = False,
) -> "tuple[Trainer, DataStream]":
    """Returns a network at initialization and its examples, a batch of made images.

    Args:
      model: a registered one, by its paper's recipe but without augmentation.
      batch_size: None: that of the recipe.
      precision: None: float32.
      sparse: whether masks, of ones, are applied.
    """
    from tflottery.datasets.arrays import Source, Split
    from tflottery.training.trainer import Trainer

    own = study(model, batch_size=batch_size, precision=precision)
    recipe = dataclasses.replace(own.recipe, augmentation="none")
    data = own.facts.data
    shape = (recipe.batch_size, *data.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    labels = np.arange(recipe.batch_size, dtype=np.int32) % data.num_classes
    split, channels = Split(images, labels), data.image_shape[-1]
    source = Source(
        name="made",
        version="",
        digest="",
        train=split,
        test=split,
        num_classes=data.num_classes,
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
    )
    trainer = Trainer(
        model,
        recipe,
        source,
        num_classes=data.num_classes,
        sparse=sparse,
        num_replicas=own.num_replicas,
        precision=precision,
    )
    weights = trainer.initial_weights(1)
    masks = {}
    if sparse:
        masks = {path: np.ones_like(weights[path]) for path in own.facts.kernel_shapes}
    trainer.restore(weights, masks=masks, slots=None, iteration=0, first_iteration=0)
    stream = trainer.stream(data_order_seed=1, augmentation_seed=1)
    return trainer, stream
