"""Loss and metrics in one compiled loop are those of `evaluate`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery.own_models.evaluation_loop import EvaluationLoop
from tflottery.own_models.spans import Spans


class Named(keras.Model):
    """Says of a batch what its metrics do not."""

    def test_step(self, data):
        return {"twice": 2 * super().test_step(data)["loss"]}


def _model(*, kind):
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(2)(keras.layers.BatchNormalization()(inputs))
    model = kind(inputs, outputs)
    model.compile("sgd", "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize(
    ("kind", "number", "weighted"),
    [(Named, 3, False), (keras.Model, 8, True), (keras.Model, 9, False)],
)
def test_all_examples_count_as_in_evaluate(kind, number, weighted):
    random = np.random.default_rng(0)
    model = _model(kind=kind)
    data = tuple(random.normal(size=(number, n)).astype(np.float32) for n in (3, 2))
    if weighted:
        data += (random.uniform(size=number).astype(np.float32),)
    expected = model.evaluate(
        *data[:2],
        sample_weight=data[2] if weighted else None,
        batch_size=4,
        verbose=0,
        return_dict=True,
    )
    loop = EvaluationLoop(model, keras.tree.map_structure(tf.constant, data), 4)
    for _ in range(2):
        found = loop.found()
        assert list(found) == list(expected)
        assert {name: float(one) for name, one in found.items()} == expected


def test_spans_grow_while_they_are_short_and_leave_nothing_out(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(clock) / 10)
    spans = Spans()
    assert list(spans.between(3, 100)) == [(3, 4), (4, 8), (8, 24), (24, 88), (88, 100)]
    # A tenth of a second for twelve steps: of those to come, some more fit.
    assert list(spans.between(0, 300)) == [(0, 240), (240, 300)]
    assert list(spans.between(5, 5)) == []
