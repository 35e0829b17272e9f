"""Whether what lies at an address is what was written there.

Manifest and sizes tell at once; the sha256 of every file is compared before an artifact
is read, and again when its files have changed.
"""

import errno
import hashlib
from collections.abc import Mapping

from etils import epath

from tflottery.store import backends, manifests


class Verifier:
    """Compares artifacts with their manifests, and knows which it found sound."""

    def __init__(self, backend: backends.Local | backends.Remote):
        """Args:
        backend: where the artifacts are.
        """
        self._backend = backend
        self._sound: dict[str, tuple] = {}

    def visible_fault(self, address: str, data: bytes) -> str | None:
        """Returns what is wrong going by the manifest and the sizes; None if nothing.

        Args:
          address: where the artifact is.
          data: the bytes of its manifest.
        """
        return self._look(address, data)[0]

    def fault(self, address: str, data: bytes, *, anew: bool = False) -> str | None:
        """Returns what is wrong going by every byte, None if nothing.

        Args:
          address: where the artifact is.
          data: the bytes of its manifest.
          anew: whether to read it where it lies, and no local copy.

        Raises:
          OSError: a file may not be read.
        """
        fault, found = self._look(address, data)
        if fault is not None:
            return fault
        # What was hashed before, and has not changed since, is not hashed again.
        manifest = manifests.unsealed(data, address)
        if anew:
            self._backend.forget_copy(address)
        while True:
            try:
                folder, is_new = self._backend.readable(address, manifest)
            except FileNotFoundError:
                return "a file is missing"
            if not is_new and self._sound.get(address) == found:
                return None
            fault = _fault_in(folder, manifest)
            if fault is None:
                self._sound[address] = found
                return None
            # A local copy may be what is damaged.
            if not self._backend.forget_copy(address) or is_new:
                return fault

    def trust(self, address: str, data: bytes) -> None:
        """Takes an artifact for sound that was hashed while it was written."""
        if self._backend.manifest(address) == data:
            fault, found = self._look(address, data)
            if fault is None:
                self._sound[address] = found

    def forget(self, address: str) -> None:
        """Takes an artifact for sound no longer."""
        self._sound.pop(address, None)

    def _look(self, address: str, data: bytes) -> tuple[str | None, tuple]:
        """Returns what is wrong at first sight, and what changes when a file does.

        On a folder that hosts share, sizes may be those of files that were replaced.
        """
        fault, found = self._glance(address, data)
        if fault is not None and self._backend.may_lag:
            self._backend.look_anew(address)
            fault, found = self._glance(address, data)
        return fault, found

    def _glance(self, address: str, data: bytes) -> tuple[str | None, tuple]:
        """Returns as `_look`, of what is seen as it is."""
        try:
            manifest = manifests.unsealed(data, address)
        except manifests.UnsoundManifest as reason:
            return str(reason), ()
        folder, promises = manifest.get("folder", ""), manifest["files"]
        stamps = self._backend.stamps(address, folder, promises)
        for (name, promised), stamp in zip(promises.items(), stamps, strict=True):
            if stamp is None:
                return f"{name} is missing", ()
            if stamp[0] != promised["bytes"]:
                told = f"{stamp[0]} bytes, {promised['bytes']} were written"
                return f"{name} has {told}", ()
        return None, (_digest(data), tuple(stamps))


def _fault_in(folder: epath.Path, manifest: Mapping[str, object]) -> str | None:
    """Returns what is wrong with files, going by every byte; None if nothing.

    Raises:
      OSError: a file may not be read.
    """
    for name, promised in manifest["files"].items():
        try:
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            if error.errno not in (errno.EIO, errno.ESTALE):
                raise
            return f"{name} cannot be read ({error.strerror})"
        if digest != promised["sha256"]:
            return (
                f"{name} has sha256 {digest[:12]}..., "
                f"{promised['sha256'][:12]}... was written"
            )
    return None


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
