"""Event files: what TensorFlow reads in them is what was written."""

import time

import pytest
import tensorflow as tf

from tflottery.execution import event_files
from tflottery.execution.event_files import EventFile


def events(path):
    """Returns the events of a file, with checksums compared."""
    return [
        tf.compat.v1.Event.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]


def test_what_was_written_is_read(tmp_path):
    file = EventFile(tmp_path / "a/run")
    before = time.time()
    file.write((0, {"loss": 2.5, "learning_rate": 0.1}))
    file.write((99_999_999, {"größe": -1e-30}))
    [path] = (tmp_path / "a/run").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    version, first, last = events(path)
    assert version.file_version == "brain.Event:2"
    assert before <= version.wall_time <= first.wall_time <= last.wall_time
    assert (first.step, last.step) == (0, 99_999_999)
    told = {value.tag: value.simple_value for value in first.summary.value}
    assert told == {"loss": 2.5, "learning_rate": pytest.approx(0.1)}
    [value] = last.summary.value
    assert value.tag == "größe" and value.simple_value == pytest.approx(-1e-30)


def test_files_are_in_the_order_of_time_and_the_newest_step_is_known(tmp_path):
    assert event_files.newest_step(tmp_path / "none") == -1
    for step in (300, 5):
        EventFile(tmp_path).write((step - 1, {"error": 1.0}), (step, {"error": 0.5}))
    first, second = event_files.files(tmp_path)
    assert [event.step for event in events(first)] == [0, 299, 300]
    assert [event.step for event in events(second)] == [0, 4, 5]
    assert event_files.newest_step(tmp_path) == 300
    # What a killed process left is read as far as it is whole.
    with open(first, "r+b") as file:
        file.truncate(file.seek(0, 2) - 1)
    assert event_files.newest_step(tmp_path) == 299
