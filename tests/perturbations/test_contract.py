"""What every perturbation promises, over the registry and every default condition."""

import inspect
import itertools

import numpy as np
import pytest

from tflottery.core import seeds
from tflottery.core.registry import PERTURBATIONS

_SHAPES = {
    "stem/kernel": (3, 3, 3, 8),
    "projection/kernel": (1, 1, 8, 16),
    "conv/kernel": (3, 3, 8, 16),
    "head/kernel": (16, 10),
}
_SEED = seeds.perturbation_seed(1, level=3)


def _conditions():
    """Returns (name, options) of each combination of the defaults."""
    found = []
    for name in PERTURBATIONS.names():
        options = PERTURBATIONS[name]["options"]
        choices = [v if isinstance(v, tuple) else (v,) for v in options.values()]
        for values in itertools.product(*choices):
            found.append((name, dict(zip(options, values, strict=True))))
    return found


_CONDITIONS = _conditions()
_EACH_CONDITION = pytest.mark.parametrize(
    ("name", "options"),
    _CONDITIONS,
    ids=["-".join([name, *map(str, o.values())]) for name, o in _CONDITIONS],
)
_EACH_NAME = pytest.mark.parametrize("name", PERTURBATIONS.names())
# The paper's own promise more: they refuse what does not fit, and each line of a figure
# is another network.
_PAPER = ("gaussian_noise", "shuffle", "sign_magnitude")
_EACH_OF_THE_PAPER = pytest.mark.parametrize("name", _PAPER)
_EACH_CONDITION_OF_THE_PAPER = pytest.mark.parametrize(
    ("name", "options"), [one for one in _CONDITIONS if one[0] in _PAPER], ids=str
)


def _arguments(shapes=_SHAPES):
    """Returns kernels, masks and initial weights; half of the places are pruned."""
    generator = np.random.default_rng(3)
    masks, kernels, initial = {}, {}, {}
    for path, shape in shapes.items():
        masks[path] = (generator.random(shape) < 0.5).astype(np.float32)
        normal = generator.standard_normal(shape, dtype=np.float32)
        kernels[path] = np.where(masks[path], normal, np.float32(0))
        initial[path] = generator.standard_normal(shape, dtype=np.float32)
    return kernels, masks, initial


def _perturbed(name, options, seed=_SEED, arguments=None):
    kernels, masks, initial = arguments or _arguments()
    function = PERTURBATIONS[name].function
    return function(kernels, masks, initial=initial, seed=seed, **options)


def _default(name):
    """Returns the options of the first condition of that name."""
    return next(options for known, options in _CONDITIONS if known == name)


def _bytes(weights):
    return {path: value.tobytes() for path, value in sorted(weights.items())}


def test_those_of_the_paper_are_there():
    assert set(_PAPER) <= set(PERTURBATIONS.names())


@_EACH_NAME
def test_declares_the_options_that_the_function_has(name):
    entry = PERTURBATIONS[name]
    assert isinstance(entry["version"], int)
    parameters = inspect.signature(entry.function).parameters
    assert list(parameters)[:4] == ["kernels", "masks", "initial", "seed"]
    assert list(parameters)[4:] == list(entry["options"])
    for option, default in entry["options"].items():
        assert parameters[option].kind is inspect.Parameter.KEYWORD_ONLY
        if parameters[option].default is not inspect.Parameter.empty:
            assert parameters[option].default == default


@_EACH_CONDITION
def test_same_paths_shapes_and_dtypes_and_pruned_zeros(name, options):
    kernels, masks, _ = _arguments()
    result = _perturbed(name, options)
    assert list(result) == list(kernels)
    for path, kernel in kernels.items():
        assert (result[path].shape, result[path].dtype) == (kernel.shape, kernel.dtype)
        pruned = result[path][masks[path] == 0]
        assert not pruned.any() and not np.signbit(pruned).any()


@_EACH_CONDITION
def test_arguments_are_neither_changed_nor_returned(name, options):
    arguments = _arguments()
    before = [_bytes(arrays) for arrays in arguments]
    result = _perturbed(name, options, arguments=arguments)
    assert [_bytes(arrays) for arrays in arguments] == before
    for arrays, path in itertools.product(arguments, _SHAPES):
        assert not np.shares_memory(result[path], arrays[path])


@_EACH_CONDITION
def test_seed_and_paths_decide_all_that_is_drawn(name, options):
    first = _bytes(_perturbed(name, options))
    assert _bytes(_perturbed(name, options)) == first
    turned = [dict(reversed(arrays.items())) for arrays in _arguments()]
    result = _perturbed(name, options, arguments=turned)
    assert list(result) == list(reversed(_SHAPES)) and _bytes(result) == first


@_EACH_CONDITION_OF_THE_PAPER
def test_another_seed_draws_something_else(name, options):
    first = _bytes(_perturbed(name, options))
    other = seeds.perturbation_seed(2, level=3)
    draws = name != "sign_magnitude" or "fresh" in options["mixes"]
    assert (_bytes(_perturbed(name, options, seed=other)) != first) == draws


@_EACH_CONDITION_OF_THE_PAPER
def test_no_survivor_is_pruned(name, options):
    _, masks, _ = _arguments()
    for path, value in _perturbed(name, options).items():
        assert value[masks[path] == 1].all()


@_EACH_CONDITION_OF_THE_PAPER
def test_every_condition_changes_the_weights_and_no_two_agree(name, options):
    found = _bytes(_perturbed(name, options))
    assert found != _bytes(_arguments()[0])
    others = [pair for pair in _CONDITIONS if pair != (name, options)]
    assert all(_bytes(_perturbed(*other)) != found for other in others)


@_EACH_OF_THE_PAPER
@pytest.mark.parametrize("density", [0, 1])
def test_all_or_nothing_may_survive(name, density):
    _, _, initial = _arguments()
    masks = {path: np.full(shape, density) for path, shape in _SHAPES.items()}
    kernels = {path: value * density for path, value in initial.items()}
    arguments = (kernels, masks, initial)
    result = _perturbed(name, _default(name), arguments=arguments)
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
            _perturbed(name, _default(name) | {option: wrong})
        for fact in (f"{option}={wrong!r}", "expected"):
            assert fact in str(caught.value)


@_EACH_OF_THE_PAPER
def test_arrays_that_do_not_fit_are_refused(name):
    def refused(message, *, kernels=None, masks=None, initial=None):
        base = _arguments({"a/kernel": (4, 2), "b/kernel": (3, 2)})
        arguments = tuple(
            arrays | (changes or {})
            for arrays, changes in zip(base, (kernels, masks, initial), strict=True)
        )
        with pytest.raises(ValueError, match=message):
            _perturbed(name, _default(name), arguments=arguments)

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
        _perturbed(name, _default(name), arguments=({}, {}, {}))
