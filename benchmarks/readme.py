"""What the commands of README.md cost, beside what README.md says of it.

    python -m benchmarks.readme

Those of seconds and minutes are run, one after the other, in a folder and a store of
their own: wall seconds, and CPU seconds of all processes that a command starts, which
tell the same on a busy machine as on a quiet one. The others are planned, as
`benchmarks.costs` does, and compared with the hours of their rows. Commands that take
something of the reader's (a ticket, a module) are named and not run.
"""

import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time

from benchmarks import conditions, costs
from tflottery.plan.device_time import readable
from tflottery.training import process

_PAGE = "README.md"
# As a module, or the program that installing the package brings.
_MODULE = r"(?:\.venv/bin/)?python -m (tflottery\.[^`\n]*)"
_COMMAND = re.compile(rf"(?:`|&& )(?:{_MODULE}|(tflottery(?: [^`\n(]*)?))[`\n]")
_ROW = re.compile(
    r"\| `python -m tflottery\.experiments\.([^`]*)` \| ([^|]*) \| ([^|]*)"
)
_LONG = re.compile(r"tflottery\.experiments\..*--flagfile=")
_FOLDERS = ("TFLOTTERY_STORE", "TFLOTTERY_CACHE")
# A ticket, a module or results of the reader's.
_ASKS = re.compile(r"TICKET|tflottery\.check|--paper")


def commands(text: str) -> list[str]:
    """Returns what a page tells to type, each once, from `tflottery` on."""
    found = ((module or program).strip() for module, program in _COMMAND.findall(text))
    return list(dict.fromkeys(found))


def measured(command: str, folder: str) -> tuple[float, float, int]:
    """Returns wall seconds, CPU seconds and the exit code of a command.

    Args:
      command: from `tflottery` on.
      folder: where it is run, and keeps its store and cache.
    """
    program, *arguments = shlex.split(command)
    own = {name: os.path.join(folder, name.lower()) for name in _FOLDERS}
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=folder,
        env={**os.environ, **own, "PYTHONPATH": root},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.returncode


def main() -> None:
    """Prints a line for each command."""
    with open(_PAGE) as file:
        text = file.read()
    print(conditions.line())
    short = [one for one in commands(text) if not _LONG.match(one)]
    with tempfile.TemporaryDirectory() as folder:
        for command in short:
            if _ASKS.search(command):
                print(f"{'not run':>10}  {command}")
                continue
            wall, cpu, code = measured(command, folder)
            ended = f", exit code {code}" if code else ""
            print(f"{wall:8.1f} s wall, {cpu:6.1f} s CPU{ended}  {command}", flush=True)
    process.configure()
    for command, *said in _ROW.findall(text):
        _, hours = costs.cost_of(command)
        hours = hours.core_hours, hours.gpu_hours
        found = [readable(one).replace(",", "") for one in hours]
        said = [one.strip() for one in said]
        same = "as said" if found == said else f"README.md says {', '.join(said)}"
        print(f"{found[0]:>12} of a core, {found[1]:>12} of a GPU, {same}  {command}")


if __name__ == "__main__":
    main()
