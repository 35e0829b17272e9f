"""One trial: a command attacked once or more often, run again, and judged."""

import dataclasses
import pathlib
from collections.abc import Sequence

from benchmarks.attacks import attack, verdict
from benchmarks.attacks.attack import Attack
from benchmarks.attacks.caches import CacheDamage
from benchmarks.attacks.crowds import Companion
from benchmarks.attacks.reference import Reference
from benchmarks.attacks.sandbox import Command, Instruments, Sandbox, Workload

# How often a user would run the same command again.
_MOST_ATTEMPTS = 2


@dataclasses.dataclass(frozen=True)
class Trial:
    """What happens to a command.

    Attributes:
      reference: the command, undisturbed.
      beginning: what lies in the store at first, one of `reference.beginnings`.
      cached: whether the dataset cache has the data already.
      workers: processes that train at a time.
      rounds: the attacks on the command, on the same command run again, and so on; a
        command that was done begins anew.
    """

    reference: Reference
    beginning: str
    cached: bool
    workers: int
    rounds: tuple[tuple[Attack, ...], ...]

    @property
    def attacks(self) -> list[Attack]:
        """All attacks, in order."""
        return [one for attacks in self.rounds for one in attacks]

    def __str__(self) -> str:
        lines = [
            f"{self.reference.workload.experiment}, workers: {self.workers}, store: "
            f"{self.beginning}, data: {'cached' if self.cached else 'not cached'}"
        ]
        for number, attacks in enumerate(self.rounds, 1):
            lines += [f"  {number}. {one.kind}: {one!r}" for one in attacks]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How a trial ended.

    Attributes:
      complaints: what is wrong; nothing, if all is well.
      codes: the exit codes, in order.
      text: all that was printed.
    """

    complaints: tuple[str, ...]
    codes: tuple[int | None, ...]
    text: str


def carry_out(
    trial: Trial, folder: pathlib.Path, *, fonts: pathlib.Path, patch: str | None = None
) -> Verdict:
    """Carries out a trial.

    Args:
      trial: what to do; its attacks remember what happened.
      folder: of its own; made here and removed.
      fonts: as of a Sandbox.
      patch: path of a Python file that changes the package first.
    """
    with Sandbox(folder, fonts=fonts, patch=patch) as sandbox:
        trial.reference.lay_out(sandbox, trial.beginning, cached=trial.cached)
        try:
            complaints = _attacked(trial, sandbox)
        except TimeoutError as error:
            complaints = [str(error)]
        return Verdict(
            complaints=tuple(complaints),
            codes=tuple(command.code for command in sandbox.commands),
            text=sandbox.text,
        )


def _attacked(trial: Trial, sandbox: Sandbox) -> list[str]:
    """Returns all that is wrong."""
    complaints: list[str] = []
    reference, command = trial.reference, None
    for number, attacks in enumerate(trial.rounds, 1):
        if command is not None and command.code == attack.DONE:
            # There is nothing left to do, and so nothing to disturb.
            sandbox.forget_results()
        command, found = _round(trial, attacks, sandbox)
        complaints += [f"round {number}: {one}" for one in found]
        for one in attacks:
            reference = one.final(reference)
    for _ in range(_MOST_ATTEMPTS):
        if command.code == attack.DONE or reference is not trial.reference:
            break
        command = sandbox.start(_command(trial))
        command.follow()
    else:
        if command.code != attack.DONE:
            complaints.append(
                f"the same command still ends with exit code {command.code}"
            )
    every = trial.attacks
    complaints += verdict.of_output(sandbox.paths["output"], reference)
    complaints += verdict.of_leftovers(sandbox)
    # A kill between a run's last state and the removal of its checkpoints leaves these.
    sandbox.clean()
    others = [trial.reference, *_references(every)]
    complaints += verdict.of_store(sandbox, reference, *others)
    complaints += verdict.of_cache(sandbox, trial.reference, spoiled=_spoiled(every))
    for one in every:
        complaints += one.verify(sandbox)
    if "Traceback (most recent call last)" in sandbox.text:
        complaints.append("a traceback was printed")
    return complaints


def _round(
    trial: Trial, attacks: Sequence[Attack], sandbox: Sandbox
) -> tuple[Command, list[str]]:
    """Runs the command under attack. Returns it, and what is wrong with its end."""
    sandbox.forget_marks()
    instruments = Instruments()
    for one in attacks:
        one.prepare(sandbox, instruments)
    asked = instruments if instruments != Instruments() else None
    command = sandbox.start(_command(trial), instruments=asked)
    for one in attacks:
        one.begin(sandbox)

    def look(command: Command) -> None:
        for one in attacks:
            one.look(sandbox, command)

    code = command.follow(look)
    complaints = [text for one in attacks for text in one.end(sandbox, command)]
    allowed = {attack.DONE}
    allowed |= {code for one in attacks if one.happened for code in one.codes(sandbox)}
    if code not in allowed:
        complaints.append(f"exit code {code}, expected {sorted(allowed)}")
    if code == attack.DONE:
        complaints += verdict.of_output(sandbox.paths["output"], trial.reference)
    left = sandbox.leftovers(verdict.LEAVING_SECONDS)
    complaints += [f"process {one} outlives the command" for one in left]
    return command, complaints


def _command(trial: Trial) -> Workload:
    """Returns the command to attack."""
    return dataclasses.replace(trial.reference.workload, workers=trial.workers)


def _references(attacks: Sequence[Attack]) -> list[Reference]:
    """Returns the references of other commands that use the store."""
    return [one.reference for one in attacks if isinstance(one, Companion)]


def _spoiled(attacks: Sequence[Attack]) -> dict[str, str]:
    """Returns the digests of damaged files of the dataset cache, by name."""
    return dict(one.spoiled for one in attacks if isinstance(one, CacheDamage))
