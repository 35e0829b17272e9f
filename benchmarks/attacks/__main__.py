"""The program: trials for some minutes, and the table by kind."""

import pathlib
import signal
import sys
import tempfile
import time

from absl import app, flags

from benchmarks.attacks import disks, reference, schedule, workloads
from benchmarks.attacks.report import Report
from benchmarks.attacks.trial import carry_out

_MINUTES = flags.DEFINE_float("minutes", 20.0, "how long to go on", lower_bound=0.0)
_SEED = flags.DEFINE_integer("seed", 0, "of the schedule")
_TRIAL = flags.DEFINE_integer("trial", None, "only this one", lower_bound=1)
_FAMILIES = flags.DEFINE_list(
    "families", list(schedule.FAMILIES), f"of {', '.join(schedule.FAMILIES)}"
)
_FOLDER = flags.DEFINE_string("folder", None, "where to work; None: a temporary folder")


def main(arguments: list[str]) -> int:
    """Carries out trials; returns 1 if one went wrong."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag.")
    # As a background job it would not hear Ctrl-C; then nobody could stop it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="attacks-", dir=_FOLDER.value) as folder:
        return _attack(pathlib.Path(folder))


def _attack(folder: pathlib.Path) -> int:
    """Carries out the trials in a folder; returns the exit code."""
    last = time.monotonic() + 60 * _MINUTES.value
    references = _references(folder)
    families = [
        name
        for name in schedule.FAMILIES
        if name in _FAMILIES.value
        and (name != "disks" or disks.can_mount(folder / "try"))
    ]
    report, number = Report(), _TRIAL.value or 1
    while True:
        trial = schedule.trial(_SEED.value, number, references, families)
        print(f"trial {number}: {trial}", flush=True)
        started = time.monotonic()
        verdict = carry_out(trial, folder / f"trial-{number}", fonts=folder / "fonts")
        report.add(number, trial, verdict)
        seconds = time.monotonic() - started
        codes = ", ".join(map(str, verdict.codes))
        print(f"  exit codes {codes}; {seconds:.0f} s", flush=True)
        for complaint in verdict.complaints:
            print(f"  WRONG: {complaint}")
        if verdict.complaints:
            print(verdict.text)
            print(
                f"To have it again: python -m benchmarks.attacks --seed={_SEED.value} "
                f"--families={','.join(families)} --trial={number}",
                flush=True,
            )
        number += 1
        if _TRIAL.value or time.monotonic() > last:
            break
    print(*report.lines(), sep="\n")
    return 1 if report.wrong_trials else 0


def _references(folder: pathlib.Path) -> schedule.References:
    """Returns the undisturbed commands."""
    names = {"instability": workloads.INSTABILITY, "lottery": workloads.LOTTERY}
    commands = [
        reference.make(workload, folder / name, fonts=folder / "fonts")
        for name, workload in names.items()
    ]
    other = reference.make(
        workloads.OTHER, folder / "other", fonts=folder / "fonts", killed=()
    )
    return schedule.References(commands, other)


if __name__ == "__main__":
    sys.exit(app.run(main))
