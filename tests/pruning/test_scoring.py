"""Scores: magnitudes by hand, and random rankings that are uniform and repeatable."""

import numpy as np
import pytest

from tflottery.core import seeds
from tflottery.core.registry import CRITERIA
from tflottery.pruning import masks, scoring

_SHAPES = {"conv/kernel": (3, 3, 4, 50), "dense/kernel": (700, 30), "head/kernel": (9,)}


def _seed(replicate):
    return seeds.seed("random_mask", replicate=replicate)


def test_magnitudes_by_hand():
    weights = {
        "a/kernel": np.array([[-2.0, 0.5], [-0.0, 3.0]], np.float32),
        "a/bias": np.array([np.nan], np.float32),
        "b/kernel": np.array([-7.0], np.float64),
    }
    before = {path: value.copy() for path, value in weights.items()}
    shapes = {"b/kernel": (1,), "a/kernel": (2, 2)}
    found = scoring.score("magnitude", weights, shapes)
    assert list(found) == ["b/kernel", "a/kernel"]
    np.testing.assert_array_equal(found["a/kernel"], [[2.0, 0.5], [0.0, 3.0]])
    np.testing.assert_array_equal(found["b/kernel"], [7.0])
    assert [value.dtype for value in found.values()] == [np.float64, np.float32]
    for path, value in weights.items():
        np.testing.assert_array_equal(value, before[path])
        assert path not in found or not np.shares_memory(found[path], value)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(wrong):
    weights = {"a/kernel": np.array([1.0, wrong, wrong], np.float32)}
    message = rf"2 of the 3 weights of 'a/kernel'.*{wrong!r}.*diverged"
    with pytest.raises(ValueError, match=message):
        scoring.score("magnitude", weights, {"a/kernel": (3,)})


def test_adjusted_random_scores_by_hand():
    weights = {"a": np.array([1e-7, -1e-7, 0, 1.2e-7, -1.2e-7, np.inf], np.float32)}
    shapes = {"a": (6,)}
    found = scoring.score("adjusted_random", weights, shapes, seed=3)["a"]
    assert (found[:3] == -np.inf).all()
    chance = scoring.score("random", {}, shapes, seed=3)["a"]
    np.testing.assert_array_equal(found[3:], chance[3:])
    weights["a"][0] = np.nan
    with pytest.raises(ValueError, match="1 of the weights of 'a' are not numbers"):
        scoring.score("adjusted_random", weights, shapes, seed=3)


def test_missing_weights_are_refused():
    weights = {"a/kernel": np.ones(2), "a/bias": np.ones(1)}
    with pytest.raises(ValueError, match=r"'magnitude' .* missing \['b/kernel'\]"):
        scoring.score("magnitude", weights, {"a/kernel": (2,), "b/kernel": (1,)})
    with pytest.raises(ValueError, match=r"'a/kernel': \(2,\)}, expected .*\(3,\)"):
        scoring.score("magnitude", weights, {"a/kernel": (3,)})


def test_random_scores_are_known():
    """Every random mask rests on these."""
    words = [17894509971187483795, 10383327508212597923]
    assert seeds.raw_bits(5, "head/kernel", 2).tolist() == words
    found = scoring.score("random", {}, {"head/kernel": (2, 1)}, seed=5)["head/kernel"]
    expected = [[(word >> 11) / 2**53] for word in words]
    np.testing.assert_array_equal(found, expected)


def test_random_scores_are_uniform_and_without_ties():
    found = scoring.score("random", {}, _SHAPES, seed=_seed(1))
    assert {path: value.shape for path, value in found.items()} == _SHAPES
    assert {value.dtype for value in found.values()} == {np.dtype(np.float64)}
    flat = np.concatenate([value.ravel() for value in found.values()])
    assert flat.min() >= 0 and flat.max() < 1
    assert len(np.unique(flat)) == flat.size
    tenths = np.histogram(flat, bins=10, range=(0, 1))[0]
    share = flat.size / 10
    assert abs(tenths - share).max() < 5 * np.sqrt(share * 0.9)


def test_random_scores_of_a_path_depend_on_no_other():
    found = scoring.score("random", {}, _SHAPES, seed=_seed(1))
    alone = scoring.score("random", {}, {"dense/kernel": (700, 30)}, seed=_seed(1))
    np.testing.assert_array_equal(found["dense/kernel"], alone["dense/kernel"])
    turned = scoring.score("random", {}, dict(reversed(_SHAPES.items())), seed=_seed(1))
    assert list(turned) == list(reversed(_SHAPES))
    for path in _SHAPES:
        np.testing.assert_array_equal(found[path], turned[path])


def test_neighbour_seeds_and_paths_share_no_ranking():
    shapes = {"a/kernel": (20_000,), "b/kernel": (20_000,)}
    rankings = [
        value
        for seed in (_seed(1), _seed(2), 1, 2)
        for value in scoring.score("random", {}, shapes, seed=seed).values()
    ]
    correlations = np.corrcoef(rankings)[np.triu_indices(len(rankings), k=1)]
    assert abs(correlations).max() < 5 / np.sqrt(20_000)


def test_random_pruning_prunes_every_layer_alike():
    """Each layer's survivors are hypergeometric; five standard deviations."""
    shapes = {"a/kernel": (100_000,), "b/kernel": (300, 300), "c/kernel": (5, 5, 8, 10)}
    total = sum(np.prod(shape) for shape in shapes.values())
    for replicate in (1, 2, 3):
        ranking = scoring.score("random", {}, shapes, seed=_seed(replicate))
        for density in (0.8, 0.168, 0.035):
            num = round(density * total)
            kept = masks.counts(masks.keep_highest(ranking, num_survivors=num))
            for path, shape in shapes.items():
                size = np.prod(shape)
                variance = size * density * (1 - density) * (1 - size / total)
                assert abs(kept[path] - size * density) < 5 * np.sqrt(variance)


def test_scores_of_other_kernels_are_refused(register):
    def half(weights, *, shapes, seed):
        return {"a/kernel": np.zeros((1, 2))}

    register(CRITERIA, "half", half, version=1, scored_weights="none", seeded=False)
    with pytest.raises(ValueError, match="'half' returned .* missing .'b/kernel'."):
        scoring.score("half", {}, {"a/kernel": (1, 2), "b/kernel": (1,)})
    with pytest.raises(ValueError, match="There is no pruning criterion 'no'"):
        scoring.score("no", {}, {"a/kernel": (1, 2)})
