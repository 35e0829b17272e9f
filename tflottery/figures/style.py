"""How figures look: as matplotlib comes, whatever a user's matplotlibrc says."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png(draw: "Callable[[], Figure | None]") -> bytes | None:
    """Returns what a function draws in matplotlib's own default style, as a PNG.

    Args:
      draw: returns a figure, or None where there is nothing to draw.

    Changes: matplotlib's rcParams, put back at the end.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = draw()
        if figure is None:
            return None
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=150)
    return image.getvalue()
