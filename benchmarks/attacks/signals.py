"""Signals to a command's processes: killed, or asked to stop."""

import dataclasses
import os
import random
import signal
import time
import typing

from benchmarks.attacks import attack
from benchmarks.attacks.attack import Attack, Moment
from benchmarks.attacks.sandbox import Command, Instruments, Sandbox

if typing.TYPE_CHECKING:
    from benchmarks.attacks.reference import Reference

KILL = "SIGKILL"
STOPS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
TARGETS = ("worker", "parent", "group")
# A stop may take ten seconds. On a busy machine these are of processor time; the clock
# then only tells whether the command waits for something that never comes.
_STOP_SECONDS = 10.0
_STOP_SECONDS_ON_A_BUSY_MACHINE = 120.0


@dataclasses.dataclass
class Signal(Attack):
    """A signal to a worker, the parent or the process group.

    Attributes:
      name: `KILL` or one of `STOPS`.
      target: one of `TARGETS`.
      moment: when.
      again_after: seconds to a second signal of the same name, or None.
    """

    name: str
    target: str
    moment: Moment
    again_after: float | None = None

    # When it was sent, how often, and the processor time of all processes then.
    _sent_at: float = dataclasses.field(default=0.0, init=False, repr=False)
    _num_sent: int = dataclasses.field(default=0, init=False, repr=False)
    _cpu_seconds: list[float] = dataclasses.field(
        default_factory=list, init=False, repr=False
    )

    @classmethod
    def draw(
        cls,
        chance: random.Random,
        reference: "Reference",
        *,
        name: str,
        target: str,
        twice: bool = False,
    ) -> "Signal":
        """Returns one with a moment at random."""
        moment = Moment.draw(chance, reference)
        while target == "worker" and moment.of == "parent":
            # There need not be a worker when the parent does something.
            moment = Moment.draw(chance, reference)
        again_after = round(chance.uniform(0, 1), 2) if twice else None
        return cls(name, target, moment, again_after)

    @property
    def kind(self) -> str:
        what = "kill" if self.name == KILL else "stop signal to"
        if self.again_after is not None:
            what = "two stop signals to"
        return f"{what} {'a worker' if self.target == 'worker' else self._whom}"

    def prepare(self, sandbox: Sandbox, instruments: Instruments) -> None:
        if self.moment.unit == "operation":
            instruments.signal = {
                "role": self.moment.of,
                "operation": self.moment.number,
                "among": "",
                "signal": self._number,
                "target": self.target,
            }

    def look(self, sandbox: Sandbox, command: Command) -> None:
        if not self.happened:
            if sandbox.was_struck():
                self._note()
            elif self.moment.has_come(sandbox, command):
                self._send(command)
        elif self._num_sent == 1 and self.again_after is not None:
            if time.monotonic() > self._sent_at + self.again_after:
                self._send(command)
        if self.happened:
            self._cpu_seconds.append(command.cpu_seconds())

    def codes(self, sandbox: Sandbox) -> tuple[int, ...]:
        if self.target == "worker":
            return ()
        if self.name == KILL:
            return (-signal.SIGKILL,)
        return (attack.INTERRUPTED if self.name == "SIGINT" else attack.REQUEUE,)

    def end(self, sandbox: Sandbox, command: Command) -> list[str]:
        self.happened = self.happened or sandbox.was_struck()
        if command.code not in (attack.INTERRUPTED, attack.REQUEUE):
            return []
        complaints = []
        # At its very beginning and end there is nothing to go on with.
        began = "iterations" in command.text and "Results are in" not in command.text
        if began and "To go on:" not in command.text and self.again_after is None:
            complaints.append("stopped without saying how to go on")
        clock = time.monotonic() - self._sent_at if self._sent_at else 0.0
        work = self._cpu_seconds[-1] - self._cpu_seconds[0] if self._cpu_seconds else 0
        if work > _STOP_SECONDS or clock > _STOP_SECONDS_ON_A_BUSY_MACHINE:
            complaints.append(
                f"took {clock:.1f} s and {work:.1f} s of processor time to stop"
            )
        return complaints

    @property
    def _number(self) -> int:
        return int(getattr(signal, self.name))

    @property
    def _whom(self) -> str:
        return {"parent": "the parent", "group": "all processes"}[self.target]

    def _note(self) -> None:
        """Remembers that the signal has been sent."""
        self.happened = True
        self._sent_at = time.monotonic()
        self._num_sent += 1

    def _send(self, command: Command) -> None:
        """Sends the signal to whom it is for."""
        try:
            if self.target == "group":
                os.killpg(command.process.pid, self._number)
            elif self.target == "parent":
                command.process.send_signal(self._number)
            else:
                os.kill(command.workers()[0], self._number)
        except (ProcessLookupError, IndexError):
            # It ended on its own meanwhile.
            return
        self._note()
