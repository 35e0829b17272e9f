"""What every attack can do, and when: the base class, and moments of a command."""

import dataclasses
import random
import typing

from benchmarks.attacks import processes, stored
from benchmarks.attacks.sandbox import Command, Instruments, Sandbox

if typing.TYPE_CHECKING:
    from benchmarks.attacks.reference import Reference

# Exit codes as the README has them.
DONE, INCOMPLETE, REFUSED = 0, 1, 2
INTERRUPTED, REQUEUE, UNUSABLE = 130, 75, 74


@dataclasses.dataclass(frozen=True)
class Moment:
    """When in the life of a command something happens.

    Attributes:
      of: "parent" or "worker", or "store".
      unit: "cpu_seconds" that the process has used or the "operation" on files that it
        is about to make; "artifacts" that lie in the store.
      number: how many.
    """

    of: str
    unit: str
    number: float

    @classmethod
    def draw(cls, chance: random.Random, reference: "Reference") -> "Moment":
        """Returns a moment at random: of all that happens, not of the clock."""
        of = chance.choice(("parent", "worker", "worker"))
        if chance.random() < 0.5:
            number = chance.uniform(0, reference.cpu_seconds[of])
            return cls(of, "cpu_seconds", round(number, 2))
        return cls(of, "operation", chance.randint(1, reference.operations[of]))

    def has_come(self, sandbox: Sandbox, command: Command) -> bool:
        """Returns whether it is time; operations are looked after by `program`."""
        if self.unit == "operation":
            return False
        if self.of == "store":
            return len(stored.folders(sandbox.paths["store"])) >= self.number
        ids = [command.process.pid] if self.of == "parent" else command.workers()
        return any(processes.cpu_seconds(one) >= self.number for one in ids)


@dataclasses.dataclass
class Attack:
    """Something bad that happens to a command. Fields of subclasses decide all of it.

    Attributes:
      happened: whether it came about; a command may end before its moment.
    """

    happened: bool = dataclasses.field(default=False, init=False, repr=False)

    @property
    def kind(self) -> str:
        """Its row in the table."""
        raise NotImplementedError

    def prepare(self, sandbox: Sandbox, instruments: Instruments) -> None:
        """Does what happens before the command begins.

        Changes: what lies in the sandbox; what the program is asked for.
        """

    def begin(self, sandbox: Sandbox) -> None:
        """Does what happens right after the command began."""

    def look(self, sandbox: Sandbox, command: Command) -> None:
        """Called many times a second while the command runs."""

    def codes(self, sandbox: Sandbox) -> tuple[int, ...]:
        """Returns the exit codes that the command may have because of it."""
        return ()

    def end(self, sandbox: Sandbox, command: Command) -> list[str]:
        """Called once the command ended. Returns what is wrong with how it did."""
        return []

    def final(self, reference: "Reference") -> "Reference":
        """Returns which of two results is in the output folder at the end."""
        return reference

    def verify(self, sandbox: Sandbox) -> list[str]:
        """Called when the trial is over. Returns what is wrong with how it ended."""
        return []
