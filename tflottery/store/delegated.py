"""The store of a worker that a command on another host has given work.

It has no claim and no locks of its own. The command holds both, on its host, where
other commands meet them; a worker only looks whether the claim still is the command's
before it publishes or removes anything. Where it is not, or cannot be seen because a
folder of that name is another one here, the worker gets no further. What it needs was
published, as its command knows: it is looked for as `sight` says.
"""

import contextlib
import os
import time
from contextlib import AbstractContextManager

from tflottery.store import claims, sight
from tflottery.store.claims import ClaimedStore, Claims, Holder
from tflottery.store.store import Store

_POLL_SECONDS = 0.1


class DelegatedClaims(Claims):
    """The claims of a store, as a worker of another process sees them."""

    def __init__(self, root: str, scratch: str, holder: Holder):
        """Args:
        root: as of `Claims`.
        scratch: as of `Claims`.
        holder: whose claim it has to be.
        """
        super().__init__(root, scratch)
        self._holder = holder
        # Of the newest claim that was seen to be the command's.
        self._number = -1

    @property
    def holder(self) -> Holder:
        """Whose claim it has to be."""
        return self._holder

    def refuse_others(self) -> None:
        """Raises ClaimedStore unless the command that gave the work holds the claim."""
        if not self.is_seen():
            raise ClaimedStore(
                f"The store {self._root!r} is not, or no longer, claimed by the "
                f"command on host {self._holder.host!r} that this worker works for. "
                "What was finished is kept; the same command goes on."
            )

    def is_seen(self) -> bool:
        """Returns whether the claim is there, having looked for it for a while.

        Not where it was seen before, and another host's or nobody's is newer.
        """
        give_up = time.monotonic() + sight.SIGHT_SECONDS
        while True:
            number, data = self._latest()
            if claims.is_held(data) and self._is_ours(data):
                self._number = number
                return True
            is_newer = 0 <= self._number <= number and claims.content_of(data)
            if is_newer or time.monotonic() > give_up:
                return False
            time.sleep(_POLL_SECONDS)


class DelegatedStore(Store):
    """A store under the claim and the locks of a command on another host."""

    def __init__(self, root: str | os.PathLike, holder: Holder):
        """Args:
        root: folder or URL.
        holder: who holds its claim.
        """
        super().__init__(root)
        self.claims = DelegatedClaims(self.root, self._backend.scratch, holder)
        self.sight = sight.DelegatedSight(self._backend)

    def __reduce__(self) -> tuple:
        return DelegatedStore, (self.root, self.claims.holder)

    def lock(self, name: str) -> AbstractContextManager[object]:
        """Returns a context: the command has locked what it gives away.

        Raises ClaimedStore if its claim is lost.
        """
        with self._explained(f"work on {name!r}"):
            self.claims.refuse_others()
        return contextlib.nullcontext()

    def sees_claim(self) -> bool:
        """Returns whether the store of this name is the command's, by its claim."""
        with self._explained("look for the claim"):
            return self.claims.is_seen()
