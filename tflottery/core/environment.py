"""What of the environment may decide how a process computes: nothing of the user's.

Libraries read variables and files while they are imported and never again, so this is
put in place before: by a process for itself, and by the parent of one that it starts.
The table below is all there is; what is in none of its parts is left alone.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping

# Set whatever the user's environment says.
FIXED = {
    # TensorFlow leaves oneDNN's kernels off on a CPU without AVX512-VNNI (AMD before
    # Zen 4, Intel before Cascade Lake), where convolutions are then two to four times
    # slower.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # As TensorFlow itself sets it when it is imported.
    "TF2_BEHAVIOR": "1",
    # Else a process takes the whole memory of a GPU, and two cannot share one.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    # float32 is float32 on a GPU too, in every library of NVIDIA's.
    "NVIDIA_TF32_OVERRIDE": "0",
    # Keras reads keras.json there (floatx, epsilon, image_data_format) and ends where
    # it does not like it. Below a device there is no file and none can be made.
    "KERAS_HOME": os.path.join(os.devnull, "keras"),
    "KERAS_BACKEND": "tensorflow",
    # One thread: sums in another order are other sums.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}

# Set where the user has not, because they decide no results.
DEFAULTS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Hosts that train together call each other directly: TensorFlow would ask the proxy
    # of http_proxy for them, and wait without end.
    "grpc_proxy": "",
    # glibc by default gives large blocks back to the system on every free, and each
    # step would fault them in again; keeping them makes convolutional networks about a
    # seventh faster. Read by a process when it starts.
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MALLOC_TOP_PAD_": "268435456",
}

# Removed, by how names begin, because they decide bits: what the framework and its
# kernels read once, when they are imported or start.
_FRAMEWORK = {
    "TF_": "kernels, precision, threads, rewrites of graphs, XLA, a cluster",
    "TFRT_": "how programs are run",
    "TENSORFLOW_": "the kernel of contractions",
    "AUTOGRAPH_": "how Python becomes a graph",
    "XLA_": "how the compiler optimizes, fast mathematics among it",
    "PJRT_": "how compiled programs are run",
    "LIBTPU_INIT_ARGS": "how the compiler optimizes for a TPU",
    "ONEDNN_": "which instructions kernels use, and whether bfloat16 will do",
    "DNNL_": "the same by its old name",
    "CUBLAS": "algorithms of matrix products",
    "CUDNN": "algorithms of convolutions",
    "NVIDIA_TF32_": "whether TF32 will do for float32",
    "NCCL_ALGO": "in which order GPUs add",
    "NCCL_PROTO": "the same",
    "NCCL_MAX_NCHANNELS": "the same",
    "NCCL_MIN_NCHANNELS": "the same",
    "NCCL_NTHREADS": "the same",
}
# Removed as well: what other libraries read.
_OTHERS = {
    "KERAS_": "backend, files, lengths of `fit`",
    "OMP_": "threads",
    "KMP_": "threads",
    "GOMP_": "threads",
    "MKL_": "threads and instructions",
    "OPENBLAS_": "threads and instructions",
    "GOTO_": "threads",
    "NPY_": "instructions",
    "SCIPY_ARRAY_API": "whether scikit-learn starts",
    # A notebook's backend is not there for the processes it starts, and matplotlib then
    # ends while it is imported. Figures are only written to files.
    "MPLBACKEND": "whether matplotlib starts",
    "MATPLOTLIBRC": "how figures look",
    # "error" would end a process at the first deprecation inside a library.
    "PYTHONWARNINGS": "whether libraries can be imported",
}
# One thread at a time changes variables and puts them back.
_ALONE = threading.RLock()
# Of these families, left to the user: what is logged, where libraries lie, a plug-in
# that brings a device (whether it is the one trained on is asked afterwards), and what
# Terraform reads, whose names begin alike.
_LEFT = (
    "TF_CPP_",
    "TF_CLI_",
    "TF_VAR_",
    "TF_WORKSPACE",
    "TF_LOG",
    "TF_PLUGGABLE_DEVICE_LIBRARY_PATH",
    "ONEDNN_VERBOSE",
    "CUBLAS_LOG",
    "CUBLASLT_LOG",
    "CUDNN_LOG",
    "CUDNN_PATH",
    "CUDNN_HOME",
    # The remedy for a processor on which a build of OpenBLAS computes wrongly.
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
)
# Set by scikit-learn in the process that imports it, and inherited: not the user's.
_OF_LIBRARIES = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")


class SetupError(RuntimeError):
    """A process, or a machine, cannot train as it has to; says what to do."""


def cleaned(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the environment for a process that computes.

    Args:
      variables: what to set beside `FIXED`.
    """
    families = (*_FRAMEWORK, *_OTHERS)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(families) or name.startswith(_LEFT)
    }
    return DEFAULTS | kept | FIXED | dict(variables or {})


def fix(variables: Mapping[str, str] | None = None) -> list[str]:
    """Puts this process's environment in place, as `cleaned`.

    Returns:
      The names of variables that the user had set otherwise, sorted.

    Changes: os.environ.
    """
    before = dict(os.environ)
    _replace(cleaned(variables))
    return sorted(
        name
        for name, value in before.items()
        if os.environ.get(name) != value and name not in _OF_LIBRARIES
    )


@contextlib.contextmanager
def fixed(variables: Mapping[str, str] | None = None) -> Iterator[None]:
    """Puts the environment in place for processes started inside, as `cleaned`.

    Changes: os.environ, put back at the end.
    """
    with _ALONE:
        before = dict(os.environ)
        _replace(cleaned(variables))
        try:
            yield
        finally:
            _replace(before)


def decides_framework(name: str) -> bool:
    """Returns whether a variable that is removed is one the framework itself reads."""
    return name.startswith(tuple(_FRAMEWORK)) and name not in FIXED


def _replace(variables: Mapping[str, str]) -> None:
    """Makes these the variables of this process, touching only those that differ."""
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    for name, value in variables.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
