"""Tells what a command is doing, from another terminal.

    python -m tflottery.status OUTPUT_DIR    of the command that writes its tables there
    python -m tflottery.status RESULTS       of each folder below, in a line
    python -m tflottery.status STORE         of all that work in a store on this machine

Whether it is running, has ended, was killed or is stuck, since when, how far it is, how
fast it goes and how long it will take, and what it said last. It only looks: at the log
of the output folder, at what its config.json says of the tables, and at locks, which
die with their process.
"""

import datetime
import json
import os
from collections.abc import Iterator, Sequence

from absl import flags
from etils import epath

from tflottery.core import paths
from tflottery.execution.estimate import readable
from tflottery.reports import saving
from tflottery.status import log_reader
from tflottery.status.log_reader import Told
from tflottery.store import addresses, locks
from tflottery.store.store import Store
from tflottery.studies.output import CONFIG_FILE, LOG_FILE, RUNNING_FILE

_DONE = "done"
# A command tells its progress each minute; after so long without a word it is stuck.
_SILENCE = datetime.timedelta(minutes=5)
# A job of many images may take as long between two of its reports.
_NO_PROGRESS = datetime.timedelta(minutes=15)


def status(name: str, *, num_lines: int, now: datetime.datetime) -> str:
    """Returns what there is to say about a folder of results, or a store.

    Args:
      name: of the folder.
      num_lines: of the log, the last ones, to tell.
      now: the time.

    Raises:
      ValueError: it is neither.
    """
    folder = epath.Path(paths.expanded(name))
    if (folder / LOG_FILE).exists():
        return "\n".join(_of_output(folder, num_lines=num_lines, now=now))
    if folder.is_dir() and any((folder / one).exists() for one in addresses.OF_A_STORE):
        return "\n".join(_of_store(Store(folder), now=now))
    if below := sorted(folder.glob(f"*/{LOG_FILE}")) + sorted(
        folder.glob(f"*/*/{LOG_FILE}")
    ):
        return "\n".join(_line(log.parent, now=now) for log in below)
    raise ValueError(
        f"{name!r} is no folder of results, with a {LOG_FILE}, and no store. Name what "
        "--output_dir or --store of the command say, or the folder in results/."
    )


def _line(folder: epath.Path, *, now: datetime.datetime) -> str:
    """Returns in a line what the command of a folder is doing."""
    told = _told(folder)
    progress = told and told.progress
    ended = _state(folder, told, now=now)
    if progress is None or not ended.startswith("running"):
        return f"{folder}: {ended}"
    return f"{folder}: {ended}, {progress.text}"


def _told(folder: epath.Path) -> Told | None:
    """Returns what the log of a folder tells of its newest command."""
    # A full disk may have cut a letter in two.
    return log_reader.told((folder / LOG_FILE).read_bytes().decode(errors="replace"))


def _of_output(
    folder: epath.Path, *, num_lines: int, now: datetime.datetime
) -> Iterator[str]:
    """Yields lines on the command that writes into a folder."""
    told = _told(folder)
    state = _state(folder, told, now=now)
    yield str(folder)
    yield f"  state     {state}"
    if told is None:
        return
    yield f"  command   {told.command.text}"
    began = told.command.time
    if _holder(folder) is not None:
        yield f"  since     {began} ({readable((now - began).total_seconds())})"
    else:
        last = told.records[-1].time
        took = readable((last - began).total_seconds())
        yield f"  from      {began} to {last} ({took})"
    # What it last told is passed by then.
    if told.progress is not None and state != _DONE:
        age = readable((now - told.progress.time).total_seconds())
        yield f"  progress  {told.progress.text} ({age} ago)"
    if known := _tables(folder):
        yield f"  tables    {known}"
    said = [
        f"{record.time:%H:%M:%S}  {line}"
        for record in told.records[1:]
        for line in record.text.splitlines()
    ]
    if said and num_lines:
        yield f"  last lines of {LOG_FILE}"
        yield from (f"    {line}" for line in said[-num_lines:])


