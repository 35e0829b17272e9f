"""Masks by hand: ties, both ends of the range, nesting, counts by layer."""

import numpy as np
import pytest

from tflottery.pruning import counts, masks, scoring


def _magnitudes(weights, paths):
    shapes = {path: weights[path].shape for path in paths}
    return scoring.score("magnitude", weights, shapes)


def _f(values):
    return np.array(values, np.float32)


def _weights(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "conv/kernel": rng.normal(size=(3, 3, 4, 8)).astype(np.float32),
        "dense/kernel": rng.normal(size=(40, 10)).astype(np.float32),
    }


def _copies(arrays):
    return {path: value.copy() for path, value in arrays.items()}


def _assert_equal(found, expected):
    assert list(found) == list(expected)
    for path, mask in found.items():
        assert mask.dtype == np.float32
        np.testing.assert_array_equal(mask, expected[path])


def _assert_nested(inner, outer):
    for path, mask in inner.items():
        assert (mask <= outer[path]).all()


# Highest first: b0 (9), a3 (8), a0 (5), b2 (4), a1 (2), b1 (1), a2 (0).
_SCORES = {"a/kernel": _f([[5, 2], [0, 8]]), "b/kernel": _f([9, 1, 4])}


@pytest.mark.parametrize(
    ("num_survivors", "a", "b"),
    [
        (1, [[0, 0], [0, 0]], [1, 0, 0]),
        (2, [[0, 0], [0, 1]], [1, 0, 0]),
        (4, [[1, 0], [0, 1]], [1, 0, 1]),
        (6, [[1, 1], [0, 1]], [1, 1, 1]),
        (7, [[1, 1], [1, 1]], [1, 1, 1]),
    ],
)
def test_masks_by_hand(num_survivors, a, b):
    before = _copies(_SCORES)
    found = masks.keep_highest(_SCORES, num_survivors=num_survivors)
    _assert_equal(found, {"a/kernel": a, "b/kernel": b})
    assert masks.num_ones(found) == num_survivors
    assert masks.counts(found) == {"a/kernel": np.sum(a), "b/kernel": np.sum(b)}
    _assert_equal(_SCORES, before)


@pytest.mark.parametrize(
    ("num_survivors", "a", "b"),
    [
        (1, [[0, 1], [0, 0]], [0, 0]),
        (2, [[1, 1], [0, 0]], [0, 0]),
        (3, [[1, 1], [0, 1]], [0, 0]),
        (4, [[1, 1], [0, 1]], [1, 0]),
        (5, [[1, 1], [1, 1]], [1, 0]),
        (6, [[1, 1], [1, 1]], [1, 1]),
    ],
)
def test_ties_go_to_the_first(num_survivors, a, b):
    tied = {"a/kernel": _f([[2, 3], [1, 2]]), "b/kernel": _f([2, 1])}
    found = masks.keep_highest(tied, num_survivors=num_survivors)
    _assert_equal(found, {"a/kernel": a, "b/kernel": b})


@pytest.mark.parametrize("value", [0.0, 1.5, np.inf, -np.inf])
def test_equal_scores_are_kept_from_the_front(value):
    equal = {"a/kernel": np.full((2, 2), value), "b/kernel": np.full(3, value)}
    for num_survivors in range(1, 8):
        found = masks.keep_highest(equal, num_survivors=num_survivors)
        flat = np.concatenate([found["a/kernel"].ravel(), found["b/kernel"]])
        np.testing.assert_array_equal(flat, np.arange(7) < num_survivors)


def test_zeros_of_both_signs_are_ties():
    found = masks.keep_highest({"a/kernel": _f([-0.0, 0.0, -0.0])}, num_survivors=2)
    _assert_equal(found, {"a/kernel": [1, 1, 0]})


def test_order_of_the_layers_does_not_matter():
    equal = {"b/kernel": np.ones(2), "a/kernel": np.ones(2)}
    found = masks.keep_highest(equal, num_survivors=3)
    _assert_equal(found, {"b/kernel": [1, 0], "a/kernel": [1, 1]})


def test_order_in_memory_does_not_matter():
    values = _weights()["dense/kernel"]
    turned = np.asfortranarray(values)
    for given in (values, turned):
        found = masks.keep_highest({"d/kernel": np.round(given)}, num_survivors=123)
        expected = masks.keep_highest({"d/kernel": np.round(values)}, num_survivors=123)
        _assert_equal(found, expected)


def test_dtypes_are_compared_exactly():
    """1 + 2^-40 is more than 1, though not as float32."""
    mixed = {"a/kernel": _f([1, 3]), "b/kernel": np.array([1 + 2.0**-40, 0])}
    found = masks.keep_highest(mixed, num_survivors=2)
    _assert_equal(found, {"a/kernel": [0, 1], "b/kernel": [1, 0]})


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_same_as_a_stable_sort(decimals):
    """Rounded, so that few or most of the scores have equals."""
    rounded = {path: np.round(w, decimals) for path, w in _weights().items()}
    flat = np.concatenate([rounded[path].ravel() for path in sorted(rounded)])
    ranks = np.argsort(np.argsort(-flat, kind="stable"))
    for num_survivors in (1, 2, 100, 345, flat.size - 1, flat.size):
        found = masks.keep_highest(rounded, num_survivors=num_survivors)
        kept = np.concatenate([found[path].ravel() for path in sorted(found)])
        np.testing.assert_array_equal(kept, ranks < num_survivors)


