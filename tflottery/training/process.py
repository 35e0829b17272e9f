"""Settings of a whole process: threads, devices, noise, determinism, open files.

Set once, at the start of a process and before TensorFlow is imported; nothing else in
the package changes them.
"""

import contextlib
import multiprocessing
import resource
import sys
from collections.abc import Sequence

from tflottery.core import environment, silence
from tflottery.core.environment import SetupError

# Data sets may be in a thousand files that are read in turn, and opening one of
# ArrayRecord takes as long as four reads. By default a process may have 1,024 open.
_OPEN_FILES = 16_384
# What to do where a process was set up otherwise before.
_START_ANEW = (
    'Leave executor="inline" out, so that worker processes train; or, in a new '
    "process (a notebook: after a restart of its kernel), call "
    "process.configure() before anything imports TensorFlow, after "
    "`from tflottery.training import process`."
)
_START_LESS = (
    "This worker imported the program that started it. Let that not use TensorFlow or "
    'Keras but in functions and under `if __name__ == "__main__":`.'
)


def variables(gpu: str | None) -> dict[str, str]:
    """Returns the environment variables of a process that uses this GPU.

    Args:
      gpu: the id of the one GPU to use; "all" for every visible one; None for none.
    """
    if gpu == "all":
        return {}
    return {"CUDA_VISIBLE_DEVICES": "-1" if gpu is None else gpu}


def configure(
    *,
    gpu: str | None = None,
    threads: int = 1,
    logical_cpus: int = 1,
    tpu: bool = False,
) -> None:
    """Prepares this process for training. Call before anything imports TensorFlow.

    One thread is fastest in total where there is a process for each core. More of them
    divide sums, which are other sums then, and the same again with as many threads.

    Args:
      gpu: as of `variables`.
      threads: that compute, at least 1.
      logical_cpus: how many CPU devices to make, for a mirrored strategy without GPUs.
      tpu: whether a TPU trains. Its one process has all threads, which feed it and
        decide no bits.

    Raises:
      SetupError: TensorFlow or Keras was imported here before, with settings under
        which results would be others.

    Changes:
      The environment, and process-wide settings of TensorFlow and Keras.
    """
    _allow_open_files()
    # The environment comes first: TensorFlow and Keras read it when imported.
    late = "tensorflow" in sys.modules
    set_aside = environment.fix(variables(gpu))
    if "keras" in sys.modules and sys.modules["keras"].config.backend() != "tensorflow":
        raise SetupError(
            "Keras was imported in this process with another backend than TensorFlow. "
            + _cure()
        )
    with silence.silenced():
        import tensorflow as tf
    if late:
        _validate_import(set_aside)
    _set_threads_and_devices(threads, logical_cpus, tpu=tpu)
    # Whatever computes first: the same bits each time.
    if gpu is not None or threads > 1:
        tf.config.experimental.enable_op_determinism()
    # On GPUs, and on TPUs, which else multiply float32 as bfloat16, float32 in full.
    if gpu is not None or tpu:
        tf.config.experimental.enable_tensor_float_32_execution(False)
    _configure_keras()


def _allow_open_files() -> None:
    """Lets this process have more files open, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = _OPEN_FILES if hard == unlimited else min(_OPEN_FILES, hard)
    if soft != unlimited and soft < wanted:
        # Some systems allow fewer than they say; then it is as it was.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def uses_onednn() -> bool | None:
    """Returns whether TensorFlow runs oneDNN's kernels here; None before its import."""
    if "tensorflow" not in sys.modules:
        return None
    # What TensorFlow's graph rewriter itself asks. There is no public name for it.
    from tensorflow.python.util import _pywrap_util_port

    return _pywrap_util_port.IsMklEnabled()


def _set_threads_and_devices(threads: int, logical_cpus: int, *, tpu: bool) -> None:
    """Sets what can only be said before TensorFlow runs anything: as of `configure`."""
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    try:
        if not tpu:
            # These divide an operation; operations go on one after another.
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        if logical_cpus > 1:
            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * logical_cpus
            )
    except RuntimeError as error:
        plural = "s" * (logical_cpus > 1)
        told = "one thread" if threads == 1 else f"{threads} threads"
        raise SetupError(
            f"TensorFlow is running in this process already, and not with {told} "
            f"and {logical_cpus} CPU device{plural} as it has to: {error} {_cure()}"
        ) from error


def _cure() -> str:
    """Returns what to do where this process was set up otherwise before."""
    return _START_LESS if multiprocessing.parent_process() else _START_ANEW


def _validate_import(set_aside: Sequence[str]) -> None:
    """Raises SetupError if TensorFlow was imported with other settings than ours.

    Args:
      set_aside: variables that the environment had at that time and should not have.
    """
    read = [name for name in set_aside if environment.decides_framework(name)]
    if read:
        raise SetupError(
            "TensorFlow was imported in this process while its environment had "
            f"{', '.join(read)}, which may decide results. Unset that. {_cure()}"
        )
    if not uses_onednn():
        # A build that has no oneDNN cannot be told apart here.
        raise SetupError(
            "TensorFlow was imported in this process without oneDNN's kernels, which "
            f"decide bits and most of the speed. {_cure()}"
        )


def _configure_keras() -> None:
    """Sets what Keras would otherwise take from its file or from earlier settings."""
    with silence.silenced():
        import keras
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
