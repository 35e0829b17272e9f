"""How much a compiled loop does between two chances to stop."""

import time
from collections.abc import Iterator

_SECONDS_AT_ONCE = 2.0
_GROWTH = 4


class Spans:
    """Cuts what a loop has to do into spans that take about two seconds each.

    Python hears of an interrupt, and tells how far it is, between them only.
    """

    def __init__(self):
        self._at_once = 1

    def between(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yields the first step of a span and the one after its last.

        Args:
          first: step to begin with.
          last: the one after the last.

        Changes: the next spans are longer or shorter, by how long the caller took.
        """
        while first < last:
            began, end = time.monotonic(), min(first + self._at_once, last)
            yield first, end
            seconds = (time.monotonic() - began) / (end - first)
            # Slowly upwards: the first ones may be fast, or slow, by chance.
            fitting = int(_SECONDS_AT_ONCE / max(seconds, 1e-9))
            self._at_once = max(1, min(fitting, _GROWTH * self._at_once))
            first = end