def test_pruned_weights_stay_pruned_whatever_their_score():
    previous = {"a/kernel": _f([[1, 1], [1, 0]]), "b/kernel": _f([0, 1, 1])}
    before = _copies(previous)
    found = masks.keep_highest(_SCORES, num_survivors=2, previous=previous)
    _assert_equal(found, {"a/kernel": [[1, 0], [0, 0]], "b/kernel": [0, 0, 1]})
    whole = masks.keep_highest(_SCORES, num_survivors=5, previous=previous)
    _assert_equal(whole, before)
    assert not np.shares_memory(whole["a/kernel"], previous["a/kernel"])
    _assert_equal(previous, before)


def test_ties_are_filled_from_what_was_kept():
    equal = {"a/kernel": np.ones((2, 2)), "b/kernel": np.ones(3)}
    previous = {"a/kernel": np.array([[0, 1], [0, 1]]), "b/kernel": np.ones(3, bool)}
    found = masks.keep_highest(equal, num_survivors=3, previous=previous)
    _assert_equal(found, {"a/kernel": [[0, 1], [0, 1]], "b/kernel": [1, 0, 0]})


def test_a_kernel_may_be_emptied():
    found = masks.keep_highest(
        {"a/kernel": _f([1, 2]), "b/kernel": _f([3, 4])}, num_survivors=2
    )
    _assert_equal(found, {"a/kernel": [0, 0], "b/kernel": [1, 1]})


def test_levels_by_magnitude_are_nested_though_weights_are_trained_anew():
    """Iterative: each level by weights that moved since, of which the pruned are 0.0.
    One-shot: the count is the same, the mask another."""
    weights, previous = _weights(), None
    paths, total = list(weights), sum(value.size for value in weights.values())
    for level in range(1, 12):
        num = counts.num_survivors(total, pruning_fraction=0.2, level=level)
        magnitudes = _magnitudes(weights, paths)
        found = masks.keep_highest(magnitudes, num_survivors=num, previous=previous)
        assert masks.num_ones(found) == num
        if previous is not None:
            _assert_nested(found, previous)
        moved = {path: w + _weights(level)[path] for path, w in weights.items()}
        weights, previous = masks.apply(moved, found), found
    once = masks.keep_highest(_magnitudes(_weights(), paths), num_survivors=num)
    assert masks.num_ones(once) == num
    assert any((once[path] != previous[path]).any() for path in paths)


def test_levels_by_one_random_ranking_are_nested_without_previous_masks():
    shapes = {path: value.shape for path, value in _weights().items()}
    ranking, outer = scoring.score("random", {}, shapes, seed=3), None
    for level in range(1, 15):
        num = counts.num_survivors(688, pruning_fraction=0.2, level=level)
        found = masks.keep_highest(ranking, num_survivors=num)
        if outer is not None:
            _assert_nested(found, outer)
            again = masks.keep_highest(ranking, num_survivors=num, previous=outer)
            _assert_equal(again, found)
        outer = found


def test_per_layer_counts_by_hand():
    tied = {"b/kernel": _f([2, 7, 2]), "a/kernel": _f([[9, 9], [9, 1]])}
    wanted = {"a/kernel": 2, "b/kernel": 2}
    before = _copies(tied)
    found = masks.keep_highest_per_layer(tied, num_survivors=wanted)
    _assert_equal(found, {"b/kernel": [1, 1, 0], "a/kernel": [[1, 1], [0, 0]]})
    assert masks.counts(found) == wanted
    previous = {"a/kernel": _f([[0, 1], [1, 1]]), "b/kernel": _f([1, 0, 1])}
    found = masks.keep_highest_per_layer(tied, num_survivors=wanted, previous=previous)
    _assert_equal(found, {"b/kernel": [1, 0, 1], "a/kernel": [[0, 1], [1, 0]]})
    _assert_equal(tied, before)


def test_per_layer_counts_reach_both_ends():
    wanted = {"a/kernel": 0, "b/kernel": 3}
    found = masks.keep_highest_per_layer(_SCORES, num_survivors=wanted)
    _assert_equal(found, {"a/kernel": [[0, 0], [0, 0]], "b/kernel": [1, 1, 1]})


def test_random_masks_take_the_layer_counts_of_other_masks_and_are_nested():
    weights, outer = _weights(), None
    shapes = {path: value.shape for path, value in weights.items()}
    ranking = scoring.score("random", {}, shapes, seed=3)
    for num in (500, 200, 30):
        other = masks.keep_highest(
            _magnitudes(weights, list(weights)), num_survivors=num
        )
        found = masks.keep_highest_per_layer(
            ranking, num_survivors=masks.counts(other), previous=outer
        )
        assert masks.counts(found) == masks.counts(other)
        assert any((found[path] != other[path]).any() for path in found)
        outer = found


