"""What was published elsewhere and may not be seen here yet, and looking for it.

File systems that hosts share remember names, and that there was none, for up to a
minute (NFS: acdirmax, lookupcache). To open a folder has Linux ask the server of an NFS
whether it has changed (close-to-open, nfs(5)); so folders are opened anew from the root
down. Where that does not help, time does: what somebody elsewhere said is there is
looked for until `SIGHT_SECONDS` of this process's own clock have passed, and lost only
then. Nothing else is waited for, and in a bucket nothing at all.
"""

import logging
import time
from collections.abc import Callable, Iterable

from tflottery.store import backends

# Well above the 60 s for which NFS believes names.
SIGHT_SECONDS = 90.0
# After that it is said that something is looked for.
_QUIET_SECONDS = 5.0
_POLL_SECONDS = 0.5

_logger = logging.getLogger(__name__)


class Sight:
    """Looks for what this process was told that others published elsewhere."""

    def __init__(self, backend: backends.Local | backends.Remote):
        """Args:
        backend: where the artifacts are.
        """
        self._backend = backend
        # When it was said, and of which files.
        self._expected: dict[str, tuple[float, frozenset[str]]] = {}
        self._looked: dict[str, float] = {}
        self._noted: set[str] = set()
        self._note: Callable[[str], None] = _logger.info

    def expect(
        self, address: str, files: Iterable[str], note: Callable[[str], None]
    ) -> None:
        """Takes from somebody elsewhere that an artifact with these files is there."""
        self._expected[address] = time.monotonic(), frozenset(files)
        self._note = note

    def expect_no_more(self, address: str) -> None:
        """Takes it that an artifact is not there."""
        self._expected.pop(address, None)

    def expects(self, address: str, files: Iterable[str] = ()) -> bool:
        """Returns whether an artifact was said to be there not long ago."""
        if address not in self._expected or not self._backend.may_lag:
            return False
        since, known = self._expected[address]
        return time.monotonic() - since < SIGHT_SECONDS and known.issuperset(files)

    def again(self, address: str) -> bool:
        """Returns whether to look again for an artifact that is not seen whole.

        If so, the first time at once, and later after a pause.
        """
        if not (self._backend.may_lag and self._awaits(address)):
            self._looked.pop(address, None)
            return False
        now = time.monotonic()
        if address not in self._looked:
            self._looked[address] = now
        else:
            if now - self._looked[address] > _QUIET_SECONDS:
                self._tell(address)
            time.sleep(_POLL_SECONDS)
        self._backend.look_anew(address)
        return True

    def found(self, address: str) -> None:
        """Takes it that an artifact was seen whole."""
        self._looked.pop(address, None)

    def _tell(self, address: str) -> None:
        """Notes once that an artifact is looked for."""
        if address not in self._noted:
            self._noted.add(address)
            self._note(
                f"Artifact {address} is said to be there and is not seen from here "
                f"yet. It is looked for until {SIGHT_SECONDS:.0f} s have passed."
            )

    def _awaits(self, address: str) -> bool:
        """Returns whether an artifact may still come into sight."""
        return self.expects(address)


class DelegatedSight(Sight):
    """As a worker elsewhere looks: its command said of all it needs that it is there.

    So each artifact is looked for since it was found missing.
    """

    def _awaits(self, address: str) -> bool:
        since = self._looked.get(address)
        return since is None or time.monotonic() - since < SIGHT_SECONDS
