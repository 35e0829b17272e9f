"""The stream of batches: worked by hand on a few examples."""

import itertools

import numpy as np
import pytest

from tflottery.core import seeds
from tflottery.datasets.selection import UNLABELED
from tflottery.datasets.stream import HalfLabeledStream, Stream, stream_of


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


_LABELS = np.where(np.arange(13) % 4 == 1, np.arange(13), UNLABELED).astype(np.int32)
_LABELED = {1, 5, 9}


def half_labeled(batch_size):
    return stream_of(_LABELS, batch_size, data_order_seed=1, augmentation_seed=2)


def test_of_images_with_labels_alone_it_is_the_plain_stream():
    found = stream_of(np.zeros(5, np.int32), 3, data_order_seed=1, augmentation_seed=2)
    assert type(found) is Stream
    expected = stream(5, 3).batches(0, 4)
    np.testing.assert_array_equal(found.batches(0, 4).indices, expected.indices)


@pytest.mark.parametrize("batch_size", [2, 4, 16])
def test_every_part_of_a_batch_is_half_labeled(batch_size):
    found = half_labeled(batch_size)
    assert (found.num_examples, found.batch_size) == (13, batch_size)
    batches = found.batches(0, 30)
    assert batches.indices.shape == batches.bits.shape == (30, batch_size)
    assert batches.indices.dtype == batches.bits.dtype == np.int32
    # As replicas share it, too: each takes a part of even length.
    labeled = np.isin(batches.indices, list(_LABELED)).reshape(-1, 2)
    np.testing.assert_array_equal(labeled, [[True, False]] * len(labeled))


def test_each_pool_is_passed_through_as_a_stream_is():
    indices = half_labeled(4).batches(0, 15).indices.reshape(-1, 2)
    for pool, seen in zip((_LABELED, {*range(13)} - _LABELED), indices.T, strict=True):
        passes = seen[: len(seen) // len(pool) * len(pool)].reshape(-1, len(pool))
        assert all(set(one) == pool for one in passes)
        assert len({one.tobytes() for one in passes}) > 1


def test_pools_draw_bits_of_their_own():
    batches = half_labeled(4).batches(0, 15)
    assert len(np.unique(batches.bits)) == batches.bits.size


@pytest.mark.parametrize("first", [0, 1, 7, 11])
def test_half_labeled_batches_resume_at_any_iteration(first):
    whole, part = half_labeled(4).batches(0, 12), half_labeled(4).batches(first, 1)
    np.testing.assert_array_equal(part.indices[0], whole.indices[first])
    np.testing.assert_array_equal(part.bits[0], whole.bits[first])


def test_a_batch_without_halves_is_refused():
    with pytest.raises(ValueError, match="A batch of 5 has no halves.*even"):
        half_labeled(5)
    with pytest.raises(ValueError, match="over 0 examples"):
        HalfLabeledStream(np.ones(4, bool), 2, data_order_seed=1, augmentation_seed=2)
