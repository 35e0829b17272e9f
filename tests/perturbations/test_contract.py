"""What the papers' perturbations promise beyond `tflottery.check.perturbations`."""

import numpy as np
import pytest

from tflottery.check import perturbations
from tflottery.core import seeds
from tflottery.core.registry import PERTURBATIONS

# (name, options) of each condition.
_CONDITIONS = [
    (name, options)
    for name in PERTURBATIONS.names()
    for options in perturbations.conditions(name)
]
# The paper's own promise more: they refuse what does not fit, and each line of a figure
# is another network.
_PAPER = ("gaussian_noise", "shuffle", "sign_magnitude")
_EACH_OF_THE_PAPER = pytest.mark.parametrize("name", _PAPER)
_EACH_CONDITION_OF_THE_PAPER = pytest.mark.parametrize(
    ("name", "options"), [one for one in _CONDITIONS if one[0] in _PAPER], ids=str
)


def _default(name):
    """Returns the options of the first condition of that name."""
    return next(options for known, options in _CONDITIONS if known == name)


def _bytes(weights):
    return {path: value.tobytes() for path, value in sorted(weights.items())}


def test_those_of_the_paper_are_there():
    assert set(_PAPER) <= set(PERTURBATIONS.names())


@_EACH_CONDITION_OF_THE_PAPER
def test_another_seed_draws_something_else(name, options):
    first = _bytes(perturbations.perturbed(name, options))
    other = seeds.perturbation_seed(2, level=3)
    draws = name != "sign_magnitude" or "fresh" in options["mixes"]
    found = _bytes(perturbations.perturbed(name, options, seed=other))
    assert (found != first) == draws


@_EACH_CONDITION_OF_THE_PAPER
def test_no_survivor_is_pruned(name, options):
    _, masks, _ = perturbations.arguments()
    for path, value in perturbations.perturbed(name, options).items():
        assert value[masks[path] == 1].all()


@_EACH_CONDITION_OF_THE_PAPER
def test_every_condition_changes_the_weights_and_no_two_agree(name, options):
    found = _bytes(perturbations.perturbed(name, options))
    assert found != _bytes(perturbations.arguments()[0])
    others = [pair for pair in _CONDITIONS if pair != (name, options)]
    assert all(_bytes(perturbations.perturbed(*other)) != found for other in others)


@_EACH_OF_THE_PAPER
@pytest.mark.parametrize("density", [0, 1])
def test_all_or_nothing_may_survive(name, density):
    _, _, initial = perturbations.arguments()
    masks = {path: np.full(value.shape, density) for path, value in initial.items()}
    kernels = {path: value * density for path, value in initial.items()}
    arguments = (kernels, masks, initial)
    result = perturbations.perturbed(name, _default(name), given=arguments)
    for value in result.values():
        assert np.count_nonzero(value) == density * value.size


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, o) for name in _PAPER for o in PERTURBATIONS[name]["options"]],
)
def test_unknown_values_of_an_option_are_refused(name, option):
    for wrong in ("no such value", None, PERTURBATIONS[name]["options"][option]):
        if wrong is False:
            continue
        with pytest.raises(ValueError) as caught:
            perturbations.perturbed(name, _default(name) | {option: wrong})
        for fact in (f"{option}={wrong!r}", "expected"):
            assert fact in str(caught.value)


@_EACH_OF_THE_PAPER
def test_arrays_that_do_not_fit_are_refused(name):
    def refused(message, *, kernels=None, masks=None, initial=None):
        base = perturbations.arguments({"a/kernel": (4, 2), "b/kernel": (3, 2)})
        arguments = tuple(
            arrays | (changes or {})
            for arrays, changes in zip(base, (kernels, masks, initial), strict=True)
        )
        with pytest.raises(ValueError, match=message):
            perturbations.perturbed(name, _default(name), given=arguments)

    large, double = np.ones((2, 4), np.float32), np.ones((4, 2), np.float64)
    many = r"missing \[\], too much \['c/kernel'\]"
    few = r"missing \['c/kernel'\], too much \[\]"
    refused(f"masks is not for .*{many}", masks={"c/kernel": large})
    refused(f"initial is not for .*{many}", initial={"c/kernel": large})
    refused(f"masks is not for .*{few}", kernels={"c/kernel": large})
    shapes = r"\['a/kernel'\] has shape \(2, 4\), expected its kernel's \(4, 2\)"
    refused("masks" + shapes, masks={"a/kernel": large})
    refused("initial" + shapes, initial={"a/kernel": large})
    wrong = r"\['a/kernel'\] is float64, expected float32"
    refused("kernels" + wrong, kernels={"a/kernel": double})
    refused("initial" + wrong, initial={"a/kernel": double})
    refused("mask of 'a/kernel' holds 0.5", masks={"a/kernel": double / 2})
    with pytest.raises(ValueError, match="kernels is empty"):
        perturbations.perturbed(name, _default(name), given=({}, {}, {}))
