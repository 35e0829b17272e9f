"""An experiment with instruments: the program that most trials attack.

It is the experiment as it is, but for what the variable TFLOTTERY_ATTACK asks for: the
process counts its file operations, or sends a signal right before one; an artifact
vanishes right before rows are read; files have a largest size; commands wait for each
other before they claim an output folder; a Python file changes the package first, so
that tests can put old mistakes back. Workers run this module as
their main module too, so all of it holds in them as well.
"""

import importlib
import importlib.abc
import importlib.util
import itertools
import json
import os
import pathlib
import resource
import runpy
import shutil
import signal
import sys
import time
import types
from collections.abc import Callable, Sequence

VARIABLE = "TFLOTTERY_ATTACK"
# What makes things on a disk count: they are written, moved, removed.
_OPERATIONS = ("fsync", "mkdir", "rename", "replace", "rmdir", "unlink")
# How long a command waits for another that may have ended.
_MEETING_SECONDS = 120.0


def install(asked: dict[str, object], *, role: str) -> None:
    """Changes this process as asked.

    Args:
      asked: `sandbox.Instruments` as a dict.
      role: "parent" or "worker".

    Changes: functions of the module os and of the package.
    """
    if asked["largest_file_bytes"] is not None:
        # The write then fails, with EFBIG; the signal would end the process.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["largest_file_bytes"], hard))
    if asked.get("patch") is not None:
        runpy.run_path(asked["patch"])
    # Callbacks come after every call of the compiled loop; checkpoints are made there.
    _once_imported(
        "tflottery.training.trainer",
        lambda trainer: setattr(trainer, "_CALL_SECONDS", asked["call_seconds"]),
    )
    marks = pathlib.Path(asked["marks"])
    if asked["count_operations"]:
        log = os.open(marks / role, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _before_operations(lambda number: os.write(log, b"."))
    if asked["signal"] is not None and asked["signal"]["role"] == role:
        _before_operations(
            lambda number: _strike(asked["signal"], number, marks),
            among=asked["signal"]["among"],
        )
    if asked["vanish"] is not None and role == "parent":
        module = importlib.import_module(f"tflottery.experiments.{asked['experiment']}")
        module.rows = _after_vanishing(module.rows, asked["vanish"], marks)
    if asked["num_meeting"] and role == "parent":
        output = importlib.import_module("tflottery.studies.output").Output
        output.claim = _after_meeting(output.claim, asked["num_meeting"], marks)


def once(marks: pathlib.Path, name: str) -> bool:
    """Returns True to the first caller only, of all processes of a trial."""
    try:
        os.close(os.open(marks / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _before_operations(call: Callable[[int], object], *, among: str = "") -> None:
    """Has a function called with the number of each file operation, right before it.

    Args:
      call: takes the number, from 1.
      among: only operations on something that is there, below a folder of this name,
        are counted; "" counts all.
    """
    numbers = itertools.count(1)

    def counted(operation: Callable) -> Callable:
        def replacement(*arguments: object, **named: object) -> object:
            if not among or _concerns(among, arguments):
                call(next(numbers))
            return operation(*arguments, **named)

        return replacement

    for name in _OPERATIONS:
        setattr(os, name, counted(getattr(os, name)))


def _concerns(folder: str, arguments: Sequence[object]) -> bool:
    """Returns whether a file operation is on something that lies below a folder."""
    paths = [one for one in arguments if isinstance(one, str | os.PathLike)]
    return any(f"/{folder}/" in str(one) and os.path.exists(one) for one in paths)


def _strike(asked: dict[str, object], number: int, marks: pathlib.Path) -> None:
    """Sends the signal if it is time."""
    if number != asked["operation"] or not once(marks, "struck"):
        return
    if asked["target"] == "group":
        os.killpg(0, asked["signal"])
    elif asked["target"] == asked["role"]:
        os.kill(os.getpid(), asked["signal"])
    else:
        os.kill(os.getppid(), asked["signal"])


def _after_vanishing(
    rows: Callable, asked: dict[str, object], marks: pathlib.Path
) -> Callable:
    """Returns `rows` of an experiment, before whose first call an artifact is lost."""

    def replacement(*arguments: object, **named: object) -> object:
        folders = sorted(
            path.parent
            for kind in ("accuracies", "lines")
            for path in pathlib.Path(asked["store"], kind).glob("*/manifest.json")
        )
        if folders and once(marks, "vanished"):
            chosen = folders[int(asked["at"] * len(folders))]
            print(f"(attack: {chosen.name} vanishes)", file=sys.stderr)
            shutil.rmtree(chosen)
        return rows(*arguments, **named)

    return replacement


def _after_meeting(claim: Callable, num_meeting: int, marks: pathlib.Path) -> Callable:
    """Returns a function that is called by several processes at one time."""

    def replacement(*arguments: object, **named: object) -> object:
        (marks / f"meeting-{os.getpid()}").touch()
        last = time.monotonic() + _MEETING_SECONDS
        while len(list(marks.glob("meeting-*"))) < num_meeting:
            if time.monotonic() > last:
                break
            time.sleep(0.001)
        return claim(*arguments, **named)

    return replacement


def _once_imported(name: str, change: Callable[[types.ModuleType], object]) -> None:
    """Changes a module when the program imports it, which this function does not do."""

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, fullname: str, path: object, target: object = None):
            if fullname != name:
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            execute = spec.loader.exec_module

            def execute_and_change(module: types.ModuleType) -> None:
                execute(module)
                change(module)

            spec.loader.exec_module = execute_and_change
            return spec

    sys.meta_path.insert(0, Finder())


if __name__ in ("__main__", "__mp_main__"):
    _ASKED = json.loads(os.environ[VARIABLE])
    install(_ASKED, role="parent" if __name__ == "__main__" else "worker")

if __name__ == "__main__":
    from tflottery.studies import program

    program.run(f"tflottery.experiments.{_ASKED['experiment']}")
