"""Damage to what lies in a store: bytes flipped, files cut, artifacts swapped, lost."""

import dataclasses
import os
import pathlib
import random
import shutil
from collections.abc import Collection, Sequence

from benchmarks.attacks import stored
from benchmarks.attacks.attack import Attack, Moment
from benchmarks.attacks.sandbox import Command, Instruments, Sandbox

# What may be done to a file.
FLIP, CUT, EMPTY, REMOVE = "flip a byte of", "cut", "empty", "remove"
RESULTS = ("accuracies", "lines", "masks", "runs")
UNFINISHED = ("checkpoints", "partial")


def spoil(path: pathlib.Path, how: str, *, where: float, keep_time: bool) -> None:
    """Damages a file.

    Args:
      path: the file.
      how: `FLIP`, `CUT`, `EMPTY` or `REMOVE`.
      where: in [0, 1): where in the file.
      keep_time: whether it looks as if nobody had touched it, as when a disk fails.
    """
    if how == REMOVE:
        path.unlink()
        return
    before = path.stat()
    place = int(where * before.st_size)
    if how == FLIP:
        with path.open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ (1 << place % 8)]))
    else:
        os.truncate(path, place if how == CUT else 0)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@dataclasses.dataclass
class Deletion(Attack):
    """Artifacts are gone when the command begins.

    Attributes:
      share: of all results, chosen at random by `seed`.
      seed: decides which.
    """

    share: float
    seed: int

    @property
    def kind(self) -> str:
        return "artifacts deleted between commands"

    def prepare(self, sandbox: Sandbox, instruments: Instruments) -> None:
        chance = random.Random(self.seed)
        for address, folder in stored.folders(sandbox.paths["store"]).items():
            if address.startswith(RESULTS) and chance.random() < self.share:
                shutil.rmtree(folder)
                self.happened = True


@dataclasses.dataclass
class Vanishing(Attack):
    """An artifact vanishes while the command runs.

    Attributes:
      at: in [0, 1): which one.
      moment: when; None is between the last training and the rows.
    """

    at: float
    moment: Moment | None

    @property
    def kind(self) -> str:
        when = "before rows are read" if self.moment is None else "during a command"
        return f"artifact deleted {when}"

    def prepare(self, sandbox: Sandbox, instruments: Instruments) -> None:
        if self.moment is None:
            store = str(sandbox.paths["store"])
            instruments.vanish = {"store": store, "at": self.at}

    def look(self, sandbox: Sandbox, command: Command) -> None:
        if self.happened or self.moment is None:
            return
        if self.moment.has_come(sandbox, command):
            folders = list(stored.folders(sandbox.paths["store"]).values())
            # The command may be removing it too.
            shutil.rmtree(folders[int(self.at * len(folders))], ignore_errors=True)
            self.happened = True

    def end(self, sandbox: Sandbox, command: Command) -> list[str]:
        self.happened = self.happened or (sandbox.marks / "vanished").exists()
        return []


@dataclasses.dataclass
class Damage(Attack):
    """An artifact is damaged when the command begins, or while it runs.

    Attributes:
      how: what is done to one of its files.
      among: first parts of the addresses to choose from.
      manifest: whether the file is the manifest.
      at: in [0, 1): which artifact.
      where: in [0, 1): which file, and where in it.
      keep_time: as of `spoil`.
      moment: when; None is before the command.
    """

    how: str
    among: tuple[str, ...]
    manifest: bool
    at: float
    where: float
    keep_time: bool
    moment: Moment | None = None

    _address: str = dataclasses.field(default="", init=False, repr=False)

    @property
    def kind(self) -> str:
        if self.among == UNFINISHED:
            return "checkpoint or partial result damaged"
        if self.manifest:
            return "manifest damaged"
        return {FLIP: "artifact with a flipped byte"}.get(
            self.how, "artifact cut short"
        )

    def prepare(self, sandbox: Sandbox, instruments: Instruments) -> None:
        if self.moment is None:
            self._strike(sandbox)

    def look(self, sandbox: Sandbox, command: Command) -> None:
        if self.moment is None or self.happened:
            return
        if self.moment.has_come(sandbox, command):
            self._strike(sandbox)

    def verify(self, sandbox: Sandbox) -> list[str]:
        if not self.happened:
            return []
        return unnamed([self._address], sandbox)

    def _strike(self, sandbox: Sandbox) -> None:
        """Damages the artifact, if there is one to choose."""
        found = stored.folders(sandbox.paths["store"])
        folders = {
            address: folder
            for address, folder in found.items()
            if address.startswith(self.among)
            and stored.fault(folder, address) is None
            and not is_left_over(address, found)
        }
        if not folders:
            return
        self._address = [*folders][int(self.at * len(folders))]
        folder = folders[self._address]
        names = sorted(stored.files(folder))
        scaled = self.where * len(names)
        name = names[int(scaled)] if names and not self.manifest else stored.MANIFEST
        try:
            spoil(folder / name, self.how, where=scaled % 1, keep_time=self.keep_time)
            self.happened = True
        except FileNotFoundError:
            # The running command has replaced it.
            return


@dataclasses.dataclass
class Swap(Attack):
    """Two artifacts of one kind lie in each other's place.

    Attributes:
      at: in [0, 1): which kind, and which two of it.
      among: first parts of the addresses to choose from.
    """

    at: float
    among: tuple[str, ...] = RESULTS

    _addresses: tuple[str, ...] = dataclasses.field(default=(), init=False, repr=False)

    @property
    def kind(self) -> str:
        return "two artifacts swapped"

    def prepare(self, sandbox: Sandbox, instruments: Instruments) -> None:
        folders = stored.folders(sandbox.paths["store"])
        chance = random.Random(self.at)
        by_kind: dict[str, list[str]] = {}
        for address, folder in folders.items():
            chosen = address.startswith(self.among)
            if chosen and stored.fault(folder, address) is None:
                by_kind.setdefault(address.split("/")[0], []).append(address)
        several = [some for some in by_kind.values() if len(some) > 1]
        if not several:
            return
        one, other = chance.sample(chance.choice(several), 2)
        aside = sandbox.root / "aside"
        folders[one].rename(aside)
        folders[other].rename(folders[one])
        aside.rename(folders[other])
        self._addresses, self.happened = (one, other), True

    def verify(self, sandbox: Sandbox) -> list[str]:
        return unnamed(self._addresses, sandbox)


def is_left_over(address: str, addresses: Collection[str]) -> bool:
    """Returns whether something unfinished is over by now: nobody needs to read it.

    Args:
      address: of a checkpoint or a partial result.
      addresses: of all that is in its store.
    """
    kind, _, rest = address.partition("/")
    if kind != "checkpoints":
        done = {one.partition("/")[2] for one in addresses if not one.startswith(kind)}
        return kind == "partial" and rest in done
    run, _, iteration = rest.partition("/")
    states = (one for one in addresses if one.startswith(f"runs/{run}/"))
    return any(one.rpartition("/")[2] >= iteration for one in states)


def unnamed(addresses: Sequence[str], sandbox: Sandbox) -> list[str]:
    """Returns complaints about damage that was made good, or lost, without a word.

    What is as damaged as it was has not been read.
    """
    folders = stored.folders(sandbox.paths["store"])
    seen = [
        address
        for address in addresses
        if address not in folders or stored.fault(folders[address], address) is None
    ]
    return [
        f"damage to {address} was not named"
        for address in seen
        if address not in sandbox.text
    ]
