"""What of a process's environment variables decides how it computes.

The libraries read variables while they are imported and never again, so these are put
in place before: by a process for itself, and by the parent of a process it starts.
"""

import contextlib
import os
from collections.abc import Iterator

# Set whatever the user's environment says, because they decide bits.
FIXED = {
    # TensorFlow leaves oneDNN's kernels off on a CPU without AVX512-VNNI (AMD before
    # Zen 4, Intel before Cascade Lake), where convolutions are then two to four times
    # slower.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}


def fix() -> None:
    """Puts this process's environment in place.

    Changes: os.environ.
    """
    os.environ.update(FIXED)


@contextlib.contextmanager
def fixed() -> Iterator[None]:
    """Puts the environment in place for processes started inside.

    Changes: os.environ, put back at the end.
    """
    before = dict(os.environ)
    fix()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
