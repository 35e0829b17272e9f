"""Telemetry by hand, on networks of a few weights."""

import math

import numpy as np
import pytest

from tflottery.analysis import movement
from tflottery.analysis.movement import Statistic, chosen_weights, phases


def kernels(first, second):
    """Returns a network of two kernels."""
    return {
        "a/kernel": np.array(first, np.float32).reshape(-1, 1),
        "b/kernel": np.array(second, np.float32),
    }


INITIAL = kernels([1, -2], [0, 2])
OTHER = kernels([-1, -2], [-2, -0.0])


def test_magnitude_is_the_mean_over_all_weights():
    # Not the mean of the kernels' means, which would be 2.
    uneven = {"a/kernel": np.float32([[4]]), "b/kernel": np.float32([-1, 1, 0, 2])}
    assert movement.mean_magnitude(uneven) == 8 / 5
    assert movement.mean_magnitude(INITIAL) == 5 / 4


def test_signs_changed_and_the_sign_of_zero():
    # 1 to -1, 0 to -2 and 2 to -0.0; -2 stays.
    assert movement.fraction_of_signs_changed(OTHER, INITIAL) == 3 / 4
    assert movement.fraction_of_signs_changed(INITIAL, OTHER) == 3 / 4
    assert movement.fraction_of_signs_changed(INITIAL, INITIAL) == 0.0
    zeros, negative = kernels([0, 0], [0, 0]), kernels([-0.0, 0], [-0.0, 0])
    assert movement.fraction_of_signs_changed(negative, zeros) == 0.0


def test_signs_changed_over_survivors():
    # Of 1 to -1, -2 that stays, 0 to -2 and 2 to -0.0 the last one is pruned.
    masks = kernels([1, 1], [1, 0])
    assert movement.fraction_of_signs_changed(OTHER, INITIAL, masks=masks) == 2 / 3
    del masks["b/kernel"]
    with pytest.raises(ValueError, match="have to agree"):
        movement.fraction_of_signs_changed(OTHER, INITIAL, masks=masks)


def test_distance_and_angle():
    # Differences 2, 0, 2, 2; products -1 + 4; squared lengths 9 and 9.
    assert movement.l2_distance(OTHER, INITIAL) == pytest.approx(math.sqrt(12))
    assert movement.cosine(OTHER, INITIAL) == pytest.approx(3 / 9)
    opposite = {path: -kernel for path, kernel in INITIAL.items()}
    assert movement.cosine(opposite, INITIAL) == -1.0
    zeros = kernels([0, 0], [0, 0])
    assert math.isnan(movement.cosine(zeros, INITIAL))


def test_sums_are_those_of_float64():
    random = np.random.default_rng(0)
    one, other = (
        {"a/kernel": random.normal(3, 0.01, 200_001).astype(np.float32)}
        for _ in range(2)
    )
    a, b = (network["a/kernel"].astype(np.float64) for network in (one, other))
    assert movement.mean_magnitude(one) == pytest.approx(np.abs(a).mean(), rel=1e-14)
    found = movement.l2_distance(one, other)
    assert found == pytest.approx(np.linalg.norm(a - b), rel=1e-12)
    found = movement.cosine(one, other)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert found == pytest.approx(cosine, rel=1e-14) and found < 1
    assert movement.cosine(one, one) <= 1.0


@pytest.mark.parametrize(
    "function",
    [movement.fraction_of_signs_changed, movement.l2_distance, movement.cosine],
)
def test_unlike_networks_are_refused(function):
    for other in (
        {"a/kernel": INITIAL["a/kernel"]},
        INITIAL | {"c/kernel": np.zeros(1)},
        INITIAL | {"a/kernel": np.zeros((1, 2), np.float32)},
    ):
        with pytest.raises(ValueError, match="have to agree: only in the first"):
            function(INITIAL, other)


def test_no_weights_have_no_magnitude():
    with pytest.raises(ValueError, match=r"no weights in the kernels \[\]"):
        movement.mean_magnitude({})


# Ten weights.

