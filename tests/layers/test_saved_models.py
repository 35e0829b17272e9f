"""A saved model with masked layers opens in a process that knows a door only."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import tflottery
from tflottery import layers

_ROOT = pathlib.Path(tflottery.__file__).parents[1]
_OPENED = """
import sys
from tflottery.{package} import {name}
import keras, numpy
model = keras.models.load_model(sys.argv[1])
images = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], model(images))
from tflottery import layers
print(*(mask.sum() for mask in layers.masks(model).values()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("", "layers"),
        ("training", "tickets"),
        ("training.callbacks", "WeightSnapshot"),
    ],
)
def test_a_new_process_opens_what_was_saved(tmp_path, package, name):
    images = keras.Input((4, 4, 2), name="images")
    x = layers.MaskedConv2D(3, 3, name="conv")(images)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    model = keras.Model(images, layers.MaskedDense(3, name="head")(x))
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse")
    ones = np.ones((12, 3))
    ones[:5] = 0
    layers.set_masks(model, {"head/kernel": ones})
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(5, 4, 4, 2)).astype(np.float32)
    np.save(tmp_path / "images.npy", x)
    code = _OPENED.format(package=package, name=name).replace(
        "tflottery. ", "tflottery "
    )
    files = [str(tmp_path / file) for file in ("model.keras", "images.npy", "out.npy")]
    done = subprocess.run(
        [sys.executable, "-c", code, *files],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["54.0", "21.0"]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), model(x))
