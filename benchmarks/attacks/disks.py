"""Disks that are full, or become full, and files that may not grow."""

import contextlib
import dataclasses
import os
import pathlib
import random
import shutil
import subprocess
import typing

from benchmarks.attacks import attack
from benchmarks.attacks.attack import Attack, Moment
from benchmarks.attacks.sandbox import PLACES, Command, Instruments, Sandbox

if typing.TYPE_CHECKING:
    from benchmarks.attacks.reference import Reference

_DISK_BYTES = 32 << 20
_BLOCK_BYTES = 1 << 16
# A full disk is one message, not one for each thing that could not be written.
_MOST_LINES = 25


def mount(image: pathlib.Path, folder: pathlib.Path) -> None:
    """Mounts a small file system: one in a file, else one in memory.

    Raises:
      OSError: neither works here.
    """
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(_DISK_BYTES)
    attempts = (
        [
            ["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image)],
            ["mount", "-o", "loop", str(image), str(folder)],
        ],
        [["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "none", str(folder)]],
    )
    for commands in attempts:
        try:
            for command in commands:
                subprocess.run(command, check=True, capture_output=True)
            return
        except (OSError, subprocess.CalledProcessError):
            continue
    raise OSError(f"No file system can be mounted on {folder}.")


def can_mount(folder: pathlib.Path) -> bool:
    """Returns whether this process can mount file systems.

    Args:
      folder: for trying; made and removed.
    """
    folder.mkdir(parents=True)
    try:
        mount(folder / "image", folder / "disk")
        subprocess.run(["umount", str(folder / "disk")], check=True)
        return True
    except OSError:
        return False
    finally:
        shutil.rmtree(folder)


@dataclasses.dataclass
class FullDisk(Attack):
    """A place of the command is on a small disk that is full, or becomes so.

    When the command has ended, somebody makes room.

    Attributes:
      place: one of `PLACES`.
      free_bytes: what the disk has free for the command.
      moment: when somebody else fills the disk; None is before the command.
    """

    place: str
    free_bytes: int
    moment: Moment | None

    _ballast: pathlib.Path | None = dataclasses.field(
        default=None, init=False, repr=False
    )

    @classmethod
    def draw(
        cls, chance: random.Random, reference: "Reference", *, filling: bool
    ) -> "FullDisk":
        """Returns one at random, most often of the store."""
        place = chance.choice((*PLACES, "store", "store"))
        if filling:
            number = chance.randint(1, len(reference.artifacts))
            return cls(place, 0, Moment("store", "artifacts", number))
        needed = reference.num_bytes * (1 if place == "store" else 0.1)
        # A little more than the plan asks for: checkpoints need room, too.
        lowest, highest = (1.0, 1.5) if chance.random() < 0.5 else (0.0, 1.0)
        return cls(place, int(chance.uniform(lowest, highest) * needed), None)

    @property
    def kind(self) -> str:
        return "disk too small" if self.moment is None else "disk becomes full"

    def prepare(self, sandbox: Sandbox, instruments: Instruments) -> None:
        disk = sandbox.root / "disk"
        mount(sandbox.root / "image", disk)
        sandbox.closing.callback(
            subprocess.run, ["umount", "--lazy", str(disk)], check=False
        )
        before, path = sandbox.paths[self.place], disk / self.place
        if before.exists():
            shutil.copytree(before, path)
            shutil.rmtree(before)
        else:
            path.mkdir()
        sandbox.paths[self.place] = path
        self._ballast = disk / "ballast"
        if self.moment is None:
            self._fill()

    def look(self, sandbox: Sandbox, command: Command) -> None:
        if not self.happened and self.moment.has_come(sandbox, command):
            self._fill()

    def codes(self, sandbox: Sandbox) -> tuple[int, ...]:
        # Tables that cannot be written make results incomplete.
        if self.place == "output":
            return (attack.REFUSED, attack.INCOMPLETE)
        return (attack.REFUSED, attack.UNUSABLE)

    def end(self, sandbox: Sandbox, command: Command) -> list[str]:
        self._ballast.unlink(missing_ok=True)
        return [] if command.code == attack.DONE else verbose(command)

    def _fill(self) -> None:
        """Leaves as much free as there is to be."""
        disk = os.statvfs(self._ballast.parent)
        size = disk.f_bavail * disk.f_frsize - self.free_bytes
        # The command writes meanwhile: there may be less room than there was.
        with contextlib.suppress(OSError), self._ballast.open("wb") as file:
            while file.tell() < size:
                file.write(bytes(min(_BLOCK_BYTES, size - file.tell())))
                file.flush()
        self.happened = True


@dataclasses.dataclass
class SmallFiles(Attack):
    """No file may grow beyond a size, as under a quota or `ulimit -f`.

    Attributes:
      largest_bytes: the size.
    """

    largest_bytes: int

    @classmethod
    def draw(cls, chance: random.Random, reference: "Reference") -> "SmallFiles":
        """Returns one at random, which something that is written exceeds."""
        largest = max(
            file["bytes"]
            for files in reference.artifacts.values()
            for file in files.values()
        )
        return cls(chance.randint(0, largest - 1))

    @property
    def kind(self) -> str:
        return "files may not grow"

    def prepare(self, sandbox: Sandbox, instruments: Instruments) -> None:
        instruments.largest_file_bytes = self.largest_bytes
        self.happened = True

    def codes(self, sandbox: Sandbox) -> tuple[int, ...]:
        return (attack.REFUSED, attack.INCOMPLETE, attack.UNUSABLE)

    def end(self, sandbox: Sandbox, command: Command) -> list[str]:
        return [] if command.code == attack.DONE else verbose(command)


def verbose(command: Command) -> list[str]:
    """Returns a complaint if a command had more than a message to say."""
    lines = command.text.splitlines()
    if len(lines) <= _MOST_LINES:
        return []
    return [f"{len(lines)} lines on a full disk"]
