"""Settings of a whole process: threads, devices, noise, determinism.

Set once, at the start of a process and before TensorFlow is imported; nothing else in
the package changes them.
"""

import contextlib
import glob
import os
import sys
from collections.abc import Iterator

from tflottery.core import environment


def visible_gpus() -> list[str]:
    """Returns the ids of the NVIDIA GPUs this process may use, without TensorFlow."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [name for name in allowed.split(",") if name not in ("", "-1")]
    found = glob.glob("/proc/driver/nvidia/gpus/*")
    return [str(index) for index in range(len(found))]


def visible_cores() -> int:
    """Returns the number of processor cores this process may use."""
    return len(os.sched_getaffinity(0))


def configure(*, gpu: str | None = None, logical_cpus: int = 1) -> None:
    """Prepares this process for training. Call before anything imports TensorFlow.

    One thread per process: fastest in total over the machine, and the only setting
    under which machines with other core counts agree bit for bit.

    Args:
      gpu: the id of the one GPU to use; "all" for every visible one; None for none.
      logical_cpus: how many CPU devices to make, for a mirrored strategy without GPUs.

    Raises:
      RuntimeError: TensorFlow is running already, so it is too late.
    """
    late = "tensorflow" in sys.modules
    environment.fix()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["OMP_NUM_THREADS"] = "1"
    if gpu != "all":
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu if gpu is not None else "-1"
    if "keras" in sys.modules and sys.modules["keras"].config.backend() != "tensorflow":
        raise RuntimeError("Keras was imported with another backend than TensorFlow.")
    with _silence():
        import tensorflow as tf
    if late and not uses_onednn():
        # Decided while TensorFlow was imported; a build without oneDNN cannot be told
        # apart here.
        raise RuntimeError(
            "TensorFlow was imported in this process without oneDNN's kernels, which "
            "decide bits and most of the speed. Set the environment variable "
            "TF_ENABLE_ONEDNN_OPTS=1 before it is imported, or import it later."
        )
    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if gpu is not None:
        tf.config.experimental.enable_op_determinism()
    if logical_cpus > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(logical_cpus)]
        )


def uses_onednn() -> bool | None:
    """Returns whether TensorFlow runs oneDNN's kernels here; None before its import."""
    if "tensorflow" not in sys.modules:
        return None
    # What TensorFlow's graph rewriter itself asks. There is no public name for it.
    from tensorflow.python.util import _pywrap_util_port

    return _pywrap_util_port.IsMklEnabled()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps from the screen what TensorFlow's libraries print as they are loaded."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
