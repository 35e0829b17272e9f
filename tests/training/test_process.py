"""Settings of a process: made before TensorFlow starts, or refused."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

from benchmarks import conditions
from tflottery.training import process


def test_one_thread_and_as_many_devices_as_asked_for():
    """This process was configured for the tests with logical_cpus=2."""
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1
    assert len(tf.config.list_logical_devices("CPU")) == 2
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"


def test_onednn_is_on_and_its_kernels_run():
    assert process.uses_onednn()
    ran = conditions.convolution_operations()
    assert {"_MklNativeConv2D", "_MklNativeConv2DBackpropFilter"} <= ran


@pytest.mark.slow
@pytest.mark.parametrize("early", [False, True])
def test_onednn_is_on_whatever_the_environment_says(early):
    code = "; ".join(
        [
            *(["import tensorflow"] if early else []),
            "from tflottery.training import process",
            "process.configure()",
            "print(process.uses_onednn())",
        ]
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"},
    )
    if early:
        assert told.returncode == 1
        assert "TF_ENABLE_ONEDNN_OPTS=1 before it is imported" in told.stderr
    else:
        assert told.stdout.split() == ["True"]


def test_too_late_is_refused_and_the_same_again_is_not():
    tf.config.list_logical_devices()
    process.configure(logical_cpus=2)
    with pytest.raises(RuntimeError, match="cannot be modified after"):
        process.configure(logical_cpus=3)


def test_another_backend_of_keras_is_refused():
    code = (
        "import types, sys\n"
        "keras = types.ModuleType('keras')\n"
        "keras.config = types.SimpleNamespace(backend=lambda: 'jax')\n"
        "sys.modules['keras'] = keras\n"
        "from tflottery.training import process\n"
        "process.configure()"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 1
    assert "another backend than TensorFlow" in told.stderr


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", []), ("-1", []), ("0", ["0"]), ("2,5", ["2", "5"]), ("GPU-a", ["GPU-a"])],
)
def test_gpus_are_those_the_environment_allows(value, expected, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert process.visible_gpus() == expected


def test_cores_are_those_this_process_may_use():
    assert process.visible_cores() == len(os.sched_getaffinity(0)) >= 1
