"""Notes: what the package logs in a worker, for the user of the command to read.

A worker's own output goes to a file that is shown only if it dies. What the user has to
know (a damaged copy of a dataset is made again) is logged with Python's `logging`,
below the logger of this package; here it becomes messages.
"""

import logging
from collections.abc import Callable

_PACKAGE = __name__.partition(".")[0]


class _Forwarder(logging.Handler):
    """Hands over the text of what is logged."""

    def __init__(self, send: Callable[[str], None]):
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(record.getMessage())


def forward(send: Callable[[str], None]) -> None:
    """Has all that this package logs from now on, of level INFO and up, sent on.

    Changes: logging, for the rest of this process.
    """
    logger = logging.getLogger(_PACKAGE)
    logger.setLevel(logging.INFO)
    logger.addHandler(_Forwarder(send))