def test_applied_masks_leave_exact_zeros_and_everything_else():
    weights = {
        "a/kernel": _f([-1.5, -0.0, 2.0, -3.0]),
        "a/bias": _f([7.0]),
        "b/kernel": np.array([1.0, -2.0]),
    }
    chosen = {"a/kernel": _f([0, 1, 1, 0]), "b/kernel": np.array([True, False])}
    before, masks_before = _copies(weights), _copies(chosen)
    found = masks.apply(weights, chosen)
    assert list(found) == list(weights)
    # Bytes, because -0.0 equals 0.0.
    assert found["a/kernel"].tobytes() == _f([0.0, -0.0, 2.0, 0.0]).tobytes()
    assert found["b/kernel"].tobytes() == np.array([1.0, 0.0]).tobytes()
    assert found["a/bias"] is weights["a/bias"]
    for path in weights:
        assert found[path].dtype == weights[path].dtype
        np.testing.assert_array_equal(weights[path], before[path])
    for path in chosen:
        np.testing.assert_array_equal(chosen[path], masks_before[path])
    assert masks.apply(weights, {}) == weights


@pytest.mark.parametrize(
    ("num_survivors", "message"),
    [
        (0, r"num_survivors=0, expected a whole number from 1 to 7\.$"),
        (8, r"num_survivors=8, expected .* 1 to 7\.$"),
        (-1, r"num_survivors=-1"),
        (2.0, r"num_survivors=2\.0, expected a whole number"),
    ],
)
def test_impossible_counts_are_refused(num_survivors, message):
    with pytest.raises(ValueError, match=message):
        masks.keep_highest(_SCORES, num_survivors=num_survivors)


def test_more_than_the_previous_masks_keep_is_refused():
    previous = {"a/kernel": _f([[1, 0], [0, 0]]), "b/kernel": _f([0, 1, 1])}
    message = r"=4, expected .* 1 to 3\. .* keep 3 of 7 weights.*stays pruned"
    with pytest.raises(ValueError, match=message):
        masks.keep_highest(_SCORES, num_survivors=4, previous=previous)
    wanted = {"a/kernel": 2, "b/kernel": 2}
    message = r"num_survivors\['a/kernel'\]=2, .* 0 to 1\. .* keep 1 of 4"
    with pytest.raises(ValueError, match=message):
        masks.keep_highest_per_layer(_SCORES, num_survivors=wanted, previous=previous)


def test_counts_of_other_layers_are_refused():
    message = r"num_survivors is not .*missing \['b/kernel'\], too much \['c/kernel'\]"
    with pytest.raises(ValueError, match=message):
        masks.keep_highest_per_layer(
            _SCORES, num_survivors={"a/kernel": 1, "c/kernel": 1}
        )
    with pytest.raises(ValueError, match=r"\['b/kernel'\]=4, expected .* 0 to 3\.$"):
        masks.keep_highest_per_layer(
            _SCORES, num_survivors={"a/kernel": 1, "b/kernel": 4}
        )


@pytest.mark.parametrize(
    ("previous", "message"),
    [
        ({"b/kernel": np.ones(3), "c/kernel": np.ones(1)}, r"\['a/.*\['c/kernel'\]"),
        ({"a/kernel": np.ones((2, 2)), "b/kernel": np.ones(4)}, r"'b/.*\(4,\).*\(3,\)"),
        ({"a/kernel": np.ones(4), "b/kernel": np.ones(3)}, r"'a/.*\(4,\).*\(2, 2\)"),
        (
            {"a/kernel": np.ones((2, 2)), "b/kernel": _f([1, 0.5, 0])},
            r"'b/kernel' holds 0\.5, expected 0 \(pruned\) or 1 \(kept\)",
        ),
    ],
)
def test_previous_masks_that_do_not_fit_are_refused(previous, message):
    with pytest.raises(ValueError, match=message):
        masks.keep_highest(_SCORES, num_survivors=1, previous=previous)


def test_scores_without_an_order_are_refused():
    with pytest.raises(ValueError, match=r"'b/kernel' hold NaN"):
        masks.keep_highest(_SCORES | {"b/kernel": _f([1, np.nan])}, num_survivors=1)
    with pytest.raises(ValueError, match="empty, expected .* at least one kernel"):
        masks.keep_highest({}, num_survivors=1)
    with pytest.raises(ValueError, match="empty"):
        masks.keep_highest_per_layer({}, num_survivors={})


def test_masks_that_do_not_fit_are_not_applied():
    weights = {"a/kernel": np.ones(2), "a/bias": np.ones(1)}
    with pytest.raises(ValueError, match=r"\['b/kernel'\].*\['a/bias', 'a/kernel'\]"):
        masks.apply(weights, {"b/kernel": np.ones(2)})
    with pytest.raises(ValueError, match=r"'a/kernel' has shape \(3,\).*\(2,\)"):
        masks.apply(weights, {"a/kernel": np.ones(3)})
    with pytest.raises(ValueError, match=r"'a/kernel' holds nan, expected 0"):
        masks.apply(weights, {"a/kernel": np.array([1, np.nan])})
