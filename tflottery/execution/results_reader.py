"""What is read of the goals of a command: nothing of them is silently missing."""

import typing
from collections.abc import Callable, Sequence

from etils import epath

from tflottery.components.component import Artifact
from tflottery.execution.unobtainable import Unobtainable
from tflottery.store.errors import DamagedArtifact, MissingArtifact
from tflottery.store.store import Store

_Content = typing.TypeVar("_Content")


class ResultsReader:
    """What rows are made from: each artifact is there, or known to be unobtainable."""

    def __init__(self, store: Store, *, unobtainable: Unobtainable):
        """Args:
        store: holds the finished artifacts.
        unobtainable: addresses of what cannot be made, and why.
        """
        self._store = store
        self._unobtainable = unobtainable

    def read(
        self, artifact: Artifact, read: Callable[[epath.Path], _Content]
    ) -> _Content | None:
        """Returns what a function reads in the folder of an artifact.

        None if the artifact cannot be made.

        Raises:
          MissingArtifact: it is not there, though nothing is known to have kept it.
          DamagedArtifact: it is damaged; it has been set aside.
        """
        address = artifact.address
        if not self._is_there(address, artifact.files):
            self._store.refuse_damaged(address)
            if address in self._unobtainable:
                return None
            raise MissingArtifact(address, self._store.root)
        try:
            return read(self._store.open(address))
        except FileNotFoundError as error:
            # It was taken out of the store meanwhile.
            raise MissingArtifact(address, self._store.root) from error

    def _is_there(self, address: str, files: Sequence[str]) -> bool:
        """Returns whether an artifact is there, if need be after a while."""
        return self._store.awaited(address, files)

    def diverged_iteration(self, artifact: Artifact) -> int | None:
        """Returns when a run that an artifact needs diverged; None if none did."""
        return self._unobtainable.get(artifact.address)

    def is_unobtainable(self, artifact: Artifact) -> bool:
        """Returns whether an artifact is known never to be made.

        Without a `diverged_iteration` it, or what it needs, does not exist.
        """
        return artifact.address in self._unobtainable


class PartialReader(ResultsReader):
    """What is there already: whatever is missing or damaged reads as None.

    Attributes:
      found: addresses of what was read.
      damage: what was found damaged, and set aside.
    """

    def __init__(
        self,
        store: Store,
        *,
        unobtainable: Unobtainable,
        stopping: Callable[[], bool] = lambda: False,
    ):
        """Args:
        store: holds the finished artifacts.
        unobtainable: as of `ResultsReader`, as far as it is known.
        stopping: whether to read nothing more.
        """
        super().__init__(store, unobtainable=unobtainable)
        self._stopping = stopping
        self.found: set[str] = set()
        self.damage: list[DamagedArtifact] = []

    def read(
        self, artifact: Artifact, read: Callable[[epath.Path], _Content]
    ) -> _Content | None:
        """Returns what a function reads in the folder of an artifact; None without it.

        Raises:
          ReadingStopped: nothing more is to be read.
        """
        if self._stopping():
            raise ReadingStopped
        try:
            content = super().read(artifact, read)
        except MissingArtifact:
            return None
        except DamagedArtifact as damage:
            self.damage.append(damage)
            return None
        if content is not None:
            self.found.add(artifact.address)
        return content

    def _is_there(self, address: str, files: Sequence[str]) -> bool:
        """Returns whether an artifact is there by now."""
        return self._store.has(address, files)


class ReadingStopped(Exception):
    """Reading ends early, because it was asked to."""
