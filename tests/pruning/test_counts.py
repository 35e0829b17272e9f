"""Counts of survivors: those of the papers' networks, and rounding by hand."""

import fractions

import numpy as np
import pytest

from tflottery.pruning import counts

_LENET = 266_200
_RESNET20 = 270_896
_VGG13 = 9_402_048
_VGG16 = 14_710_464
# The kernel of VGG's last layer, 512 x 10.
_VGG_HEAD = 5_120


@pytest.mark.parametrize(
    ("num_prunable", "level", "expected"),
    [
        (_LENET, 0, 266_200),
        (_LENET, 15, 9_366),
        (_RESNET20, 8, 45_449),
        (_RESNET20, 11, 23_270),
        (_RESNET20, 12, 18_616),
        (_VGG13, 22, 69_375),
        (_VGG16, 13, 808_716),
        (_VGG16, 19, 212_000),
    ],
)
def test_survivors_at_the_studied_densities(num_prunable, level, expected):
    found = counts.num_survivors(num_prunable, pruning_fraction=0.2, level=level)
    assert found == expected and type(found) is int


@pytest.mark.parametrize(
    ("num_survivors", "num_prunable", "expected"),
    [(212_000, _VGG16, 1.475), (808_716, _VGG16, 5.530), (69_375, _VGG13, 0.792)],
)
def test_unpruned_kernels_count_on_the_axis(num_survivors, num_prunable, expected):
    found = counts.axis_density(
        num_survivors, num_prunable=num_prunable, num_unpruned=_VGG_HEAD
    )
    assert round(100 * found, 3) == expected


@pytest.mark.parametrize(
    ("num_prunable", "printed"),
    [
        (_VGG13, {6: 26.3, 9: 13.5, 15: 3.6, 18: 1.9, 21: 1.0, 22: 0.8}),
        (_VGG16, {6: 26.2, 9: 13.5, 15: 3.6, 18: 1.8, 19: 1.5, 21: 1.0}),
    ],
)
def test_axis_has_the_labels_of_the_papers(num_prunable, printed):
    for level, label in printed.items():
        num = counts.num_survivors(num_prunable, pruning_fraction=0.2, level=level)
        found = counts.axis_density(
            num, num_prunable=num_prunable, num_unpruned=_VGG_HEAD
        )
        assert round(100 * found, 1) == label


def test_density_counts_prunable_weights_only():
    assert counts.density(3, num_prunable=12) == 0.25
    assert counts.density(0, num_prunable=12) == 0.0
    assert counts.density(12, num_prunable=12) == 1.0
    assert counts.axis_density(3, num_prunable=12, num_unpruned=0) == 0.25
    assert counts.axis_density(3, num_prunable=12, num_unpruned=6) == 0.5


@pytest.mark.parametrize(
    ("num_prunable", "level", "expected"),
    # Half of 5 is 2.5, half of that 1.25; half of 3 is 1.5, half of 7 is 3.5.
    [(5, 1, 3), (5, 2, 1), (3, 1, 2), (7, 1, 4), (1, 1, 1), (1, 0, 1)],
)
def test_halves_are_rounded_up(num_prunable, level, expected):
    found = counts.num_survivors(num_prunable, pruning_fraction=0.5, level=level)
    assert found == expected


def test_fraction_is_that_of_its_digits():
    """25 * 0.9 is 22.5, which is 23; the float 0.1 is a little more than a tenth."""
    assert counts.num_survivors(25, pruning_fraction=0.1, level=1) == 23
    assert 25 * (1 - fractions.Fraction(0.1)) < 22.5
    found = counts.num_survivors(25, pruning_fraction=np.float64(0.1), level=1)
    assert found == 23
    found = counts.num_survivors(10**6, pruning_fraction=1e-05, level=np.int64(1))
    assert found == 999_990


def test_counts_come_from_the_whole_and_not_from_the_level_before():
    """100 * 0.8^9 is 13.4. From level to level it would be 100, 80, 64, 51, 41, 33,
    26, 21, 17 and then round(13.6) = 14."""
    found = [
        counts.num_survivors(100, pruning_fraction=0.2, level=level)
        for level in range(10)
    ]
    assert found == [100, 80, 64, 51, 41, 33, 26, 21, 17, 13]


