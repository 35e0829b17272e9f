"""What there is to compute with on this machine, told without a framework."""

import dataclasses
import functools
import glob
import json
import os
import pathlib
import platform
import subprocess
import sys
from importlib.util import find_spec

from tflottery.core import cgroups
from tflottery.core.environment import SetupError

# What decides which kernels oneDNN and XLA choose, best first: a name for the class and
# the flags of /proc/cpuinfo that make it.
_CLASSES = (
    ("avx10", {"avx10"}),
    ("avx512_amx", {"avx512f", "amx_tile", "amx_bf16"}),
    ("avx512_fp16", {"avx512f", "avx512_fp16"}),
    ("avx512_bf16", {"avx512f", "avx512_bf16"}),
    ("avx512_vnni", {"avx512f", "avx512_vnni"}),
    ("avx512", {"avx512f", "avx512bw", "avx512vl", "avx512dq"}),
    ("avx2_vnni", {"avx2", "avx_vnni"}),
    ("avx2", {"avx2"}),
    ("avx", {"avx"}),
    ("sse4.1", {"sse4_1"}),
    ("sve2", {"sve2"}),
    ("sve", {"sve"}),
    ("neon", {"asimd"}),
)


_PROBE = pathlib.Path(__file__).with_name("cuda_probe.py")
_PROBE_SECONDS = 60.0
_CURE = (
    "Mend the driver, until nvidia-smi lists the GPU, or set CUDA_VISIBLE_DEVICES=-1 "
    "to train on the CPU."
)
# What cuInit says where this process may use no GPU.
_NO_GPU = 100
# float32 units of a multiprocessor, by compute capability.
_UNITS = {(6, 0): 64, (7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}
_UNITS_OF_OTHERS = 128


def visible_cores() -> int:
    """Returns the processor cores this process may use, by affinity and by quota."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        allowed = os.cpu_count() or 1
    return min(allowed, cgroups.cores() or allowed)


def visible_gpus() -> list[str]:
    """Returns the ids of the NVIDIA GPUs this process may use, without TensorFlow.

    Raises:
      SetupError: there are GPUs that cannot be used, or fewer than were named.
    """
    return list(_visible())


def num_gpus() -> int:
    """Returns how many NVIDIA GPUs Linux shows, those of other processes included."""
    return len(glob.glob("/dev/nvidia[0-9]*"))


def may_have_tpu() -> bool:
    """Returns whether a TPU can be here: a device of one, or the library that finds it.

    Whether one answers only TensorFlow can tell.
    """
    devices = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    return bool(devices or find_spec("libtpu"))


def gpu_rate() -> float:
    """Returns the float32 operations a second of the slowest GPU, at its peak."""
    return min(one.rate for one in _visible().values())


def gpu_bytes() -> int:
    """Returns the memory of the smallest GPU."""
    return min(one.num_bytes for one in _visible().values())


@functools.cache
def instruction_set() -> str:
    """Returns the best class of vector instructions that the processor has.

    The kernels that libraries choose, and so the last bits of results, depend on it.
    Where the processor's flags cannot be read it is the architecture, "arm64".
    """
    words = _processor().get("flags") or _processor().get("Features", "")
    flags = set(words.split())
    for name, needed in _CLASSES:
        if needed <= flags:
            return name
    return platform.machine()


@functools.cache
def processor() -> str | None:
    """Returns the processor's name, None if unknown."""
    return _processor().get("model name") or platform.processor() or None


@dataclasses.dataclass(frozen=True)
class _Gpu:
    """A GPU: its float32 operations a second at its peak, and its memory."""

    rate: float
    num_bytes: int


def _visible() -> dict[str, _Gpu]:
    return _gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))


@functools.cache
def _gpus(allowed: str | None) -> dict[str, _Gpu]:
    """Returns the GPUs this process may use, by id.

    Args:
      allowed: as of the environment variable CUDA_VISIBLE_DEVICES.
    """
    names = [] if allowed is None else [name.strip() for name in allowed.split(",")]
    # CUDA takes no notice of what follows a name that is none.
    end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    names = names[:end]
    if allowed is not None and not names:
        return {}
    told = _probe()
    reason = f"cuInit says error {told['code']}" if told["code"] else "it tells of none"
    if not told["library"]:
        reason = "the library libcuda.so.1 is not installed"
    if len(told["gpus"]) < len(names):
        raise SetupError(
            f"CUDA_VISIBLE_DEVICES={allowed!r} names {len(names)}, but NVIDIA's driver "
            f"has {len(told['gpus'])} GPUs for this process: {reason}. {_CURE}"
        )
    usable = told["library"] and told["code"] in (0, _NO_GPU)
    if not usable and _has_gpu(library=told["library"]):
        raise SetupError(f"There is a GPU here that cannot be used: {reason}. {_CURE}")
    names = names or map(str, range(len(told["gpus"])))
    found = [_Gpu(_peak_rate(*one), size) for *one, size in told["gpus"]]
    return dict(zip(names, found, strict=True))


def _probe() -> dict[str, object]:
    """Returns what `cuda_probe` tells, from a process of its own."""
    command = [sys.executable, "-I", "-S", str(_PROBE)]
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, timeout=_PROBE_SECONDS
        )
    except subprocess.SubprocessError as error:
        raise SetupError(
            f"NVIDIA's driver cannot be asked which GPUs there are: {error} {_CURE}"
        ) from error
    return json.loads(done.stdout)


def _has_gpu(*, library: bool) -> bool:
    """Returns whether Linux shows a GPU of NVIDIA's; under WSL its driver tells."""
    under_wsl = library and glob.glob("/dev/dxg")
    return bool(under_wsl or num_gpus())


def _peak_rate(clock: int, multiprocessors: int, major: int, minor: int) -> float:
    """Returns float32 operations a second; a unit multiplies and adds at each tick.

    Args:
      clock: in kHz.
      multiprocessors: how many.
      major: of the compute capability.
      minor: of the compute capability.
    """
    units = _UNITS.get((major, minor), _UNITS_OF_OTHERS)
    return 2e3 * clock * multiprocessors * units


@functools.cache
def _processor() -> dict[str, str]:
    """Returns what Linux says of the first processor; empty elsewhere."""
    try:
        with open("/proc/cpuinfo") as told:
            first = told.read().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":")[::2] for line in first.splitlines())
    return {name.strip(): value.strip() for name, value in pairs}
