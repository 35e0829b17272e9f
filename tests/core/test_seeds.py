"""Seeds: stable for ever, and sharing nothing where they are neighbours."""

import itertools

import numpy as np
import pytest

from tflottery.core import seeds

_NUM_EXAMPLES = 500


def test_known_values():
    """Every result rests on these: a change of one of them is a change of all."""
    assert seeds.init_seed(1) == 8723372644317476909
    order = {"level": 0, "data_order": 0}
    assert seeds.data_order_seed(1, **order) == 4250375008246833520
    assert seeds.augmentation_seed(1, **order) == 5144912208213363680
    masks = seeds.seed("random_mask", replicate=2, layer="head")
    assert masks == 6181963863326048298
    assert seeds.random_mask_seed(1) == 6768214262729475670
    assert seeds.reinit_seed(1, level=3) == 7981494587965855122
    assert seeds.perturbation_seed(1, level=3) == 8232856469982404551
    assert seeds.pretraining_order_seed(1) == 7129857218870387672
    assert seeds.pretraining_augmentation_seed(1) == 5991939040044780894
    assert seeds.pretext_seed(1, pretext="random_labels") == 5225446309738259934
    assert seeds.dropout_seed(1, level=2, data_order=3) == 4297655862820291492
    assert seeds.pretraining_dropout_seed(1) == 7467848056649183135
    assert seeds.raw_bits(5, 0, 2).tolist() == [
        14374507860600897420,
        9999152880333474543,
    ]
    assert seeds.permutation(5, 0, 8).tolist() == [7, 2, 3, 5, 1, 0, 6, 4]
    # The logarithm and the cosine may differ in the last bit between machines.
    normal = seeds.standard_normal(5, "head/kernel", (3,))
    expected = [-0.22755755484104156, -0.09489679336547852, -1.7678641080856323]
    np.testing.assert_allclose(normal, expected, rtol=1e-6)


def test_seeds_are_whole_numbers_of_63_bits():
    found = [seeds.init_seed(replicate) for replicate in range(200)]
    assert all(isinstance(seed, int) and 0 <= seed < 2**63 for seed in found)
    assert max(found) > 2**62
    assert len(set(found)) == len(found)


def test_names_of_arguments_count_and_their_order_does_not():
    assert seeds.seed("a", x=1, y=2) == seeds.seed("a", y=2, x=1)
    different = [
        seeds.seed("a", x=1, y=2),
        seeds.seed("a", x=2, y=1),
        seeds.seed("b", x=1, y=2),
        seeds.seed("a", x="1", y=2),
        seeds.seed("a", x=1),
        seeds.seed("a"),
    ]
    assert len(set(different)) == len(different)


def test_neighbours_never_share_the_order_of_an_epoch():
    orders = set()
    places = itertools.product(range(1, 5), range(3), range(4), range(4))
    for replicate, level, data_order, epoch in places:
        seed = seeds.data_order_seed(replicate, level=level, data_order=data_order)
        orders.add(seeds.permutation(seed, epoch, _NUM_EXAMPLES).tobytes())
    assert len(orders) == 4 * 3 * 4 * 4


def test_purposes_are_independent():
    places = list(itertools.product(range(1, 5), range(3), range(4)))
    of_replicates = (
        seeds.init_seed,
        seeds.random_mask_seed,
        seeds.pretraining_order_seed,
        seeds.pretraining_augmentation_seed,
        seeds.pretraining_dropout_seed,
    )
    found = {of(replicate) for of in of_replicates for replicate in range(1, 5)}
    for replicate, level in itertools.product(range(1, 5), range(3)):
        found.add(seeds.reinit_seed(replicate, level=level))
        found.add(seeds.perturbation_seed(replicate, level=level))
        found.add(seeds.pretext_seed(replicate, pretext=f"pretext_{level}"))
    for replicate, level, data_order in places:
        order = {"level": level, "data_order": data_order}
        found.add(seeds.data_order_seed(replicate, **order))
        found.add(seeds.augmentation_seed(replicate, **order))
        found.add(seeds.dropout_seed(replicate, **order))
    assert len(found) == 5 * 4 + 3 * 4 * 3 + 3 * len(places)
    first = seeds.raw_bits(seeds.data_order_seed(1, level=0, data_order=0), 0, 4096)
    second = seeds.raw_bits(seeds.augmentation_seed(1, level=0, data_order=0), 0, 4096)
    uniform = np.stack([first, second]).astype(np.float64)
    assert abs(np.corrcoef(uniform)[0, 1]) < 4 / np.sqrt(4096)


def test_streams_of_one_seed_are_independent_and_begin_alike():
    assert not np.intersect1d(
        seeds.raw_bits(7, 0, 1000), seeds.raw_bits(7, 1, 1000)
    ).size
    np.testing.assert_array_equal(seeds.raw_bits(7, 3, 4), seeds.raw_bits(7, 3, 9)[:4])
    assert not np.array_equal(seeds.raw_bits(7, 1, 4), seeds.raw_bits(7, "1", 4))


@pytest.mark.parametrize("count", [1, 2, 1797])
def test_permutation_has_each_index_once(count):
    order = seeds.permutation(seeds.init_seed(1), 3, count)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(count))


def test_permutation_is_uniform():
    """Each of three places is taken by each example equally often."""
    orders = np.stack([seeds.permutation(11, epoch, 3) for epoch in range(3000)])
    _, counts = np.unique(orders, axis=0, return_counts=True)
    # Six orders, 500 of each expected, a standard deviation of 20.
    assert len(counts) == 6 and abs(counts - 500).max() < 100


@pytest.mark.parametrize("shape", [(), (3,), (4, 5), (3, 3, 2, 7), (0, 4)])
def test_standard_normal_has_the_shape_asked_for(shape):
    values = seeds.standard_normal(1, "w", shape)
    assert (values.shape, values.dtype) == (shape, np.float32)


def test_standard_normal_is_standard_and_normal():
    values = seeds.standard_normal(1, "w", (100_000,)).astype(np.float64)
    assert np.isfinite(values).all()
    assert abs(values.mean()) < 4 / np.sqrt(len(values))
    assert abs(values.std() - 1) < 0.01
    assert abs((np.abs(values) < 1.959964).mean() - 0.95) < 0.003
    assert abs((values**3).mean()) < 0.05
    # The two numbers of a pair share a radius and must not share more.
    assert abs(np.corrcoef(values[0::2], values[1::2])[0, 1]) < 0.02


@pytest.mark.parametrize("shape", [(), (3,), (4, 5), (0, 4)])
def test_uniform_has_the_shape_asked_for(shape):
    values = seeds.uniform(1, "w", shape)
    assert (values.shape, values.dtype) == (shape, np.float32)


def test_uniform_is_uniform_and_never_1():
    values = seeds.uniform(1, "w", (100_000,)).astype(np.float64)
    assert 0 <= values.min() < 1e-4 and 1 - 1e-4 < values.max() < 1
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    assert abs(counts - 10_000).max() < 400
    np.testing.assert_array_equal(values * 2**24 % 1, 0)
    np.testing.assert_array_equal(seeds.uniform(1, "w", (9,)), values[:9])
