"""Placements: known before TensorFlow starts, and refused with what to do."""

import pytest
import tensorflow as tf

from tflottery.core import hardware
from tflottery.core.environment import SetupError
from tflottery.training import distribution
from tflottery.training.distribution import Placement


@pytest.mark.parametrize(
    ("distribute", "gpus", "device", "num_devices"),
    [
        ("none", [], "cpu", 1),
        ("none", ["0", "1"], "gpu", 1),
        ("mirrored", [], "cpu", 2),
        ("mirrored", ["0", "1", "2", "3"], "gpu", 4),
        ("tpu", [], "tpu", 0),
        # Whatever a plan shows later.
        ("auto", ["0", "1"], "gpu", 1),
        ("auto", [], "cpu", 1),
    ],
)
def test_placement(distribute, gpus, device, num_devices, monkeypatch):
    monkeypatch.setattr(hardware, "visible_gpus", lambda: gpus)
    found = distribution.placement(distribute)
    shared = "none" if num_devices == 1 else distribute
    assert found == Placement(shared, "local", device, num_devices)


def test_threads_are_those_of_a_cpu(monkeypatch):
    monkeypatch.setattr(hardware, "visible_gpus", lambda: [])
    assert distribution.placement("none", threads=4) == Placement(threads=4)
    assert distribution.placement("mirrored", threads=4).threads == 4
    monkeypatch.setattr(hardware, "visible_gpus", lambda: ["0"])
    with pytest.raises(ValueError, match="--threads=4 .* on a CPU, .* run on a GPU"):
        distribution.placement("none", threads=4)


def test_mirroring_over_one_gpu_is_training_on_it(monkeypatch):
    monkeypatch.setattr(hardware, "visible_gpus", lambda: ["0"])
    assert distribution.placement("mirrored") == Placement(device="gpu")


def test_a_gpu_that_tensorflow_does_not_find_is_refused():
    """No process of these tests has one: nothing is faked here."""
    with pytest.raises(SetupError) as caught:
        distribution.validate(Placement(device="gpu"))
    for fact in (
        "run on 1 GPU that",
        "TensorFlow finds 0",
        "tensorflow[and-cuda]",
        "a driver for CUDA",
        "CUDA_VISIBLE_DEVICES=-1 to train on the CPU",
    ):
        assert fact in str(caught.value)


@pytest.fixture
def found(monkeypatch):
    """Makes TensorFlow tell of so many GPUs, or fail to."""

    def tell(gpus):
        def devices(kind):
            assert kind == "GPU"
            if isinstance(gpus, Exception):
                raise gpus
            return ["a GPU"] * gpus

        monkeypatch.setattr(tf.config, "list_logical_devices", devices)

    return tell


@pytest.mark.parametrize(
    ("chosen", "gpus"),
    [
        (Placement(), 0),
        (Placement("mirrored", num_devices=2), 0),
        (Placement(device="gpu"), 1),
        (Placement("mirrored", device="gpu", num_devices=4), 4),
        # Whether a TPU answers shows when its strategy is made.
        (Placement("tpu", device="tpu", num_devices=0), 0),
    ],
)
def test_devices_as_placed_are_fine(chosen, gpus, found):
    found(gpus)
    distribution.validate(chosen)


@pytest.mark.parametrize(
    ("chosen", "gpus", "fact"),
    [
        (Placement(), 1, "on the CPU, but TensorFlow would use 1 GPU in this"),
        (Placement("mirrored", num_devices=2), 2, "TensorFlow would use 2 GPUs"),
        (Placement("mirrored", device="gpu", num_devices=4), 3, "4 GPUs .* finds 3"),
        (
            Placement(device="gpu"),
            tf.errors.InternalError(None, None, "cudaSetDevice() failed"),
            r"finds 0 \(cudaSetDevice\(\) failed\)",
        ),
    ],
)
def test_other_devices_are_refused(chosen, gpus, fact, found):
    found(gpus)
    with pytest.raises(SetupError, match=fact):
        distribution.validate(chosen)


def test_unknown_way_to_distribute_lists_the_known_ones():
    with pytest.raises(
        ValueError,
        match="distribute 'rings'. Known: none, mirrored, multi_worker, tpu, auto",
    ):
        distribution.placement("rings")


def test_a_tpu_that_is_named_and_not_used_is_refused():
    with pytest.raises(ValueError, match="--tpu='node-3'.*add --distribute=tpu"):
        distribution.placement("none", tpu="node-3")


def test_one_device_has_no_strategy():
    assert distribution.strategy(Placement()) is None


def test_mirrored_strategy_is_one_per_process(mirrored):
    assert mirrored.num_replicas_in_sync == 2
    again = Placement(distribute="mirrored", num_devices=2)
    assert distribution.strategy(again) is mirrored


@pytest.mark.slow
def test_no_tpu_says_what_to_check():
    kept, devices = tf.Variable(1.0), tf.config.list_logical_devices()
    with pytest.raises(SetupError) as caught:
        distribution.strategy(distribution.placement("tpu"))
    for fact in ("--tpu='local'", "tensorflow-tpu", "no other process", "zone"):
        assert fact in str(caught.value)
    # The attempt leaves this process as it was.
    assert float(kept + 1) == 2.0
    assert tf.config.list_logical_devices() == devices
