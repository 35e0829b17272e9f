"""A pretext that rounds differently in some form of loop is told of before its use."""

import logging

import pytest
import tensorflow as tf

from tflottery.components.metadata import inspect
from tflottery.core.recipes import Setting
from tflottery.core.registry import PRETEXTS
from tflottery.datasets import forms
from tflottery.datasets import source as sources
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime

_OWN = {"num_outputs": None, "version": 1, "seeded": False}


@pytest.fixture(scope="module")
def source():
    return sources.load("digits", minimum_image_size=32)


@pytest.fixture
def told(source, register, caplog):
    """Returns what is told of a pretext."""

    def check(task, **own):
        if callable(task):
            register(PRETEXTS, "own", task, **_OWN)
            task = "own"
        with caplog.at_level(logging.INFO, logger="tflottery"):
            forms.validate(task, source)
        return [record.getMessage() for record in caplog.records]

    return check


def _mean(images, labels, **_):
    """As a user would write it."""
    return tf.reduce_mean(images, axis=-1, keepdims=True) + 0 * images, labels


def _exact_mean(images, labels, **_):
    """The same by a sum of whole numbers; a shift in place of a division."""
    values = tf.cast(tf.round(255 * images), tf.int32)
    total = tf.reduce_sum(values, axis=-1, keepdims=True)
    return tf.cast(total, tf.float32) * (1 / 1024) + 0 * images, labels


def _contrast(images, labels, **_):
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return 0.5 + 0.3 * (images - mean), labels


def _noise(images, labels, **_):
    return images * tf.random.uniform(images.shape), labels


def _other_labels(images, labels, **_):
    return images, labels + tf.random.uniform(labels.shape, 0, 9, tf.int32)


_traced = []


def _counting_traces(images, labels, **_):
    _traced.append(images)
    return images if len(_traced) < 3 else 0.5 * images, labels


def _by_rounding(images, labels, **_):
    """Labels that hang on the last bit of a sum."""
    mean = tf.reduce_mean(images, axis=(1, 2, 3))
    bits = tf.bitcast(mean, tf.int32)
    return images, tf.bitwise.bitwise_and(bits, 1)


# What others do is in it; all have their bits compared in tests/pretexts, and pass
# this with the package's contracts.
@pytest.mark.parametrize("name", ["blur_rotation"])
def test_registered_pretexts_have_the_same_bits_in_every_form(name, told):
    assert told(name) == []


def test_a_mean_as_a_user_would_write_it_is_told_of(told):
    (text,) = told(_contrast)
    assert "'own' rounds differently than in a graph: " in text
    assert " of 98304 values compiled by XLA" in text
    assert "add whole numbers, as tf.cast(tf.round(255 * images), tf.int32)" in text


def test_sums_of_whole_numbers_are_exact(told):
    assert told(_exact_mean) == []


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (_noise, "'own' gives other images or labels each time.*from `bits` alone"),
        (_other_labels, "'own' gives other images or labels each time"),
        (
            _counting_traces,
            "gives other results compiled by XLA than in a graph: 0 of 32",
        ),
        (
            _by_rounding,
            r"gives other results .* than in a graph: \d+ of 32 labels differ",
        ),
    ],
)
def test_what_differs_by_more_than_rounding_is_refused(task, text, told):
    with pytest.raises(ValueError, match=text):
        told(task)


def test_it_is_told_before_anything_is_planned(register, caplog):
    runtime = Runtime(data_dir=None, placement=Placement())
    register(PRETEXTS, "own", _contrast, **_OWN)
    inspect("lenet", Setting("digits", "own"), runtime)
    assert "'own' rounds differently" in caplog.text
    register(PRETEXTS, "own", _noise, **_OWN)
    with pytest.raises(ValueError, match="'own' gives other images or labels"):
        inspect("lenet", Setting("digits", "own"), runtime)


@pytest.mark.slow
def test_what_was_sound_is_not_tried_again_on_the_same_images(told, source):
    calls = []

    def sound(images, labels, **_):
        calls.append(images.shape)
        return images, labels

    assert told(sound) == [] and calls
    calls.clear()
    assert told(sound) == [] and calls == []
    forms.validate("own", sources.load("digits"))
    assert {shape[1] for shape in calls} == {8}
    # What is told is told each time.
    assert len(told(_mean)) == 1 and len(told(_mean)) == 2
