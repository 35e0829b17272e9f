"""How figures look: as matplotlib comes, whatever a user's matplotlibrc says."""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png(draw: "Callable[[], Figure | None]") -> bytes | None:
    """Returns what a function draws in matplotlib's own default style, as a PNG.

    Args:
      draw: returns a figure, or None where there is nothing to draw.

    Changes: matplotlib's rcParams, put back at the end.
    """
    return _image(draw, format="png", dpi=150)


def svg(draw: "Callable[[], Figure | None]") -> bytes | None:
    """Returns as an SVG what `png` returns as a PNG, the same bytes each time.

    Changes: as `png`.
    """
    return _image(draw, format="svg", metadata={"Date": None})


def in_default_style(draw: "Callable[[], Figure | None]") -> "Figure | None":
    """Returns what a function draws in matplotlib's own default style.

    Changes: as `png`.
    """
    with _default_style():
        return draw()


def _image(draw: "Callable[[], Figure | None]", **options: object) -> bytes | None:
    """Returns what a function draws as an image, saved with options."""
    with _default_style():
        figure = draw()
        if figure is None:
            return None
        image = io.BytesIO()
        figure.savefig(image, **options)
    return image.getvalue()


@contextlib.contextmanager
def _default_style() -> Iterator[None]:
    """Has what a block draws look as matplotlib comes."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        # Names of parts of an SVG are random without it.
        matplotlib.rcParams["svg.hashsalt"] = "tflottery"
        yield
