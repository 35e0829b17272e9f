"""What a command's log tells: since when it is at work, how far it is, what it said."""

import dataclasses
import datetime
import re
from collections.abc import Sequence

# As `execution.log` writes them, and `execution.progress` what it tells each minute.
_RECORD = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)  ", re.MULTILINE)
_PROGRESS = re.compile(r"([\d.]+)% done, ([\d,]+) of [\d,]+ iterations, ")
# What a command notes first of all, from `studies.session.own_command`.
_COMMAND = re.compile(r"python3? ")


@dataclasses.dataclass(frozen=True)
class Record:
    """What was told at a time; several lines where it has them."""

    time: datetime.datetime
    text: str


@dataclasses.dataclass(frozen=True)
class Told:
    """What the newest command of a log has told, with the command line first."""

    records: tuple[Record, ...]

    @property
    def command(self) -> Record:
        """The command line, and when it began."""
        return self.records[0]

    @property
    def progress(self) -> Record | None:
        """How far it is, as it said last; None before the first minute is over."""
        return self._progress[-1] if self._progress else None

    @property
    def same_since(self) -> datetime.datetime | None:
        """Since when it tells the same progress; None where it has told none."""
        since = None
        for one in reversed(self._progress):
            if _reached(one) != _reached(self._progress[-1]):
                break
            since = one.time
        return since

    @property
    def _progress(self) -> list[Record]:
        """All that it said of its progress."""
        return [one for one in self.records if _reached(one) is not None]


def _reached(record: Record) -> tuple[str, ...] | None:
    """Returns how far a record says that it is: percent, and iterations made."""
    match = _PROGRESS.match(record.text)
    return match.groups() if match else None


def told(text: str) -> Told | None:
    """Returns what the newest command of a log has told; None where there is none."""
    found = _records(text)
    begins = [place for place, one in enumerate(found) if _COMMAND.match(one.text)]
    return Told(tuple(found[begins[-1] if begins else 0 :])) if found else None


def _records(text: str) -> Sequence[Record]:
    """Returns the records of a log, in order."""
    starts = list(_RECORD.finditer(text))
    ends = [*(one.start() for one in starts[1:]), len(text)][: len(starts)]
    return [
        Record(
            datetime.datetime.fromisoformat(start[1]), text[start.end() : end].rstrip()
        )
        for start, end in zip(starts, ends, strict=True)
    ]