SHAPES = {"a/kernel": (3, 3, 1, 4), "b/kernel": (2,), "c/kernel": (4, 5)}


def test_chosen_weights_are_places_in_the_kernels():
    chosen = chosen_weights(SHAPES, seed=1)
    assert len(set(chosen)) == len(chosen) == 10
    assert all(0 <= at < math.prod(SHAPES[path]) for path, at in chosen)
    assert chosen == chosen_weights(SHAPES, seed=1)
    assert chosen != chosen_weights(SHAPES, seed=2)
    # Fewer are the first of more.
    assert chosen_weights(SHAPES, seed=1, count=3) == chosen[:3]


def test_every_weight_is_chosen_equally_often():
    counts = {}
    for seed in range(2000):
        for place in chosen_weights(SHAPES, seed=seed, count=1):
            counts[place] = counts.get(place, 0) + 1
    # All 58, each 34.5 times on average with a deviation of 5.8.
    assert len(counts) == 58
    assert min(counts.values()) > 10 and max(counts.values()) < 65


def test_of_few_weights_all_are_chosen():
    assert sorted(chosen_weights({"b/kernel": (3,)}, seed=1)) == [
        ("b/kernel", 0),
        ("b/kernel", 1),
        ("b/kernel", 2),
    ]


# Phases.


def named(found, *, end):
    """Returns the statistics of the phase that ends there, by name."""
    return {one.name: one.value for one in found if one.phase_end == end}


def test_phases_by_hand():
    iterations = [0, 5, 10, 200, 400, 500, 2000, 3000, 4000]
    norms = [9.0, 5.0, 4.0, 2.0, 2.0, 2.5, 2.0, 1.0, 2.0]
    errors = [0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.2, 0.2, 0.1]
    found = phases(iterations, {"g": norms, "e": errors}, minima=("g",))
    places = dict.fromkeys(
        (one.phase_start, one.phase_end, one.num_iterations) for one in found
    )
    assert list(places) == [(0, 10, 3), (10, 500, 4), (500, 2000, 2), (2000, 4000, 3)]
    assert named(found, end=500) == pytest.approx(
        {
            "g_at_start": 4.0,
            "g_at_end": 2.5,
            "g_change_per_iteration": -1.5 / 490,
            "g_minimum": 2.0,
            # The first of equals.
            "g_minimum_iteration": 200.0,
            "g_rebound": 0.25,
            "e_at_start": 0.7,
            "e_at_end": 0.45,
            "e_change_per_iteration": -0.25 / 490,
        }
    )
    assert named(found, end=10)["g_change_per_iteration"] == -0.5
    assert named(found, end=2000)["g_rebound"] == 0.0
    assert named(found, end=4000)["g_minimum_iteration"] == 3000.0
    assert found[0] == Statistic(0, 10, 3, "g_at_start", 9.0)


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [
        ([0, 10], [(0, 10)]),
        ([0, 9, 11], []),
        # Without 500, neither the phase before nor the one after is known.
        ([0, 10, 400, 2000, 2001], [(0, 10), (2000, 2001)]),
        ([0, 10, 500, 2000], [(0, 10), (10, 500), (500, 2000)]),
        ([5], []),
        ([], []),
    ],
)
def test_phases_whose_ends_were_not_measured_are_left_out(iterations, expected):
    found = phases(iterations, {"g": [1.0] * len(iterations)})
    ends = dict.fromkeys((one.phase_start, one.phase_end) for one in found)
    assert list(ends) == expected
    assert not any("minimum" in one.name for one in found)


def test_no_rebound_from_nothing():
    found = phases([0, 5, 10], {"g": [1.0, 0.0, 1.0]}, minima=("g",))
    assert math.isnan(named(found, end=10)["g_rebound"])


@pytest.mark.parametrize(
    ("iterations", "column"), [([0, 10], [1.0]), ([10, 0], [1.0, 2.0])]
)
def test_columns_that_do_not_fit_are_refused(iterations, column):
    with pytest.raises(ValueError, match="expected ascending iterations and a value"):
        phases(iterations, {"g": column})
