"""What a workload comes to when nobody disturbs it, and stores to begin trials with."""

import dataclasses
import os
import pathlib
import shutil
import signal
from collections.abc import Sequence

from benchmarks.attacks import damage, processes, stored
from benchmarks.attacks.sandbox import Command, Instruments, Sandbox, Workload

# What a trial can begin with: nothing, what was left by a command that was killed while
# it trained or measured, all that was made.
EMPTY, TRAINING, MEASURING, FINISHED = "empty", "training", "measuring", "finished"
# What lies in the store meanwhile, and at which file operation on it the kill comes:
# soon after there is one, since a fast machine is done after a few.
_SIGNS = {TRAINING: ("checkpoints", 2), MEASURING: ("partial", 5)}
# At how many operations in turn, until the kill leaves something to go on from: it may
# come just when that is over.
_MAX_TRIES = 6


@dataclasses.dataclass(frozen=True)
class Reference:
    """An undisturbed run of a workload.

    Attributes:
      workload: the command.
      folder: holds the dataset cache, and a store for each beginning but EMPTY.
      beginnings: the beginnings there are.
      output: the bytes of every file of the output folder, by name.
      artifacts: what the manifests promise, sizes and digests by file, by address.
      cache: sha256 by relative name of the dataset cache's files.
      operations: how many file operations parent and worker made.
      cpu_seconds: processor time of parent and worker.
    """

    workload: Workload
    folder: pathlib.Path
    beginnings: tuple[str, ...]
    output: dict[str, bytes]
    artifacts: dict[str, dict[str, dict]]
    cache: dict[str, str]
    operations: dict[str, int]
    cpu_seconds: dict[str, float]

    @property
    def num_bytes(self) -> int:
        """Size of all artifacts together."""
        return sum(
            file["bytes"]
            for files in self.artifacts.values()
            for file in files.values()
        )

    def lay_out(self, sandbox: Sandbox, beginning: str, *, cached: bool) -> None:
        """Copies what a trial begins with into its sandbox.

        Args:
          sandbox: of the trial.
          beginning: one of `beginnings`.
          cached: whether the dataset cache has the data already.
        """
        if cached:
            shutil.copytree(self.folder / "cache", sandbox.paths["cache"])
        if beginning != EMPTY:
            shutil.copytree(self.folder / beginning, sandbox.paths["store"])


def make(
    workload: Workload,
    folder: pathlib.Path,
    *,
    fonts: pathlib.Path,
    killed: Sequence[str] = (TRAINING, MEASURING),
) -> Reference:
    """Runs a workload undisturbed, and again for each way to be killed.

    Args:
      workload: the command.
      folder: where to keep what trials begin with; made here.
      fonts: as of a Sandbox.
      killed: which beginnings to make that take another run.

    Raises:
      RuntimeError: the command failed.
    """
    cpu_seconds = {"parent": 0.0, "worker": 0.0}

    def measure(command: Command) -> None:
        found = {"parent": [command.process.pid], "worker": command.workers()}
        for role, ids in found.items():
            used = max(map(processes.cpu_seconds, ids), default=0.0)
            cpu_seconds[role] = max(cpu_seconds[role], used)

    with Sandbox(folder / "undisturbed", fonts=fonts) as sandbox:
        counting = Instruments(count_operations=True)
        command = sandbox.start(workload, instruments=counting)
        if command.follow(measure) != 0:
            raise RuntimeError(f"The undisturbed command failed:\n{command.text}")
        paths = sandbox.paths
        shutil.copytree(paths["store"], folder / FINISHED)
        shutil.copytree(paths["cache"], folder / "cache")
        output = stored.contents(paths["output"])
        operations = {
            role: os.path.getsize(sandbox.marks / role) for role in cpu_seconds
        }
    found = stored.folders(folder / FINISHED)
    stopped = [one for one in killed if _kill_during(workload, one, folder, fonts)]
    return Reference(
        workload=workload,
        folder=folder,
        beginnings=(EMPTY, FINISHED, *stopped),
        output=output,
        artifacts={address: stored.files(found[address]) for address in found},
        cache=stored.digests(folder / "cache"),
        operations=operations,
        cpu_seconds=cpu_seconds,
    )


def _kill_during(
    workload: Workload, beginning: str, folder: pathlib.Path, fonts: pathlib.Path
) -> bool:
    """Keeps the store of a command that was killed while it trained or measured.

    Returns:
      Whether there is one: not every command measures for long enough.
    """
    sign, first = _SIGNS[beginning]
    for operation in range(first, first + _MAX_TRIES):
        strike = {"role": "worker", "operation": operation, "among": sign}
        strike |= {"signal": signal.SIGKILL, "target": "group"}
        with Sandbox(folder / "killed", fonts=fonts) as sandbox:
            shutil.copytree(folder / "cache", sandbox.paths["cache"])
            command = sandbox.start(workload, instruments=Instruments(signal=strike))
            code = command.follow()
            left = stored.folders(sandbox.paths["store"])
            if any(
                one.startswith(sign) and not damage.is_left_over(one, left)
                for one in left
            ):
                shutil.copytree(sandbox.paths["store"], folder / beginning)
                return True
            if code == 0:
                # It has no more such operations.
                return False
    return False
