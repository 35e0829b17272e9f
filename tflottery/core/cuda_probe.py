"""Which GPUs does NVIDIA's driver let a process use? A program that prints JSON.

Run by `hardware`, in a process of its own: whoever has started the driver holds memory
of a GPU for as long as it lives. It needs nothing but the driver's library, which is
all that TensorFlow looks for as well, so WSL and containers need no special case.
"""

import ctypes
import json

_LIBRARY = "libcuda.so.1"
# cuDeviceGetAttribute: clock in kHz, multiprocessors, compute capability.
_CLOCK, _MULTIPROCESSORS, _MAJOR, _MINOR = 13, 16, 75, 76


def probed() -> dict[str, object]:
    """Returns what the driver tells.

    Returns:
      library: whether there is a driver's library.
      code: what cuInit or cuDeviceGetCount returned, 0 for success.
      gpus: of each GPU its clock in kHz, multiprocessors and compute capability, and
        its memory in bytes.
    """
    try:
        cuda = ctypes.CDLL(_LIBRARY)
    except OSError:
        return {"library": False, "code": 0, "gpus": []}
    count = ctypes.c_int()
    code = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    gpus = [] if code else [_attributes(cuda, index) for index in range(count.value)]
    return {"library": True, "code": code, "gpus": gpus}


def _attributes(cuda: ctypes.CDLL, index: int) -> list[int]:
    """Returns clock, multiprocessors, both parts of the capability, and memory."""
    device, value, size = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    cuda.cuDeviceGet(ctypes.byref(device), index)
    values = []
    for attribute in (_CLOCK, _MULTIPROCESSORS, _MAJOR, _MINOR):
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        values.append(value.value)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    return [*values, size.value]


if __name__ == "__main__":
    print(json.dumps(probed()))
