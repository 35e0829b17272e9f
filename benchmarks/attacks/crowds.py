"""Several commands at once, on one store, and on one output folder."""

import dataclasses
import pathlib
import time

from benchmarks.attacks import attack, verdict
from benchmarks.attacks.attack import Attack
from benchmarks.attacks.reference import Reference
from benchmarks.attacks.sandbox import Command, Instruments, Sandbox

# Where a command beside another writes: a folder of its own; the same folder, with the
# same options or with others.
OWN, SAME, CONTESTED = "own", "same", "contested"


@dataclasses.dataclass
class Companion(Attack):
    """Another command that runs beside the one attacked, in the same store.

    Attributes:
      number: tells it from other companions.
      reference: of the other command.
      delay: seconds after which it begins.
      output: `OWN`, `SAME` or `CONTESTED`.
      meets: whether all wait for each other before they claim their output folders.
    """

    number: int
    reference: Reference = dataclasses.field(repr=False)
    delay: float
    output: str
    meets: bool = False

    _instruments: Instruments | None = dataclasses.field(
        default=None, init=False, repr=False
    )
    _command: Command | None = dataclasses.field(default=None, init=False, repr=False)
    _begin_at: float = dataclasses.field(default=0.0, init=False, repr=False)
    _wins: bool = dataclasses.field(default=False, init=False, repr=False)

    @property
    def kind(self) -> str:
        return {
            OWN: "commands at once on a store",
            SAME: "commands at once on an output folder",
            CONTESTED: "other options on an output folder",
        }[self.output]

    def prepare(self, sandbox: Sandbox, instruments: Instruments) -> None:
        if self.meets:
            instruments.num_meeting = max(instruments.num_meeting, 1) + 1
            self._instruments = instruments

    def begin(self, sandbox: Sandbox) -> None:
        self._begin_at = time.monotonic() + self.delay

    def look(self, sandbox: Sandbox, command: Command) -> None:
        if not self.happened and time.monotonic() > self._begin_at:
            self._begin(sandbox)

    def codes(self, sandbox: Sandbox) -> tuple[int, ...]:
        return (attack.REFUSED,) if self.output == CONTESTED else ()

    def end(self, sandbox: Sandbox, command: Command) -> list[str]:
        if self._command is None:
            return []
        code = self._command.follow()
        if code == attack.DONE:
            self._wins = self.output == CONTESTED
            if self._wins and command.code == attack.DONE:
                return ["two commands with different options wrote one output folder"]
            folder = self._folder(sandbox)
            return [
                f"beside it: {one}" for one in verdict.of_output(folder, self.reference)
            ]
        lost = self.output == CONTESTED and command.code == attack.DONE
        if lost and code == attack.REFUSED:
            return []
        return [f"the command beside it ended with exit code {code}"]

    def final(self, reference: Reference) -> Reference:
        return self.reference if self._wins else reference

    def _begin(self, sandbox: Sandbox) -> None:
        instruments = None
        if self._instruments is not None:
            # All know by now how many there are.
            instruments = Instruments(num_meeting=self._instruments.num_meeting)
        self._command = sandbox.start(
            self.reference.workload,
            instruments=instruments,
            output=self._folder(sandbox),
        )
        self.happened = True

    def _folder(self, sandbox: Sandbox) -> pathlib.Path:
        """Returns its output folder."""
        if self.output != OWN:
            return sandbox.paths["output"]
        return sandbox.root / f"output-{self.number}"
