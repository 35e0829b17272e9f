"""The processes of a command, found in /proc by a mark in their environment."""

import os
import pathlib
from collections.abc import Iterator

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# What a process that multiprocessing spawned has on its command line.
_SPAWNED = b"--multiprocessing-fork"
# What reading of a process raises that ends meanwhile.
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def marked(mark: str) -> Iterator[int]:
    """Yields the ids of processes with a text in their environment, orphans too."""
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # A zombie's environment is empty.
            if mark.encode() in (folder / "environ").read_bytes():
                yield int(folder.name)
        except _GONE:
            continue


def workers(parent: int) -> list[int]:
    """Returns the ids of the worker processes that a command started, ascending."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if _fields(int(folder.name))[1] != str(parent):
                continue
            if _SPAWNED in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except _GONE:
            continue
    return sorted(found)


def cpu_seconds(process: int) -> float:
    """Returns the processor time a process has used; 0.0 if it is gone."""
    try:
        user, system = _fields(process)[11:13]
    except _GONE:
        return 0.0
    return (int(user) + int(system)) / _TICKS_PER_SECOND


def _fields(process: int) -> list[str]:
    """Returns what /proc says of a process, from its state on."""
    text = pathlib.Path(f"/proc/{process}/stat").read_text()
    # The name in parentheses may hold anything.
    return text.rsplit(")", 1)[1].split()
