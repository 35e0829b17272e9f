"""Noise: its size by layer, and one stream for each path."""

import math

import numpy as np
import pytest

from tflottery.core import seeds
from tflottery.core.initializers import Initializers
from tflottery.perturbations.gaussian_noise import gaussian_noise

# Standard deviations of their initial weights: sqrt(2 / 900) and sqrt(2 / 100).
_SHAPES = {"conv/kernel": (3, 3, 100, 80), "head/kernel": (100, 600)}
_STDS = {"conv/kernel": math.sqrt(2) / 30, "head/kernel": math.sqrt(2) / 10}
_HE, _GLOROT = Initializers(), Initializers("glorot_uniform")


def _arguments():
    generator = np.random.default_rng(2)
    masks = {p: generator.random(shape) < 0.7 for p, shape in _SHAPES.items()}
    initial = {p: generator.random(s, dtype=np.float32) for p, s in _SHAPES.items()}
    kernels = {path: initial[path] * masks[path] for path in _SHAPES}
    return kernels, masks, initial


def _noise(scale, seed=4, initializers=_HE):
    """Returns what was added to the survivors: flat by path."""
    kernels, masks, initial = _arguments()
    noisy = gaussian_noise(
        kernels,
        masks,
        initial=initial,
        initializers=initializers,
        seed=seed,
        noise_scales=scale,
    )
    return {path: (noisy[path] - kernels[path])[masks[path]] for path in kernels}


@pytest.mark.parametrize("scale", [0.5, 1, 3.0])
def test_standard_deviation_is_that_of_the_layers_initial_weights(scale):
    for path, noise in _noise(scale).items():
        size = scale * _STDS[path]
        assert noise.size > 40_000
        assert noise.std() == pytest.approx(size, rel=0.02)
        assert abs(noise.mean()) < 4 * size / math.sqrt(noise.size)
        assert (np.abs(noise) < 1.959964 * size).mean() == pytest.approx(0.95, abs=0.01)


def test_by_hand():
    kernel = np.array([[1.0], [-2.0], [0.0], [3.0]], np.float32)
    masks = {"a/kernel": kernel != 0}
    found = gaussian_noise(
        {"a/kernel": kernel},
        masks,
        initial={"a/kernel": kernel},
        initializers=_HE,
        seed=8,
        noise_scales=3.0,
    )
    normal = seeds.standard_normal(8, "gaussian_noise a/kernel", (4, 1))
    # A fan-in of 4: standard deviations of sqrt(2 / 4).
    expected = (kernel + 3 * math.sqrt(0.5) * normal) * masks["a/kernel"]
    np.testing.assert_allclose(found["a/kernel"], expected, rtol=1e-6)


def test_the_initializer_decides_the_size():
    """Fan-outs of 720 and 600 count beside the fan-ins of 900 and 100."""
    found, usual = _noise(1.0, initializers=_GLOROT), _noise(1.0)
    for path, fans in (("conv/kernel", (900, 720)), ("head/kernel", (100, 600))):
        ratio = math.sqrt(fans[0] / sum(fans))
        np.testing.assert_allclose(found[path], ratio * usual[path], atol=1e-6)


def test_scale_0_is_the_identity():
    kernels, masks, initial = _arguments()
    found = gaussian_noise(
        kernels, masks, initial=initial, initializers=_HE, seed=1, noise_scales=0
    )
    for path, kernel in kernels.items():
        np.testing.assert_array_equal(found[path], kernel)


def test_scales_multiply_the_same_noise_and_paths_share_none():
    half, double = _noise(0.5), _noise(2.0)
    for path in _SHAPES:
        np.testing.assert_allclose(4 * half[path], double[path], atol=1e-5)
    count = min(noise.size for noise in double.values())
    rows = [noise[:count] for noise in (*double.values(), *_noise(2.0, 5).values())]
    correlations = np.corrcoef(rows)[np.triu_indices(len(rows), k=1)]
    assert abs(correlations).max() < 5 / math.sqrt(count)


@pytest.mark.parametrize("wrong", [-0.5, math.nan, math.inf, True, "1.0", (0.5, 1.0)])
def test_other_scales_are_refused(wrong):
    with pytest.raises(ValueError, match="noise_scales=.*expected one finite number"):
        _noise(wrong)
