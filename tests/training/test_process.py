"""Settings of a process: made before TensorFlow starts, or refused."""

import os
import subprocess
import sys

import keras
import pytest
import tensorflow as tf

from benchmarks import conditions
from tflottery.core.environment import SetupError
from tflottery.datasets import records
from tflottery.training import process


def test_one_thread_and_as_many_devices_as_asked_for():
    """This process was configured for the tests with logical_cpus=4."""
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1
    assert len(tf.config.list_logical_devices("CPU")) == 4
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        (None, {"CUDA_VISIBLE_DEVICES": "-1"}),
        ("2", {"CUDA_VISIBLE_DEVICES": "2"}),
        ("all", {}),
    ],
)
def test_a_process_sees_the_gpu_it_is_given(gpu, expected):
    assert process.variables(gpu) == expected


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
        assert "without oneDNN's kernels" in told.stderr
    else:
        assert told.stdout.split() == ["True"]


def test_too_late_is_refused_and_the_same_again_is_not():
    tf.config.list_logical_devices()
    process.configure(logical_cpus=4)
    with pytest.raises(SetupError) as caught:
        process.configure(logical_cpus=3)
    with pytest.raises(SetupError, match="not with 2 threads and 4 CPU devices"):
        process.configure(threads=2, logical_cpus=4)
    for fact in (
        "running in this process already",
        "not with one thread and 3 CPU devices",
        "cannot be modified after",
        'executor="inline"',
        "process.configure() before anything imports TensorFlow",
    ):
        assert fact in str(caught.value)


def test_variables_that_tensorflow_has_read_already_are_refused(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    monkeypatch.setenv("MPLBACKEND", "inline")
    with pytest.raises(SetupError, match="its environment had XLA_FLAGS, which may"):
        process.configure(logical_cpus=4)


def test_settings_of_keras_are_not_those_of_its_file():
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")
    process.configure(logical_cpus=4)
    assert keras.config.floatx() == "float32"
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.epsilon() == 1e-7
    assert keras.config.dtype_policy().name == "float32"


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


def test_more_files_may_be_open_than_by_default(monkeypatch):
    found, limits = [], {"now": (1024, 524_288)}
    monkeypatch.setattr(process.resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(process.resource, "setrlimit", lambda *args: found.append(args))
    process._allow_open_files()
    limits["now"] = (1024, 4096)
    process._allow_open_files()
    # Nobody who allows more is allowed less.
    limits["now"] = (20_000, 20_000)
    process._allow_open_files()
    kind = process.resource.RLIMIT_NOFILE
    assert found == [(kind, (16_384, 524_288)), (kind, (4096, 4096))]
    # A data set of 1,024 files has all of them open, and two splits leave room.
    limits["now"] = (16_384, 524_288)
    assert 1024 <= records._most_open_files() <= 16_384 / 4


@pytest.mark.slow
def test_what_feeds_a_tpu_has_all_threads_and_float32_is_in_full():
    code = (
        "from tflottery.training import process\n"
        "process.configure(tpu=True)\n"
        "import tensorflow as tf\n"
        "print(tf.config.threading.get_inter_op_parallelism_threads())\n"
        "print(tf.config.experimental.tensor_float_32_execution_enabled())\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout.split() == ["0", "False"], told.stderr
