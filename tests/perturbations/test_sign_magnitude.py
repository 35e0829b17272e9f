"""Mixes of signs and magnitudes by hand."""

import numpy as np
import pytest

from tflottery.core.initializers import Initializers
from tflottery.core.registry import PERTURBATIONS
from tflottery.models import weights
from tflottery.perturbations.sign_magnitude import sign_magnitude

_PATH = "a/kernel"
_HE, _GLOROT = Initializers(), Initializers("glorot_uniform")


def _row(*values):
    return {_PATH: np.array([values], np.float32)}


_AT_K = _row(-1, 2, -3, 0, 5)
_INITIAL = _row(10, -20, -30, 40, -50)
_MASKS = _row(1, 1, 1, 0, 1)


def _mixed(
    mixes,
    *,
    kernels=_AT_K,
    masks=_MASKS,
    initial=_INITIAL,
    initializers=_HE,
    seed=7,
):
    given = {"initial": initial, "initializers": initializers, "seed": seed}
    return sign_magnitude(kernels, masks, **given, mixes=mixes)[_PATH]


@pytest.mark.parametrize(
    ("mixes", "expected"),
    [
        ("k:k", [-1, 2, -3, 0, 5]),
        ("init:init", [10, -20, -30, 0, -50]),
        ("init:k", [-10, 20, -30, 0, 50]),
        ("k:init", [1, -2, -3, 0, -5]),
    ],
)
def test_mixes_by_hand(mixes, expected):
    np.testing.assert_array_equal(_mixed(mixes), [expected])


def test_fresh_weights_are_those_of_the_seed():
    fresh = weights.initial_values({_PATH: (1, 5)}, 7)[_PATH]
    np.testing.assert_array_equal(_mixed("fresh:fresh"), fresh * _MASKS[_PATH])
    expected = np.abs(fresh) * [[-1, 1, -1, 0, 1]]
    np.testing.assert_array_equal(_mixed("fresh:k"), expected)
    expected = np.abs(_AT_K[_PATH]) * np.sign(fresh)
    np.testing.assert_array_equal(_mixed("k:fresh"), expected)


def test_fresh_weights_are_drawn_as_the_initial_ones_were():
    fresh = weights.initial_values({_PATH: (1, 5)}, 7, _GLOROT)[_PATH]
    found = _mixed("fresh:fresh", initializers=_GLOROT)
    np.testing.assert_array_equal(found, fresh * _MASKS[_PATH])


def test_zero_in_the_source_of_signs_prunes_nothing():
    kernels, initial = _row(0.0, -0.0, -3.0), _row(-4.0, 5.0, 0.0)
    given = {"kernels": kernels, "masks": _row(1, 1, 1), "initial": initial}
    np.testing.assert_array_equal(_mixed("init:k", **given), [[4, 5, -0.0]])
    np.testing.assert_array_equal(_mixed("k:init", **given), [[0, 0, 3]])
    np.testing.assert_array_equal(_mixed("k:k", **given), kernels[_PATH])


def test_unknown_mixes_list_the_known_ones():
    for wrong in ("init", "init:0", "k:init:k", "", ["k:k"]):
        with pytest.raises(ValueError) as caught:
            _mixed(wrong)
        for fact in (f"mixes={wrong!r}", "'MAGNITUDES:SIGNS'", "init:k", "k:fresh"):
            assert fact in str(caught.value)


def test_defaults_are_those_of_the_figure():
    """Its fifth line, k:k, is the ticket itself."""
    found = PERTURBATIONS["sign_magnitude"]["options"]["mixes"]
    assert found == ("init:init", "fresh:k", "init:k", "k:init")
