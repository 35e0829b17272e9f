"""The stream of batches: worked by hand on a few examples."""

import itertools

import numpy as np
import pytest

from tflottery.core import seeds
from tflottery.datasets.stream import Stream


def stream(num_examples, batch_size, *, order=1, augmentation=2):
    return Stream(
        num_examples, batch_size, data_order_seed=order, augmentation_seed=augmentation
    )


def row(num_examples, epochs, *, order=1):
    """The endless row, as far as the first epochs go."""
    return np.concatenate(
        [seeds.permutation(order, epoch, num_examples) for epoch in range(epochs)]
    )


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 6, 12, 13])
def test_batches_are_cut_from_the_endless_row(batch_size):
    batches = stream(5, batch_size).batches(0, 4)
    assert batches.indices.shape == batches.bits.shape == (4, batch_size)
    assert batches.indices.dtype == batches.bits.dtype == np.int32
    expected = row(5, 11)[: 4 * batch_size]
    np.testing.assert_array_equal(batches.indices.reshape(-1), expected)


def test_a_batch_across_the_end_of_an_epoch_by_hand():
    first, second = seeds.permutation(1, 0, 3), seeds.permutation(1, 1, 3)
    indices = stream(3, 2).batches(1, 1).indices
    np.testing.assert_array_equal(indices, [[first[2], second[0]]])


def test_every_epoch_shows_every_example_once():
    indices = stream(7, 3).batches(0, 7).indices.reshape(3, 7)
    np.testing.assert_array_equal(np.sort(indices, axis=1), [np.arange(7)] * 3)


@pytest.mark.parametrize("batch_size", [2, 5, 11])
def test_resumes_at_any_iteration(batch_size):
    whole = stream(5, batch_size).batches(0, 12)
    used = stream(5, batch_size)
    for first in (7, 0, 11, 3, 4):
        for one in (stream(5, batch_size), used):
            part = one.batches(first, 12 - first)
            np.testing.assert_array_equal(part.indices, whole.indices[first:])
            np.testing.assert_array_equal(part.bits, whole.bits[first:])


def test_neighbouring_replicates_and_orders_never_share_an_epochs_order():
    orders = {}
    for replicate, level, order in itertools.product(range(1, 4), range(2), range(4)):
        seed = seeds.data_order_seed(replicate, level=level, data_order=order)
        indices = stream(50, 50, order=seed).batches(0, 6).indices
        for epoch, permutation in enumerate(indices):
            orders[replicate, level, order, epoch] = permutation.tobytes()
    assert len(set(orders.values())) == len(orders)


def test_bits_depend_on_seed_epoch_and_example_only():
    def by_example(batch_size, **seeds_):
        batches = stream(6, batch_size, **seeds_).batches(0, 24 // batch_size)
        rows = zip(batches.indices.flat, batches.bits.flat, strict=True)
        return {
            (position // 6, int(index)): int(bits)
            for position, (index, bits) in enumerate(rows)
        }

    reference = by_example(2)
    assert len(reference) == 24
    assert by_example(8) == reference
    assert by_example(2, order=9) == reference
    other = by_example(2, augmentation=3)
    assert all(other[key] != reference[key] for key in reference)
    assert len(set(reference.values())) == 24


def test_bits_are_31_random_bits():
    bits = stream(4096, 4096).batches(0, 1).bits.reshape(-1)
    assert bits.min() >= 0
    share = (bits[:, None] >> np.arange(31) & 1).mean(axis=0)
    np.testing.assert_allclose(share, 0.5, atol=0.05)


def test_no_batches_are_an_empty_array():
    assert stream(5, 2).batches(3, 0).indices.shape == (0, 2)


@pytest.mark.parametrize(("num_examples", "batch_size"), [(0, 1), (5, 0), (2**31, 1)])
def test_impossible_sizes_are_refused(num_examples, batch_size):
    with pytest.raises(ValueError, match=f"{num_examples} examples.*{batch_size} is"):
        stream(num_examples, batch_size)


def test_negative_iterations_are_refused():
    with pytest.raises(ValueError, match="-1"):
        stream(5, 2).batches(-1, 1)
