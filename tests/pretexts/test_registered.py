"""What holds of every registered pretext."""

import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.registry import PRETEXTS

SHAPES = [(8, 8, 1), (32, 32, 3)]


def _views(name):
    """The axis of views, where there are several."""
    count = PRETEXTS[name]["num_views"]
    return () if count == 1 else (count,)


pytestmark = pytest.mark.parametrize("name", PRETEXTS.names())


def test_a_file_of_its_name_and_what_it_declares(name):
    entry = PRETEXTS[name]
    assert entry.function.__module__ == f"tflottery.pretexts.{name}"
    assert isinstance(entry["version"], int) and entry["version"] >= 1
    declared = entry["num_outputs"]
    width = declared(10) if callable(declared) else declared
    assert width is None or width >= 2


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_types_and_ranges_stay(name, shape, ask):
    inputs = ask.inputs(shape, count=200)
    images, targets = ask(name, inputs)
    assert images.shape == (200, *_views(name), *shape)
    assert images.dtype == np.float32
    assert targets.shape[0] == 200 and targets.dtype == np.int32
    assert images.min() >= 0 and images.max() <= 1
    if PRETEXTS[name]["losses"] is None:
        num_classes = PRETEXTS[name]["num_outputs"] or 10
        assert set(targets.tolist()) == set(range(num_classes))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_do_not_leave_the_range(name, value, ask):
    inputs = ask.inputs((8, 8, 1))
    inputs["images"] = tf.fill((24, 8, 8, 1), value)
    images, _ = ask(name, inputs)
    assert images.min() >= 0 and images.max() <= 1
    if PRETEXTS[name]["num_views"] == 1:
        # Views of an image are darker or brighter than it is.
        assert (images == value).all()


def test_shapes_are_static(name, ask):
    inputs, shapes = ask.inputs((8, 8, 1)), []

    @tf.function(autograph=False)
    def step(images, labels, **others):
        images, labels = PRETEXTS[name].function(
            images, labels, **others, seed=0, num_classes=10
        )
        shapes.append((images.shape.as_list(), labels.shape.as_list()))

    step(**inputs)
    (images, targets), *others = shapes
    assert not others
    assert images == [24, *_views(name), 8, 8, 1]
    assert targets[0] == 24 and None not in targets


# Grey images are compiled by XLA in tests/datasets/test_forms.py, small ones in
# test_pipeline.py beside it.
@pytest.mark.parametrize(
    ("shape", "forms"),
    [
        pytest.param((8, 8, 1), (None, "graph"), id="grey"),
        pytest.param(
            (32, 32, 3),
            (None, "graph", "xla"),
            id="coloured",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_form_has_the_same_bytes(name, shape, forms, ask):
    inputs = ask.inputs(shape)
    before = {key: value.numpy().copy() for key, value in inputs.items()}
    expected = ask(name, inputs, seed=3)
    for form in forms:
        found = ask(name, inputs, seed=3, form=form)
        assert [one.tobytes() for one in found] == [one.tobytes() for one in expected]
    for key, value in inputs.items():
        np.testing.assert_array_equal(value, before[key])
