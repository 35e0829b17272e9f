"""Random images with all that a pretext is given."""

import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.registry import PRETEXTS


class Asked:
    """Calls pretexts by name, in every form that a loop has."""

    def inputs(self, shape=(32, 32, 3), *, count=24, rng=0):
        """Returns images with grey values of 8 bits, labels, bits and indices."""
        generator = np.random.default_rng(rng)
        images = generator.integers(0, 256, (count, *shape)) / 255
        return {
            "images": tf.constant(images.astype(np.float32)),
            "labels": tf.constant(np.arange(count) % 10, tf.int32),
            "bits": tf.constant(generator.integers(0, 2**31, count), tf.int32),
            "indices": tf.constant(generator.permutation(1000)[:count], tf.int32),
        }

    def __call__(self, name, inputs, *, seed=0, num_classes=10, form=None):
        """Returns images and labels as arrays; form: None, "graph" or "xla"."""

        def task(images, labels, bits, indices):
            return PRETEXTS[name].function(
                images,
                labels,
                bits=bits,
                indices=indices,
                seed=seed,
                num_classes=num_classes,
            )

        if form is not None:
            task = tf.function(task, jit_compile=form == "xla", autograph=False)
        images, labels = task(**inputs)
        return images.numpy(), labels.numpy()


@pytest.fixture(scope="session")
def ask():
    return Asked()


@pytest.fixture(scope="module", autouse=True)
def as_graphs(loops_are_graphs):
    """That XLA shows the same bits is tried by tests/datasets/test_pipeline.py."""
