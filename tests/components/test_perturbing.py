"""Perturbed states: what is changed, what is not, and by how much."""

import dataclasses

import numpy as np
import pytest
from etils import epath

from tflottery.components import perturbing
from tflottery.components.perturbing import NOISE_FILE, Perturbed
from tflottery.components.runs import Initialization, State
from tflottery.core.initializers import Initializers
from tflottery.core.registry import PERTURBATIONS
from tflottery.training import checkpoints

_KERNELS = (("a/kernel", (2, 2)), ("b/kernel", (3,)))
_WEIGHTS = {
    "a/kernel": np.array([[1, -2], [3, 4]], np.float32),
    "b/kernel": np.array([5, 6, -7], np.float32),
    "b/bias": np.array([8], np.float32),
    "norm/moving_mean": np.array([9], np.float32),
}
_INITIAL = {path: value + 10 for path, value in _WEIGHTS.items()}
_MASKS = {
    "a/kernel": np.array([[1, 0], [1, 1]], np.uint8),
    "b/kernel": np.array([0, 0, 1], np.uint8),
}


def _doubled(kernels, masks, *, initial, initializers, seed, factor):
    """Multiplies survivors; returns what it was given, to be looked at."""
    _doubled.given = kernels, masks, initial, initializers, seed
    return {path: kernel * np.float32(factor) for path, kernel in kernels.items()}


@pytest.fixture
def perturbed(trial, register):
    register(PERTURBATIONS, "doubled", _doubled, version=1, options={"factor": 2})

    def make(*, mask="state", **changes):
        fields = {
            "perturbation": "doubled",
            "version": 1,
            "options": (("factor", 2),),
            "of": trial.state("constant", 5),
            "mask": trial.state("constant", 7) if mask else None,
            "initial": trial.state("constant", 0),
            "kernels": _KERNELS,
            "seed": 3,
        }
        return Perturbed(**(fields | changes))

    return make


def _execute(trial, component):
    masks = {"mask": _MASKS} if component.mask is not None else {}
    trial.execute(component, of=_WEIGHTS, initial=_INITIAL, masks=masks)
    return checkpoints.read_weights(trial.output)


def test_only_surviving_weights_of_prunable_kernels_change(trial, perturbed):
    found = _execute(trial, perturbed())
    np.testing.assert_array_equal(found["a/kernel"], [[2, 0], [6, 8]])
    np.testing.assert_array_equal(found["b/kernel"], [0, 0, -14])
    for path in ("b/bias", "norm/moving_mean"):
        np.testing.assert_array_equal(found[path], _WEIGHTS[path])
    assert found.keys() == _WEIGHTS.keys()


def test_what_a_perturbation_is_given(trial, perturbed):
    _execute(trial, perturbed())
    kernels, masks, initial, initializers, seed = _doubled.given
    assert kernels.keys() == masks.keys() == initial.keys() == _MASKS.keys()
    np.testing.assert_array_equal(kernels["a/kernel"], [[1, 0], [3, 4]])
    np.testing.assert_array_equal(initial["a/kernel"], _INITIAL["a/kernel"])
    assert (initializers, seed) == (Initializers(), 3)


def test_a_perturbation_is_told_what_the_initial_weights_were_drawn_from(
    trial, perturbed
):
    glorot = Initializers("glorot_normal", "uniform")
    run = dataclasses.replace(trial.run("constant"), initial=Initialization(1, glorot))
    changed = perturbed(initial=State(run, 0))
    _execute(trial, changed)
    assert _doubled.given[3] == glorot
    assert changed.key != perturbed().key


def test_without_a_mask_every_prunable_weight_changes(trial, perturbed):
    found = _execute(trial, perturbed(mask=None))
    np.testing.assert_array_equal(found["b/kernel"], [10, 12, -14])


def test_the_amount_is_that_of_the_survivors(trial, perturbed):
    _execute(trial, perturbed())
    amount = perturbing.read(trial.output)
    # The survivors 1, 3, 4 and -7 move by themselves.
    assert amount["mean"] == pytest.approx(0.25)
    assert amount["std"] == pytest.approx(np.std([1, 3, 4, -7]))
    assert amount["std_of_all"] == pytest.approx(np.std([1, 3, 4, -7, 0, 0, 0]))
    assert (epath.Path(trial.output) / NOISE_FILE).exists()


def test_the_amount_is_told_kernel_by_kernel(trial, perturbed):
    _execute(trial, perturbed())
    layers = perturbing.read(trial.output)["layers"]
    assert layers.keys() == _MASKS.keys()
    a, b = layers["a/kernel"], layers["b/kernel"]
    assert (a["num_weights"], b["num_weights"]) == (3, 1)
    assert a["std"] == pytest.approx(np.std([1, 3, 4]))
    assert (b["std"], b["mean"]) == (0.0, -7.0)


def test_each_field_enters_the_key(trial, perturbed):
    keys = {
        perturbed(**changes).key
        for changes in (
            {},
            {"seed": 4},
            {"version": 2},
            {"options": (("factor", 3),)},
            {"mask": None},
            {"of": trial.state("constant", 6)},
            {"initial": trial.state("constant", 1)},
            {"perturbation": "other"},
        )
    }
    assert len(keys) == 8


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ({"a/kernel": np.zeros((2, 2), np.float32)}, "'doubled' returned kernels of"),
        (
            {"a/kernel": np.full((2, 2), np.inf), "b/kernel": np.zeros(3)},
            r"not finite in \['a/kernel'\]",
        ),
    ],
)
def test_a_broken_perturbation_is_named(trial, perturbed, register, returned, text):
    register(PERTURBATIONS, "broken", lambda *_, **__: returned, version=1, options={})
    component = perturbed(perturbation="broken", options=())
    text = text.replace("doubled", "broken")
    with pytest.raises(ValueError, match=text):
        _execute(trial, component)
