"""What was found: the finished artifacts, and why others are missing."""

from collections.abc import Mapping

from etils import epath

from tflottery.components.component import Artifact
from tflottery.store.store import Store


class ResultsReader:
    """What rows are made from."""

    def __init__(self, store: Store, *, unobtainable: Mapping[str, int]):
        """Args:
        store: holds the finished artifacts.
        unobtainable: addresses that a diverged run kept from being made, and at which
          iteration it diverged.
        """
        self._store = store
        self._unobtainable = unobtainable

    def folder(self, artifact: Artifact) -> epath.Path | None:
        """Returns the folder of an artifact; None if it is not there.

        Raises:
          DamagedArtifact: it is damaged; it has been set aside.
        """
        if not self._store.has(artifact.address, artifact.files):
            return None
        return self._store.open(artifact.address)

    def diverged_iteration(self, artifact: Artifact) -> int | None:
        """Returns when a run that an artifact needs diverged; None if none did."""
        return self._unobtainable.get(artifact.address)
