"""Placements: known before TensorFlow starts, and refused with what to do."""

import pytest
import tensorflow as tf

from tflottery.training import distribution
from tflottery.training.distribution import Placement


@pytest.mark.parametrize(
    ("distribute", "gpus", "device", "num_replicas"),
    [
        ("none", "-1", "cpu", 1),
        ("none", "0,1", "gpu", 1),
        ("mirrored", "-1", "cpu", 2),
        ("mirrored", "0,1,2,3", "gpu", 4),
        ("tpu", "-1", "tpu", 0),
    ],
)
def test_placement(distribute, gpus, device, num_replicas, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    found = distribution.placement(distribute)
    assert found == Placement(distribute, "local", device, num_replicas)


def test_unknown_way_to_distribute_lists_the_known_ones():
    with pytest.raises(ValueError, match="distribute 'rings'. Known: none, mirrored, "):
        distribution.placement("rings")


def test_one_device_has_no_strategy():
    assert distribution.strategy(Placement()) is None


def test_mirrored_strategy_is_one_per_process(mirrored):
    assert mirrored.num_replicas_in_sync == 2
    again = Placement(distribute="mirrored", num_replicas=2)
    assert distribution.strategy(again) is mirrored


def test_no_tpu_says_what_to_check():
    kept = tf.Variable(1.0)
    with pytest.raises(RuntimeError) as caught:
        distribution.strategy(distribution.placement("tpu"))
    for fact in ("--tpu='local'", "tensorflow-tpu", "no other process", "zone"):
        assert fact in str(caught.value)
    # The attempt leaves this process as it was.
    assert float(kept + 1) == 2.0
    assert len(tf.config.list_logical_devices("CPU")) == 2
