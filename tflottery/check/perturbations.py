"""What holds of every registered perturbation, in each of its default conditions."""

import inspect
import itertools
from collections.abc import Mapping

import numpy as np

from tflottery.check.contract import ContractError
from tflottery.core import seeds
from tflottery.core.initializers import Initializers
from tflottery.core.registry import PERTURBATIONS

_SHAPES = {
    "stem/kernel": (3, 3, 3, 8),
    "projection/kernel": (1, 1, 8, 16),
    "conv/kernel": (3, 3, 8, 16),
    "head/kernel": (16, 10),
}
_SEED = seeds.perturbation_seed(1, level=3)
_FIRST = ["kernels", "masks", "initial", "initializers", "seed"]

Arrays = dict[str, np.ndarray]


def declares_the_options_that_it_has(name: str) -> str:
    """Its arguments are those of a perturbation and the options it declares."""
    entry = PERTURBATIONS[name]
    arguments = list(inspect.signature(entry.function).parameters)
    expected = [*_FIRST, *entry["options"]]
    if arguments != expected or not isinstance(entry["version"], int):
        raise ContractError(
            f"arguments {arguments}, version={entry['version']!r}",
            expected=f"arguments {expected} and a whole number",
            remedy="declare options= as the function has them, and version=1",
        )
    return f"{len(conditions(name))} conditions"


def keeps_paths_shapes_dtypes_and_pruned_zeros(name: str) -> None:
    """What it returns is as what came, with pruned weights exactly +0.0."""
    for options in conditions(name):
        kernels, masks, _ = arguments()
        found = perturbed(name, options)
        _expect(list(found) == list(kernels), "other paths", options)
        for path, kernel in kernels.items():
            came = (found[path].shape, found[path].dtype.name)
            expected = (kernel.shape, kernel.dtype.name)
            _expect(came == expected, f"{path} of {came} for {expected}", options)
            pruned = found[path][masks[path] == 0]
            zeros = not pruned.any() and not np.signbit(pruned).any()
            _expect(zeros, f"pruned weights of {path} that are not 0.0", options)


def leaves_its_arguments_alone(name: str) -> None:
    """Arguments are neither changed nor part of what it returns."""
    for options in conditions(name):
        given = arguments()
        before = [_bytes(arrays) for arrays in given]
        found = perturbed(name, options, given=given)
        same = [_bytes(arrays) for arrays in given] == before
        _expect(same, "arguments that it has changed", options)
        for arrays, path in itertools.product(given, _SHAPES):
            shared = np.shares_memory(found[path], arrays[path])
            _expect(not shared, f"{path} in the memory of an argument", options)


def draws_by_seed_and_path_alone(name: str) -> None:
    """The same seed gives the same bits, in whatever order kernels come."""
    for options in conditions(name):
        first = _bytes(perturbed(name, options))
        again = _bytes(perturbed(name, options)) == first
        _expect(again, "other weights for the same seed", options)
        turned = tuple(dict(reversed(arrays.items())) for arrays in arguments())
        found = _bytes(perturbed(name, options, given=turned))
        _expect(found == first, "other weights for kernels in another order", options)


CHECKS = (
    declares_the_options_that_it_has,
    keeps_paths_shapes_dtypes_and_pruned_zeros,
    leaves_its_arguments_alone,
    draws_by_seed_and_path_alone,
)


def conditions(name: str) -> list[dict[str, object]]:
    """Returns each combination of the defaults of a perturbation's options."""
    options = PERTURBATIONS[name]["options"]
    choices = [v if isinstance(v, tuple) else (v,) for v in options.values()]
    return [
        dict(zip(options, values, strict=True))
        for values in itertools.product(*choices)
    ]


def arguments(
    shapes: Mapping[str, tuple[int, ...]] = _SHAPES,
) -> tuple[Arrays, Arrays, Arrays]:
    """Returns kernels, masks and initial weights; about half of them are pruned."""
    generator = np.random.default_rng(3)
    masks, kernels, initial = {}, {}, {}
    for path, shape in shapes.items():
        masks[path] = (generator.random(shape) < 0.5).astype(np.float32)
        normal = generator.standard_normal(shape, dtype=np.float32)
        kernels[path] = np.where(masks[path], normal, np.float32(0))
        initial[path] = generator.standard_normal(shape, dtype=np.float32)
    return kernels, masks, initial


def perturbed(
    name: str,
    options: Mapping[str, object],
    *,
    seed: int = _SEED,
    given: tuple[Arrays, Arrays, Arrays] | None = None,
) -> Arrays:
    """Returns what a perturbation makes of `given`, else of `arguments`."""
    kernels, masks, initial = arguments() if given is None else given
    function = PERTURBATIONS[name].function
    drawn = {"initial": initial, "initializers": Initializers(), "seed": seed}
    return function(kernels, masks, **drawn, **options)


def _expect(holds: bool, came: str, options: Mapping[str, object]) -> None:
    """Raises ContractError unless a condition holds."""
    if not holds:
        raise ContractError(
            f"{came}, with {dict(options)}",
            expected="what tflottery/perturbations says",
            remedy="draw by core.seeds with the path, as gaussian_noise.py there does, "
            "and end with pruning.masks.apply",
        )


def _bytes(weights: Arrays) -> dict[str, bytes]:
    """Returns the bits of arrays, to be compared."""
    return {path: value.tobytes() for path, value in sorted(weights.items())}
