"""The store: artifacts by address, each whole or not there.

An artifact is a folder of files and a manifest. The manifest is written last, with the
size and sha256 of every file; without a sound one the rest counts for nothing. So a
process may be killed at any moment, and any number of processes may share a store.
"""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from etils import epath

from tflottery.store import (
    addresses,
    backends,
    claims,
    errors,
    locks,
    manifests,
    roots,
    sight,
    staging,
    verification,
)
from tflottery.store.addresses import validated
from tflottery.store.errors import DamagedArtifact, MissingArtifact

# Where an artifact is being replaced its place is empty for an instant.
_LOOKS, _SECONDS_BETWEEN_LOOKS = 3, 0.01


def default_root() -> str:
    """Returns the user's store: $TFLOTTERY_STORE, else a folder of the user's cache."""
    return os.environ.get("TFLOTTERY_STORE") or backends.cache("store")


class Store:
    """Artifacts under one root: a local folder or a URL that fsspec can open.

    Making one touches nothing on disk. It may be pickled; the copy starts afresh.

    Attributes:
      claims: which host writes it, as hosts tell each other.
      sight: what others elsewhere published that may not be seen here yet.
    """

    def __init__(self, root: str | os.PathLike | None = None):
        """Args:
        root: folder or URL; None is `default_root()`.
        """
        self._backend = backends.backend_of(os.fspath(root or default_root()))
        self._staging = staging.Staging(f"{self._backend.scratch}/{addresses.DRAFTS}")
        self._verifier = verification.Verifier(self._backend)
        self.claims = claims.Claims(self.root, self._backend.scratch)
        self._locks = f"{self._backend.scratch}/{addresses.LOCKS}"
        self.sight = sight.Sight(self._backend)

    def __reduce__(self) -> tuple:
        return Store, (self.root,)

    @property
    def root(self) -> str:
        """The folder or URL."""
        return self._backend.root

    def has(self, address: str, files: Sequence[str] = ()) -> bool:
        """Returns whether a whole artifact is there, going by its manifest and sizes.

        Args:
          address: a relative folder name, such as "runs/<key>/00002000".
          files: names that the artifact must hold.
        """
        manifest = self.peek(address)
        return manifest is not None and all(name in manifest["files"] for name in files)

    def awaited(
        self,
        address: str,
        files: Sequence[str] = (),
        stopping: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Returns as `has`, once what `sight` expects was looked for long enough."""
        while not self.has(address, files):
            if stopping() or not self.sight.again(address):
                return False
        self.sight.found(address)
        return True

    def peek(self, address: str) -> dict[str, object] | None:
        """Returns an artifact's manifest if `has` finds it whole, None if not."""
        data, fault = self._seen(address)
        if data is None or fault is not None:
            return None
        return manifests.unsealed(data, address)

    def damage(self, address: str) -> str | None:
        """Returns why what lies at an address does not count, None if it does.

        None also where nothing was finished. Goes by manifest and sizes, as `has`.
        """
        return self._seen(address)[1]

    def fault(self, address: str) -> str | None:
        """Returns as `damage`, but going by the sha256 of every file."""
        data = self._manifest(validated(address))
        if data is None:
            return None
        with self._explained(f"read {address!r}"):
            return self._verifier.fault(address, data, anew=True)

    def refuse_damaged(self, address: str) -> None:
        """Sets aside what lies at an address and does not count, as `damage` has it.

        Raises:
          DamagedArtifact: that was so.
        """
        data, fault = self._seen(address)
        while fault is not None and self.sight.again(address):
            data, fault = self._seen(address)
        # Someone may have replaced it since.
        if fault is not None and self._manifest(address) == data:
            raise DamagedArtifact(address, fault, self._set_aside(address, data))

    def manifest(self, address: str) -> dict[str, object]:
        """Returns the manifest of a sound artifact. Raises what `open` raises."""
        looks = 0
        while True:
            data = self._manifest(validated(address))
            if data is None:
                looks += 1
                if looks < _LOOKS:
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
                elif not self.sight.again(address):
                    raise MissingArtifact(address, self.root)
                continue
            with self._explained(f"read {address!r}"):
                fault = self._verifier.fault(address, data)
            if fault is None:
                self.sight.found(address)
                return manifests.unsealed(data, address)
            # Someone may have replaced it while its files were read.
            if self._manifest(address) == data and not self.sight.again(address):
                raise DamagedArtifact(address, fault, self._set_aside(address, data))

    def open(self, address: str) -> epath.Path:
        """Returns an artifact, as a local folder, once all its bytes were compared.

        Files found sound by this process are hashed again only when they change.

        Raises:
          MissingArtifact: nothing was finished there.
          DamagedArtifact: a file or the manifest is not what was written. Changes:
            the artifact is moved to the store's folder "damaged".
        """
        for _ in range(_LOOKS):
            manifest = self.manifest(address)
            folder, is_new = self._backend.readable(address, manifest)
            if not is_new:
                break
            # The copy that was compared was taken away since.
            self._verifier.forget(address)
        return folder

    @contextlib.contextmanager
    def reading(self, *wanted: str) -> Iterator[list[epath.Path]]:
        """Gives the folders of artifacts to a block that reads them, as `open`.

        Raises:
          MissingArtifact: reading failed because an artifact was taken away or replaced
            meanwhile, or was not there.
          DamagedArtifact: as `open`.
        """
        before = [self._manifest(address) for address in wanted]
        folders = [self.open(address) for address in wanted]
        try:
            yield folders
        except OSError as error:
            for address, data in zip(wanted, before, strict=True):
                self._backend.look_anew(address)
                if data is None or self._manifest(address) != data:
                    raise MissingArtifact(address, self.root) from error
            raise

    @contextlib.contextmanager
    def writing(
        self, address: str, manifest: Mapping[str, object]
    ) -> Iterator[epath.Path]:
        """Gives a local folder whose files become the artifact when the block ends.

        An exception in the block leaves the store as it was. An artifact that is
        there already is replaced, or kept if it is sound and the same.

        Args:
          address: a relative folder name; no artifact may lie above or below it.
          manifest: inputs, parameters, version and what else is worth keeping, plain
            JSON. Read when the block ends; its "seconds" default to the block's.

        Raises:
          ValueError: the address or the manifest is not allowed.
          StoreError: the disk is full or not writable, or another host's by now.
        """
        self._validate_free(validated(address))
        manifests.plain(manifest)
        started = time.monotonic()
        task = f"write {address!r}"
        with self._explained(task):
            draft = self._staging.new()
        try:
            with self._explained(task, folder=draft):
                yield epath.Path(draft)
            seconds = time.monotonic() - started
            with self._explained(task):
                self._finish(draft, address, manifest=manifest, seconds=seconds)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def claimed(self, note: Callable[[str], None]) -> AbstractContextManager[None]:
        """Has no other host write the store during a block; see `claims.Claims.held`.

        Raises:
          StoreError: another host writes it, or it cannot be written.
        """
        return self.claims.held(note)

    def lock(self, name: str) -> locks.Lock | None:
        """Returns the lock of that name, None if it is held. Never waits.

        It is free again when released, when its `with` block ends, and when this
        process dies. Where the root is a URL it excludes processes of this user on
        this machine only. Raises ClaimedStore if another host writes the store.
        """
        with self._explained(f"lock {name!r}"):
            self.claims.refuse_others()
            return locks.acquire(locks.path_of(self._locks, name))

    def commands_at_work(self) -> list[locks.HeldLock]:
        """Returns the locks of this host's commands that make something for it."""
        return self.claims.commands()

    def jobs_at_work(self) -> dict[str, locks.HeldLock]:
        """Returns the locks of this store that somebody holds, by what they are of."""
        with self._explained("look for locks"):
            return locks.held_names(self._locks)

    def addresses(self, prefix: str = "") -> list[str]:
        """Returns the addresses at or below `prefix` that have a manifest, sorted."""
        return sorted(self.listing(prefix))

    def listing(self, prefix: str = "") -> dict[str, frozenset[str]]:
        """Returns which files lie at each address at or below `prefix` with a manifest.

        Opens none of them: whether an artifact is sound shows when it is opened.
        """
        below = validated(prefix.rstrip("/")) if prefix else ""
        with self._explained(f"list {prefix!r}" if prefix else "list all"):
            return self._backend.listing(below)

    def remove(self, address: str) -> None:
        """Removes an artifact, if there is one; ValueError if others lie below it."""
        self._validate_free(validated(address))
        self._verifier.forget(address)
        with self._explained(f"remove {address!r}"):
            self.claims.refuse_others()
            draft = self._staging.new()
            try:
                self._backend.remove(address, draft)
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def sweep(self) -> None:
        """Removes the drafts and lock files of dead processes, where it may."""
        with contextlib.suppress(OSError):
            self._staging.sweep()
            locks.sweep(self._locks)

    def ensure_root(self) -> None:
        """Makes sure that there is a store to read, or a place for a new one.

        Writes nothing.

        Raises:
          StoreError: there is not, or the folder holds other things and no store.
        """
        if isinstance(self._backend, backends.Local):
            with self._explained("look for artifacts"):
                roots.ensure_folder(self.root)
        else:
            roots.ensure_url(self.root)

    def ensure_writable(self, bytes_needed: int = 0) -> None:
        """Makes sure, before any work, that the store can be written, by doing so.

        Args:
          bytes_needed: how much is going to be written; compared with what a local
            disk has free.

        Raises:
          StoreError: it cannot be written, or there is too little room.
        """
        probe = f"probe-{uuid.uuid4().hex}"
        with self.writing(probe, {}) as folder:
            (folder / "probe").write_text("probe")
        self.remove(probe)
        if isinstance(self._backend, backends.Local):
            roots.ensure_room(self.root, bytes_needed)

    def _finish(
        self,
        draft: str,
        address: str,
        *,
        manifest: Mapping[str, object],
        seconds: float,
    ) -> None:
        """Turns a draft into the artifact at its address."""
        files = manifests.synced_files(draft)
        folder = self._backend.new_folder()
        if self._holds(address, manifest, files=files):
            return
        told = manifests.body(
            address, manifest, files=files, seconds=seconds, folder=folder
        )
        data = manifests.sealed(told)
        with open(os.path.join(draft, manifests.FILE_NAME), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # Of what was frozen for long another host may have made more than this.
        self.claims.refuse_others()
        self._backend.publish(draft, address, folder=folder, names=files)
        self._verifier.trust(address, data)

    def _holds(
        self,
        address: str,
        manifest: Mapping[str, object],
        *,
        files: Mapping[str, Mapping[str, object]],
    ) -> bool:
        """Returns whether the same artifact is there, sound to the last byte.

        What is there and damaged is set aside.
        """
        data = self._manifest(address)
        if data is None:
            return False
        if self._verifier.fault(address, data) is not None:
            self._set_aside(address, data)
            return False
        return manifests.is_of(data, address, manifest, files=files)

    def _seen(self, address: str) -> tuple[bytes | None, str | None]:
        """Returns the manifest at an address and what is wrong at first sight."""
        while True:
            data = self._manifest(validated(address))
            fault = (
                None if data is None else self._verifier.visible_fault(address, data)
            )
            # Someone may replace it between the looks at manifest and files.
            if fault is None or self._manifest(address) == data:
                return data, fault

    def _manifest(self, address: str) -> bytes | None:
        """Returns the bytes of the manifest at an address, None if there is none."""
        with self._explained(f"read {address!r}"):
            return self._backend.manifest(address)

    def _set_aside(self, address: str, data: bytes) -> str:
        """Moves a damaged artifact away. Returns where to, "" if it was gone."""
        self._verifier.forget(address)
        if self._manifest(address) != data:
            return ""
        target = f"{addresses.DAMAGED}/{address}-{uuid.uuid4().hex[:8]}"
        with self._explained(f"set the damaged artifact {address!r} aside"):
            self._backend.move(address, target)
            # Someone may have replaced it right before: then it is theirs that moved.
            if self._manifest(target) not in (None, data):
                with contextlib.suppress(OSError):
                    self._backend.move(target, address)
                return ""
        return f"{self.root}/{target}"

    def _validate_free(self, address: str) -> None:
        """Refuses one above or below another artifact; at its own, one may appear."""
        above = addresses.above(address)
        clash = [other for other in above if self._manifest(other) is not None]
        if self._manifest(address) is None:
            clash += [other for other in self.addresses(address) if other != address]
        addresses.refuse_inside(address, clash)

    def _explained(self, task: str, folder: str = "") -> AbstractContextManager[None]:
        return errors.explained(task, self.root, folder=folder)
