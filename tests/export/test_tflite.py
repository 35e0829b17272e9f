"""Zeros are left out of a TFLite file, and what it answers stays the same."""

import keras
import numpy as np

from tflottery.export import tflite


def test_zeros_are_left_out_and_nothing_is_rounded(tmp_path):
    random = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(96)])
    kernel = random.normal(size=(64, 96)).astype(np.float32)
    # Among many weights, which would be of eight bits if the converter might choose.
    kernel[random.uniform(size=kernel.shape) < 0.9] = 0
    model.layers[0].kernel.assign(kernel)
    found = tflite.converted(model, is_sparse=True)
    assert found.num_dense_bytes > 4 * kernel.size
    assert found.is_sparse and len(found.data) < found.num_dense_bytes / 3
    assert f"{len(found.data):,} bytes against {found.num_dense_bytes:,}" in found.told
    inputs = random.normal(size=(3, 64)).astype(np.float32)
    path = tmp_path / "ticket.tflite"
    path.write_bytes(found.data)
    for outputs in tflite.run(path, inputs).values():
        np.testing.assert_allclose(outputs, inputs @ kernel, rtol=1e-5, atol=1e-5)
