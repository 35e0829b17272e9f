"""Masks as artifacts, by hand: which weights survive, and what enters their keys."""

import dataclasses
import math

import numpy as np
import pytest

from tflottery.components.component import Absent
from tflottery.components.masking import Mask
from tflottery.components.runs import MASK_FILE
from tflottery.pruning import masks as pruning_masks
from tflottery.training import checkpoints

_KERNELS = (("a/kernel", (2, 2)), ("b/kernel", (3,)))
_LARGE = (("conv/kernel", (3, 3, 4, 8)), ("head/kernel", (40, 10)))
_LARGE_TOTAL = sum(math.prod(shape) for _, shape in _LARGE)


def _weights():
    """Magnitudes, highest first: b0, a3, a0, b2, a1, b1, a2; the rest is not pruned."""
    return {
        "a/kernel": np.array([[-5, 2], [0, 8]], np.float32),
        "a/bias": np.array([100, -100], np.float32),
        "b/kernel": np.array([9, 1, -4], np.float32),
        "unpruned/kernel": np.array([50], np.float32),
    }


def _magnitude(trial, num_survivors, previous=None):
    return Mask(
        criterion="magnitude",
        criterion_version=1,
        scored=trial.state("constant"),
        previous=previous,
        kernels=_KERNELS,
        num_survivors=num_survivors,
    )


def _random(seed, num_survivors, layers_of=None, *, kernels=_LARGE):
    return Mask(
        criterion="random",
        criterion_version=1,
        seed=seed,
        kernels=kernels,
        num_survivors=num_survivors,
        layers_of=layers_of,
    )


def _made(trial, mask, *, masks=None, **weights):
    """Returns the masks that a component makes of weights and of other masks."""
    trial.execute(mask, masks=masks, **weights)
    return checkpoints.read_arrays(trial.output / MASK_FILE)


def _assert_masks(found, **expected):
    assert found.keys() == {f"{name}/kernel" for name in expected}
    for name, value in expected.items():
        np.testing.assert_array_equal(found[f"{name}/kernel"], value)


@pytest.mark.parametrize(
    ("num_survivors", "a", "b"),
    [
        (1, [[0, 0], [0, 0]], [1, 0, 0]),
        (3, [[1, 0], [0, 1]], [1, 0, 0]),
        (6, [[1, 1], [0, 1]], [1, 1, 1]),
        (7, [[1, 1], [1, 1]], [1, 1, 1]),
    ],
)
def test_highest_magnitudes_survive_over_all_kernels(trial, num_survivors, a, b):
    found = _made(trial, _magnitude(trial, num_survivors), scored=_weights())
    _assert_masks(found, a=a, b=b)
    # A byte an entry.
    assert {mask.dtype for mask in found.values()} == {np.dtype(np.uint8)}


def test_what_was_pruned_before_stays_pruned(trial):
    before = _magnitude(trial, 5)
    previous = {
        "a/kernel": np.array([[1, 1], [1, 0]], np.uint8),
        "b/kernel": np.array([0, 1, 1], np.uint8),
    }
    mask = _magnitude(trial, 3, before)
    found = _made(trial, mask, scored=_weights(), masks={"previous": previous})
    # Neither b0 nor a3, though they are the largest.
    _assert_masks(found, a=[[1, 1], [0, 0]], b=[0, 0, 1])


def test_ties_go_to_the_first(trial):
    weights = {
        "a/kernel": np.array([[1, -2], [2, 1]], np.float32),
        "b/kernel": np.array([-2, 2, 1], np.float32),
    }
    found = _made(trial, _magnitude(trial, 3), scored=weights)
    _assert_masks(found, a=[[0, 1], [1, 0]], b=[1, 0, 0])


def test_the_inputs_are_the_network_and_the_masks_before(trial):
    first = _magnitude(trial, 5)
    second = _magnitude(trial, 3, first)
    assert first.inputs == {"scored": trial.state("constant")}
    assert second.inputs == {"scored": trial.state("constant"), "previous": first}
    keys = {
        one.key
        for one in (
            first,
            second,
            _magnitude(trial, 4),
            dataclasses.replace(first, scored=trial.state("constant", 8)),
            dataclasses.replace(first, kernels=_KERNELS[:1]),
        )
    }
    assert len(keys) == 5


