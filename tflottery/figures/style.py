"""How figures look: as matplotlib comes, whatever a user's matplotlibrc says."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Draws and saves what is inside in matplotlib's own default style.

    Changes: matplotlib's rcParams, put back at the end.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield
