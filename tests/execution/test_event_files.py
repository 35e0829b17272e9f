"""Event files: what TensorFlow reads in them is what was written."""

import time

import pytest
import tensorflow as tf

from tflottery.execution.event_files import EventFile


def events(path):
    """Returns the events of a file, with checksums compared."""
    return [
        tf.compat.v1.Event.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]


def test_what_was_written_is_read(tmp_path):
    file = EventFile(tmp_path / "a/run", "7.0")
    before = time.time()
    file.write(0, {"loss": 2.5, "learning_rate": 0.1})
    file.write(99_999_999, {"größe": -1e-30})
    [path] = (tmp_path / "a/run").iterdir()
    assert path.name == "events.out.tfevents.7.0"
    version, first, last = events(path)
    assert version.file_version == "brain.Event:2"
    assert before <= version.wall_time <= first.wall_time <= last.wall_time
    assert (first.step, last.step) == (0, 99_999_999)
    told = {value.tag: value.simple_value for value in first.summary.value}
    assert told == {"loss": 2.5, "learning_rate": pytest.approx(0.1)}
    [value] = last.summary.value
    assert value.tag == "größe" and value.simple_value == pytest.approx(-1e-30)


def test_an_earlier_file_of_the_name_is_replaced(tmp_path):
    for value in (1.0, 2.0):
        EventFile(tmp_path, "table").write(3, {"error": value})
    [path] = tmp_path.iterdir()
    _, event = events(path)
    assert event.summary.value[0].simple_value == 2.0
