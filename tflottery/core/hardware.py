"""What kind of machine this is, told without a framework."""

import functools
import platform

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