@pytest.mark.parametrize(
    ("density", "level"),
    [
        (1.0, 0),
        (0.8, 1),
        (0.3, 5),
        (0.168, 8),
        (0.086, 11),
        (0.069, 12),
        (0.055, 13),
        (0.035, 15),
        (0.036, 15),
        (0.015, 19),
        (0.008, 22),
    ],
)
def test_level_of_a_printed_density(density, level):
    assert counts.level_of(density, pruning_fraction=0.2) == level


def test_level_of_its_own_density_is_the_level():
    for pruning_fraction in (0.01, 0.2, 0.5, 0.9):
        for level in range(40):
            density = (1 - pruning_fraction) ** level
            found = counts.level_of(density, pruning_fraction=pruning_fraction)
            assert found == level


def test_nearest_level_is_nearest_in_ratio():
    """Levels of 1 and 0.1: 0.35 is 2.9 times below the one and 3.5 times above the
    other, though the difference to the other is smaller."""
    assert counts.level_of(0.35, pruning_fraction=0.9) == 0
    assert counts.level_of(0.31, pruning_fraction=0.9) == 1


@pytest.mark.parametrize(
    ("pruning_fraction", "density", "level"),
    # Levels of 1, 0.64, 0.4096, ...: the square of 0.8 is 0.64. Of 0.7 the logarithms
    # say 0.5000000000000001.
    [(0.36, 0.8, 0), (0.36, 0.512, 1), (0.36, 0.32768, 2), (0.51, 0.7, 0)],
)
def test_halfway_between_levels_is_the_denser_one(pruning_fraction, density, level):
    assert counts.level_of(density, pruning_fraction=pruning_fraction) == level


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pruning_fraction": 0.0}, r"pruning_fraction=0\.0, expected in \(0, 1\)"),
        ({"pruning_fraction": 1.0}, r"pruning_fraction=1\.0"),
        ({"pruning_fraction": 20}, r"pruning_fraction=20"),
        ({"pruning_fraction": float("nan")}, r"pruning_fraction=nan"),
        ({"level": -1}, r"level=-1, expected a whole number of at least 0"),
        ({"level": 1.5}, r"level=1\.5, expected a whole number"),
        ({"num_prunable": 0}, r"num_prunable=0, expected .* at least 1"),
        ({"num_prunable": 10.0}, r"num_prunable=10\.0, expected a whole"),
        ({"level": 60}, r"level=60 leaves none of 10 weights.*0\.2 .*at least one"),
    ],
)
def test_impossible_counts_are_refused(arguments, message):
    good = {"num_prunable": 10, "pruning_fraction": 0.2, "level": 1}
    with pytest.raises(ValueError, match=message):
        counts.num_survivors(**(good | arguments))


@pytest.mark.parametrize("density", [0.0, -0.1, 3.5, float("nan")])
def test_impossible_densities_have_no_level(density):
    with pytest.raises(ValueError, match=rf"density={density!r}.*\(0, 1\].*percent"):
        counts.level_of(density, pruning_fraction=0.2)
    with pytest.raises(ValueError, match=r"pruning_fraction=1\.0.*\(0, 1\)"):
        counts.level_of(0.5, pruning_fraction=1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_survivors": -1}, r"num_survivors=-1, expected .* at least 0"),
        ({"num_survivors": 11}, r"num_survivors=11, expected at most num_prunable=10"),
        ({"num_prunable": 0}, r"num_prunable=0"),
        ({"num_unpruned": -2}, r"num_unpruned=-2, expected .* at least 0"),
    ],
)
def test_impossible_shares_are_refused(arguments, message):
    good = {"num_survivors": 5, "num_prunable": 10, "num_unpruned": 2}
    with pytest.raises(ValueError, match=message):
        counts.axis_density(**(good | arguments))


def test_counts_divided_among_kernels_by_hand():
    sizes = {"a": 10, "b": 20, "c": 3}
    # 10 of 33: 3.03, 6.06 and 0.91.
    assert counts.divided(10, sizes) == {"a": 3, "b": 6, "c": 1}
    # 4 of 33: 1.21, 2.42 and 0.36, of which the last has one at least.
    assert counts.divided(4, sizes) == {"a": 1, "b": 2, "c": 1}
    assert counts.divided(3, sizes) == {"a": 1, "b": 1, "c": 1}
    assert counts.divided(33, sizes) == sizes
    for count in range(3, 34):
        found = counts.divided(count, sizes)
        assert sum(found.values()) == count
        assert all(1 <= found[path] <= size for path, size in sizes.items())
    with pytest.raises(ValueError, match="2 of 33 weights .* among 3 kernels"):
        counts.divided(2, sizes)
