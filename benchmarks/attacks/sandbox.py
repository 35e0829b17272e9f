"""Folders of a trial's own, and the commands that run in them."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence

import tflottery
from benchmarks.attacks import processes, program

PLACES = ("store", "cache", "output", "temporary")
_REPOSITORY = pathlib.Path(tflottery.__file__).parents[1]
# Shorter than the package's, so that a tiny training has many places to stop at.
_CALL_SECONDS = 0.02
_LOOK_SECONDS = 0.02
# On a busy machine a command takes minutes.
PATIENCE_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Workload:
    """A command to attack.

    Attributes:
      experiment: its name.
      flags: all that decides results.
      workers: processes that train at a time.
    """

    experiment: str
    flags: tuple[str, ...]
    workers: int = 1


@dataclasses.dataclass
class Instruments:
    """What `program` is asked for; all of it, left out, leaves the experiment as it is.

    Attributes:
      count_operations: whether file operations are counted, in files of `marks`.
      signal: {"role", "operation", "among", "signal", "target"}: before which file
        operation, of those on something that lies in a folder of a name ("": of all),
        which process sends what to whom.
      vanish: {"store", "at"}: which artifact is lost right before rows are read.
      largest_file_bytes: no file may grow beyond it.
      num_meeting: how many commands wait for each other before they claim their output
        folders.
      call_seconds: how long calls of the compiled training loop take.
    """

    count_operations: bool = False
    signal: dict[str, object] | None = None
    vanish: dict[str, object] | None = None
    largest_file_bytes: int | None = None
    num_meeting: int = 0
    call_seconds: float = _CALL_SECONDS


class Command:
    """A running command, in a process group of its own."""

    def __init__(self, process: subprocess.Popen, log: pathlib.Path, mark: str):
        self.process = process
        self._log = log
        self._mark = mark
        self._cpu: dict[int, float] = {}

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs, negative if a signal ended it."""
        return self.process.poll()

    @property
    def text(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors="replace")

    def workers(self) -> list[int]:
        """Returns the ids of its worker processes."""
        return processes.workers(self.process.pid)

    def cpu_seconds(self) -> float:
        """Returns the processor time of all its processes so far, the dead included."""
        for process in processes.marked(self._mark):
            self._cpu[process] = processes.cpu_seconds(process)
        return sum(self._cpu.values())

    def follow(self, look: Callable[["Command"], object] | None = None) -> int:
        """Returns the exit code, having looked at the command many times a second.

        Raises:
          TimeoutError: it runs for too long.
        """
        last = time.monotonic() + PATIENCE_SECONDS
        while self.code is None:
            if look is not None:
                look(self)
            if time.monotonic() > last:
                raise TimeoutError(
                    f"The command is not done after {PATIENCE_SECONDS:.0f} seconds. It "
                    f"printed:\n{self.text}"
                )
            time.sleep(_LOOK_SECONDS)
        return self.code


class Sandbox:
    """A context manager: at its end its processes and folders are gone."""

    def __init__(
        self, root: pathlib.Path, *, fonts: pathlib.Path, patch: str | None = None
    ):
        """Args:
        root: folder to make.
        fonts: folder in which matplotlib keeps its list of fonts, which takes long to
          make; shared by all trials.
        patch: path of a Python file that changes the package in all commands.
        """
        self.root = root
        self.mark = f"attack-{uuid.uuid4().hex}"
        self.paths = {name: root / name for name in PLACES}
        self.marks = root / "marks"
        self.commands: list[Command] = []
        # What has to be undone before the folders are removed.
        self.closing = contextlib.ExitStack()
        self._fonts = fonts
        self._patch = patch

    def __enter__(self) -> "Sandbox":
        for folder in (self.paths["temporary"], self.marks):
            folder.mkdir(parents=True)
        return self

    def __exit__(self, *exception: object) -> None:
        for process in processes.marked(self.mark):
            os.kill(process, signal.SIGKILL)
        for command in self.commands:
            command.process.wait()
        self.closing.close()
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def text(self) -> str:
        """What all commands so far have printed."""
        return "".join(command.text for command in self.commands)

    def start(
        self,
        workload: Workload,
        *,
        instruments: Instruments | None = None,
        output: pathlib.Path | None = None,
    ) -> Command:
        """Starts a command.

        Args:
          workload: the command.
          instruments: for `program`; None, and no patch, starts the experiment as users
            do.
          output: its output folder; None is the sandbox's.
        """
        module = f"tflottery.experiments.{workload.experiment}"
        asked = {"mark": self.mark}
        if instruments is not None or self._patch is not None:
            module = program.__name__
            asked |= {"experiment": workload.experiment, "marks": str(self.marks)}
            asked |= dataclasses.asdict(instruments or Instruments())
            asked |= {"patch": self._patch}
        log = self.root / f"command-{len(self.commands) + 1}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *self._flags(workload, output)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.root,
                env=self._environment() | {program.VARIABLE: json.dumps(asked)},
                start_new_session=True,
                preexec_fn=_take_signals,
            )
        self.commands.append(Command(process, log, self.mark))
        return self.commands[-1]

    def forget_marks(self) -> None:
        """Has `program` do once more what it does once."""
        shutil.rmtree(self.marks)
        self.marks.mkdir()

    def forget_results(self) -> None:
        """Removes the store and the output folder."""
        for name in ("store", "output"):
            shutil.rmtree(self.paths[name])

    def was_struck(self) -> bool:
        """Returns whether `program` has sent its signal."""
        return (self.marks / "struck").exists()

    def clean(self) -> None:
        """Removes from the store what nobody needs, as users are offered to."""
        if not self.paths["store"].exists():
            return
        command = [sys.executable, "-m", "tflottery.store", "gc", "--yes"]
        subprocess.run(
            [*command, f"--store={self.paths['store']}"],
            check=True,
            capture_output=True,
            cwd=self.root,
            env=self._environment(),
        )

    def leftovers(self, seconds: float) -> list[int]:
        """Returns the processes that are still there after some seconds of waiting."""
        last = time.monotonic() + seconds
        while left := list(processes.marked(self.mark)):
            if time.monotonic() > last:
                return left
            time.sleep(0.05)
        return []

    def _flags(self, workload: Workload, output: pathlib.Path | None) -> Sequence[str]:
        return (
            *workload.flags,
            f"--workers={workload.workers}",
            "--checkpoint_every=0.01",
            f"--store={self.paths['store']}",
            f"--output_dir={output or self.paths['output']}",
        )

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TFLOTTERY_")
        }
        return inherited | {
            "PYTHONPATH": str(_REPOSITORY),
            "TFLOTTERY_CACHE": str(self.paths["cache"]),
            "TMPDIR": str(self.paths["temporary"]),
            "MPLCONFIGDIR": str(self._fonts),
        }


def _take_signals() -> None:
    """Undoes what a background job or nohup would make a command ignore."""
    for one in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)
