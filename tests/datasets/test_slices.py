"""Slices of batches: what each of several devices is given, on however many hosts."""

import itertools

import numpy as np
import pytest

from tflottery.datasets import pipeline
from tflottery.datasets import source as sources
from tflottery.datasets.stream import Stream


def _batches(source, count, **slices):
    """Returns images and labels of the first batches from the fourth on, as given."""
    stream = Stream(len(source.train.labels), 8, data_order_seed=1, augmentation_seed=2)
    augmentation = "resized_crop" if source.is_encoded else "flip_crop"
    dataset = pipeline.as_dataset(
        source, stream, first_iteration=3, augmentation=augmentation, **slices
    )
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


@pytest.mark.parametrize("kind", ["arrays", "encoded"])
def test_slices_of_all_hosts_are_the_batch(kind, request):
    encoded = kind == "encoded"
    source = request.getfixturevalue("imagenet") if encoded else sources.load("digits")
    whole = _batches(source, 2)
    # Two hosts of two devices each.
    hosts = [
        _batches(source, 4, num_devices=4, own=own) for own in (range(2), range(2, 4))
    ]
    for number, batch in enumerate(whole):
        parts = [one for host in hosts for one in host[2 * number : 2 * number + 2]]
        for of_batch, *of_parts in zip(batch, *parts, strict=True):
            assert len(of_parts) == 4
            np.testing.assert_array_equal(of_batch, np.concatenate(of_parts))