def test_random_masks_are_nested_and_decided_by_their_seed(trial):
    outer = None
    for num_survivors in (_LARGE_TOTAL, 500, 100, 1):
        found = _made(trial, _random(7, num_survivors))
        assert pruning_masks.num_ones(found) == num_survivors
        assert {path: mask.shape for path, mask in found.items()} == dict(_LARGE)
        if outer is not None:
            assert all((found[path] <= outer[path]).all() for path in found)
        outer = found
    one, same, other = (_made(trial, _random(seed, 300)) for seed in (7, 7, 8))
    for path in one:
        np.testing.assert_array_equal(one[path], same[path])
        assert (one[path] != other[path]).any()


def test_random_masks_prune_every_kernel_alike(trial):
    kernels = (("a/kernel", (100, 90)), ("b/kernel", (1000,)))
    found = _made(trial, _random(1, 5000, kernels=kernels))
    # Half of 1,000, give or take four standard deviations of 15.
    assert abs(pruning_masks.counts(found)["b/kernel"] - 500) < 60


def test_random_masks_take_the_counts_of_other_masks(trial):
    other = {
        "conv/kernel": np.zeros((3, 3, 4, 8), np.uint8),
        "head/kernel": np.ones((40, 10), np.uint8),
    }
    other["conv/kernel"][0, 0, 0, :3] = 1
    like = _random(1, 403)
    found = _made(trial, _random(7, 403, like), masks={"layers_of": other})
    assert pruning_masks.counts(found) == {"conv/kernel": 3, "head/kernel": 400}
    assert (found["conv/kernel"] != other["conv/kernel"]).any()


def _adjusted(trial, seed, num_survivors):
    return Mask(
        criterion="adjusted_random",
        criterion_version=1,
        scored=trial.state("constant"),
        seed=seed,
        kernels=_LARGE,
        num_survivors=num_survivors,
    )


def test_adjusted_random_masks_lie_in_the_natural_one_and_in_one_another(trial):
    generator = np.random.default_rng(0)
    weights = {path: generator.normal(size=shape) for path, shape in _LARGE}
    for values in weights.values():
        values[np.abs(values) < 1] *= 1e-9
    weights = {path: values.astype(np.float32) for path, values in weights.items()}
    natural = {path: np.abs(values) >= 1.2e-7 for path, values in weights.items()}
    count = pruning_masks.num_ones(natural)
    assert 100 < count < _LARGE_TOTAL
    outer = natural
    for num_survivors in (count, 100, 10):
        found = _made(trial, _adjusted(trial, 7, num_survivors), scored=weights)
        assert pruning_masks.num_ones(found) == num_survivors
        assert all((found[path] <= outer[path]).all() for path in found)
        outer = found
    # The first ones in the order of random pruning.
    for path, mask in _made(trial, _random(7, 400)).items():
        chosen = _made(trial, _adjusted(trial, 7, 100), scored=weights)[path]
        first = mask * natural[path]
        assert (chosen <= first).all() or (first <= chosen).all()
    with pytest.raises(
        Absent, match=f"keeps {count:,} weights at most, .*{count + 1:,}"
    ):
        _made(trial, _adjusted(trial, 7, count + 1), scored=weights)


def test_more_survivors_than_other_masks_leave_do_not_exist(trial):
    before = _magnitude(trial, 5)
    few = {"a/kernel": np.eye(2, dtype=np.uint8), "b/kernel": np.zeros(3, np.uint8)}
    with pytest.raises(Absent, match="'magnitude' keeps 2 weights at most, and 3"):
        _made(
            trial,
            _magnitude(trial, 3, before),
            masks={"previous": few},
            scored=_weights(),
        )


def test_random_masks_need_no_network():
    alone = _random(7, 300)
    like = _random(7, 300, _with_survivors(300))
    assert alone.inputs == {}
    assert like.inputs == {"layers_of": _with_survivors(300)}
    keys = {
        alone.key,
        like.key,
        _random(8, 300).key,
        _with_survivors(299).key,
    }
    assert len(keys) == 4


def _with_survivors(num_survivors):
    return _random(1, num_survivors)


def test_bytes_on_disk(trial):
    mask = _random(1, 5)
    assert mask.num_bytes({}) == _LARGE_TOTAL
    assert _magnitude(trial, 3).num_bytes({}) == 7
    _made(trial, mask)
    size = (trial.output / MASK_FILE).stat().length
    assert _LARGE_TOTAL < size < _LARGE_TOTAL + 500