def _state(folder: epath.Path, told: Told | None, *, now: datetime.datetime) -> str:
    """Returns whether the command of a folder is running, in words."""
    holder = _holder(folder)
    if holder is not None and told is not None:
        silent = now - told.records[-1].time
        if silent > _SILENCE:
            return (
                f"stuck or suspended: {holder} is there, without a word for "
                f"{readable(silent.total_seconds())}"
            )
        since = told.same_since
        if since is not None and now - since > _NO_PROGRESS:
            waited = readable((now - since).total_seconds())
            return f"running, {holder}, without progress for {waited}"
        return f"running, {holder}"
    if (folder / RUNNING_FILE).exists():
        return "killed: it did not come to its end. The same command goes on"
    if _config(folder).get("complete"):
        return _DONE
    return "ended before all was made. The same command goes on"


def _holder(folder: epath.Path) -> str | None:
    """Returns who is at work for a folder ("process 12 on host a"); None: nobody."""
    path = os.fspath(folder / RUNNING_FILE)
    try:
        return (locks.holder(path) or "a process") if locks.is_held(path) else None
    except OSError:
        return None


def _config(folder: epath.Path) -> dict[str, object]:
    """Returns what config.json says; nothing where it is being written."""
    try:
        return json.loads((folder / CONFIG_FILE).read_text())
    except (OSError, ValueError):
        return {}


def _tables(folder: epath.Path) -> str:
    """Returns what the tables are made from by now; "" before there are any."""
    extent = _config(folder).get("artifacts")
    if not extent:
        return ""
    return f"of {extent['made']:,} of {extent['wanted']:,} artifacts"


def _of_store(store: Store, *, now: datetime.datetime) -> Iterator[str]:
    """Yields lines on all that is being made for a store, by what asks for it."""
    jobs, commands = store.jobs_at_work(), store.commands_at_work()
    yield f"Store {store.root}"
    if not jobs and not commands:
        yield "  Nobody on this machine is at work in it."
    # One that is between two jobs is there as well.
    by_command: dict[str, list[str]] = {
        _command_of(one.pid, is_worker=False): [] for one in commands
    }
    for job, lock in jobs.items():
        age = readable(now.timestamp() - lock.since)
        line = f"    {job}, {lock.holder}, for {age}"
        by_command.setdefault(_command_of(lock.pid), []).append(line)
    for command, lines in by_command.items():
        yield f"  {command}"
        yield from lines


def _command_of(pid: int | None, *, is_worker: bool = True) -> str:
    """Returns the command that a process belongs to, and where it runs.

    Args:
      pid: of a worker, or of one that does all by itself; or of a command.
      is_worker: whether it may be a worker, whose parent is meant.
    """
    try:
        # The fourth field, after a name in brackets that may hold anything.
        with open(f"/proc/{pid}/stat") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        for one in (parent, pid) if is_worker else (pid,):
            with open(f"/proc/{one}/cmdline") as file:
                words = file.read().split("\0")
            if any("tflottery" in word for word in words):
                where = os.readlink(f"/proc/{one}/cwd")
                return f"{' '.join(words).strip()}  (process {one}, in {where})"
    except (OSError, ValueError, IndexError):
        pass
    return "a command that cannot be seen from here"


def _tell(arguments: Sequence[str]) -> str:
    """Returns what the command line asks for."""
    if len(arguments) < 2:
        raise ValueError("Name a folder of results, or a store. See --help.")
    num_lines = flags.FLAGS["lines"].value
    if num_lines < 0:
        raise ValueError(f"--lines={num_lines} has to be at least 0.")
    now = datetime.datetime.now().replace(microsecond=0)
    return "\n\n".join(
        status(one, num_lines=num_lines, now=now) for one in arguments[1:]
    )


def main() -> None:
    """Runs the tool as a program: defines its flags, parses them, exits."""
    flags.DEFINE_integer("lines", 8, "of the log, the last ones, to tell")
    saving.run(_tell)


if __name__ == "__main__":
    main()
