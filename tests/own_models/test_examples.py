"""What may be given as data, and what is refused before it fills the memory."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery.own_models import examples

X, Y = np.ones((5, 2)), np.arange(5)


def test_a_data_set_without_end_is_refused():
    endless = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2).repeat()
    with pytest.raises(ValueError, match=r"test_data is a data set without end"):
        examples.examples_of(endless, called="test_data")


def test_a_data_set_that_is_another_each_time_is_refused():
    data = tf.data.Dataset.from_tensor_slices((np.arange(64), np.arange(64)))
    with pytest.raises(ValueError, match=r"another one each time.*`shuffle`"):
        examples.examples_of(data.shuffle(64).batch(8), called="data")


def test_what_is_no_batch_of_one_shape_is_refused():
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    lengths = tf.data.Dataset.range(1, 4).map(lambda n: (tf.ones([2, n]), [0, 1]))
    for wrong in (data, lengths):
        with pytest.raises(
            ValueError, match=r"data is a data set of .*TensorSpec.*`ba"
        ):
            examples.examples_of(wrong, called="data")
    with pytest.raises(ValueError, match=r"A list is taken for several arrays"):
        examples.examples_of((X.tolist(), Y), called="data")


def test_text_comes_from_arrays_and_data_sets():
    words = ["a b", "c", "d", "e", "f"]
    data = tf.data.Dataset.from_tensor_slices((words, Y)).batch(2)
    found, _ = examples.examples_of(data, called="data")
    assert found.tolist() == [word.encode() for word in words]
    found, _ = examples.examples_of((np.array(words, object), Y), called="data")
    assert found.tolist() == words and found.dtype.kind == "U"


def test_what_keras_takes_for_no_weights_is_taken():
    assert len(examples.examples_of((X, Y, None), called="data")) == 2


def test_double_precision_stays_where_keras_computes_in_it(monkeypatch):
    found, _ = examples.examples_of((X, Y), called="data")
    assert found.dtype == np.float32
    monkeypatch.setattr(keras.config, "floatx", lambda: "float64")
    found, _ = examples.examples_of((X, Y), called="data")
    assert found.dtype == np.float64


def test_targets_of_other_axes_are_refused_by_what_came():
    for train, test in ((Y, Y[:, None]), ({"a": Y}, {"a": Y[:, None]})):
        examples.refuse_other_axes((X, train), (X, train, np.ones(5)))
        with pytest.raises(ValueError, match=r"of data .*\(5,\), .*\(5, 1\).*y\[:, 0"):
            examples.refuse_other_axes((X, train), (X, test))
