"""What holds of every registered pretext, tried on the digits in both their forms."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tflottery.check.contract import ContractError
from tflottery.core.registry import MODELS, PRETEXTS
from tflottery.datasets import forms, pipeline, selection
from tflottery.datasets import source as sources
from tflottery.datasets.source import Source

if TYPE_CHECKING:
    import tensorflow as tf

_DATASET = "digits"
# 8 x 8 x 1 and 32 x 32 x 3.
_MINIMUM_IMAGE_SIZES = (1, 32)
_BATCH_SIZE = 24


def declares_a_version_and_its_outputs(name: str) -> str:
    """`version` is a whole number from 1, and networks have two outputs or more."""
    version = PRETEXTS[name]["version"]
    if not isinstance(version, int) or version < 1:
        raise ContractError(
            f"version={version!r}",
            expected="a whole number from 1",
            remedy="declare version=1, and raise it whenever results change",
        )
    width = sources.num_outputs(next(_sources(name)), pretext=name)
    if width < 2:
        raise ContractError(
            f"{width} outputs", expected="2 or more", remedy="declare num_outputs="
        )
    return f"{width} outputs on {_DATASET}"


def fits_a_network(name: str) -> None:
    """Images, targets, losses and errors have the shapes and types they need."""
    from tflottery.training import requirements

    for source in _sources(name):
        model = MODELS["lenet"].function(
            input_shape=source.image_shape,
            num_classes=sources.num_outputs(source, pretext=name),
        )
        requirements.validate_task(model, name, source)


def is_the_same_eagerly_in_a_graph_in_xla_and_in_tf_data(name: str) -> str | None:
    """Targets are the same bits in every form, and images but for rounding."""
    import tensorflow as tf

    for source in _sources(name):
        inputs = _inputs(source)
        show = functools.partial(_show, name, source=source)
        graph = tf.function(show, autograph=False)
        _, eagerly = show(inputs)
        _, compiled = graph(inputs)
        if eagerly.numpy().tobytes() != compiled.numpy().tobytes():
            raise ContractError(
                "other targets eagerly than in a graph",
                expected="the same bits",
                remedy="use TensorFlow operations alone, no random numbers but bits",
            )
    told = _Records()
    logger = logging.getLogger(forms.__name__)
    logger.addHandler(told)
    try:
        for source in _sources(name):
            forms.validate(name, source)
    finally:
        logger.removeHandler(told)
    return "images but for rounding, see the warning" if told.records else None


def shows_an_example_whatever_its_batch(name: str) -> None:
    """An image and its label do not depend on the others of the batch."""
    import tensorflow as tf

    for source in _sources(name):
        inputs = _inputs(source)
        order = np.random.default_rng(1).permutation(_BATCH_SIZE)[:9]
        some = {key: tf.gather(value, order) for key, value in inputs.items()}
        shown, alone = (_shown(name, one, source) for one in (inputs, some))
        for whole, part in zip(shown, alone, strict=True):
            if whole[order].tobytes() != part.tobytes():
                raise ContractError(
                    "another image or label for the same example in another batch",
                    expected="the same bits",
                    remedy="draw from bits and indices, one of each example",
                )


def reads_the_seed_only_if_it_says_so(name: str) -> str:
    """Another seed shows something else if and only if it is declared seeded."""
    source = next(_sources(name))
    inputs = _inputs(source)
    first, again, other = (_shown(name, inputs, source, seed=one) for one in (0, 0, 5))
    if any(a.tobytes() != b.tobytes() for a, b in zip(first, again, strict=True)):
        raise ContractError(
            "another image or label for the same seed, bits and indices",
            expected="the same bits",
            remedy="draw from bits and indices, one of each example",
        )
    reads = any(a.tobytes() != b.tobytes() for a, b in zip(first, other, strict=True))
    if reads != PRETEXTS[name]["seeded"]:
        raise ContractError(
            f"seeded={PRETEXTS[name]['seeded']!r}, and results of two seeds "
            f"{'differ' if reads else 'are the same'}",
            expected="seeded exactly where it reads seed",
            remedy=f"declare seeded={reads}",
        )
    return f"seeded={reads}"


CHECKS = (
    declares_a_version_and_its_outputs,
    fits_a_network,
    is_the_same_eagerly_in_a_graph_in_xla_and_in_tf_data,
    shows_an_example_whatever_its_batch,
    reads_the_seed_only_if_it_says_so,
)


class _Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record."""
        self.records.append(record)


def _sources(name: str) -> Iterator[Source]:
    """Yields the digits in each form that a model may take.

    What learns from images without labels is given some.
    """
    for size in _MINIMUM_IMAGE_SIZES:
        yield _source(size, PRETEXTS[name]["unlabeled"])


@functools.cache
def _source(minimum_image_size: int, unlabeled: bool) -> Source:
    """Returns the digits for a model that takes no smaller images."""
    source = sources.load(_DATASET, minimum_image_size=minimum_image_size)
    subset = "images:0.5" if unlabeled else None
    return selection.of(source, subset, unlabeled=unlabeled)


def _inputs(source: Source) -> dict[str, tf.Tensor]:
    """Returns a batch with what a pretext is given of each example, but labels."""
    import tensorflow as tf

    generator = np.random.default_rng(0)
    chosen = generator.permutation(len(source.train.labels))[:_BATCH_SIZE]
    images = source.train.images[chosen] / np.float32(255)
    return {
        "images": tf.constant(images, tf.float32),
        "bits": tf.constant(generator.integers(0, 2**31, _BATCH_SIZE), tf.int32),
        "indices": tf.constant(chosen, tf.int32),
    }


def _shown(
    name: str, inputs: dict[str, tf.Tensor], source: Source, *, seed: int = 0
) -> list[np.ndarray]:
    """Returns the images and targets of a batch as arrays."""
    return [one.numpy() for one in _show(name, inputs, source=source, seed=seed)]


def _show(
    name: str, inputs: dict[str, tf.Tensor], *, source: Source, seed: int = 0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the images and targets of a batch, whose labels are those it is given."""
    import tensorflow as tf

    labels = pipeline.relabelled(source.train.labels, pretext=name, pretext_seed=seed)
    return PRETEXTS[name].function(
        inputs["images"],
        tf.gather(tf.constant(labels, tf.int32), inputs["indices"]),
        bits=inputs["bits"],
        indices=inputs["indices"],
        seed=seed,
        num_classes=source.num_classes,
    )
