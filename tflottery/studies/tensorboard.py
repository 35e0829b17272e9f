"""What --tensorboard shows: trainings as they go on, and tables as they are known.

    DIR/training/MODEL-KEY/   loss and learning rate of a run that this command trains
    DIR/TABLE/SETTING/        what is measured, over iterations, levels or k

A setting is told by the columns in which rows differ; its steps are the iterations of a
table that has several, else its levels, else its k.
"""

import collections
import os
import re
import threading
from collections.abc import Mapping, Sequence

from tflottery.core import paths
from tflottery.execution.event_files import EventFile
from tflottery.execution.jobs import Advance
from tflottery.execution.log import Log
from tflottery.execution.plan import Step

_TABLE_FILE = "table"
# Of a table the first of these that differs is what its curves go along.
_STEPS = ("iteration", "level", "rewind_iteration")
# Columns of whole numbers that tell settings apart, beside all that are text.
_COUNTED = ("replicate", "data_order", "data_order_a", "data_order_b", *_STEPS)
# Texts that say where something lies.
_ADDRESSES = ("network", "network_a", "network_b", "final_network", "mask")
_UNFIT = re.compile(r"[^\w.,=+-]+")

Point = tuple[str, int, dict[str, float]]


class Board:
    """A folder for TensorBoard; of a command that names none, nothing happens.

    That a file cannot be written is said once; the work goes on without it.
    """

    def __init__(self, folder: str | None, *, log: Log):
        """Args:
        folder: where event files go; None: there are none.
        log: what cannot be written is told to.
        """
        self._folder = paths.expanded(folder) if folder else None
        self._log = log
        self._files: dict[str, EventFile] = {}
        self._shown: set[tuple[str, int, str, float]] = set()
        # Tables are shown from a thread of their own.
        self._writing = threading.Lock()

    def show_training(
        self, step: Step, iteration: int, values: Mapping[str, float]
    ) -> None:
        """Shows where a training is.

        Args:
          step: the job that trains.
          iteration: updates made of the run.
          values: loss and learning rate there.
        """
        if self._folder is None or not isinstance(step.job, Advance):
            return
        run = step.job.run
        name = f"training/{run.network.model}-{run.key[:8]}"
        # A run that goes on later has a file for each stretch.
        self._write(
            [(name, iteration, dict(values))], file=f"{os.getpid()}.{iteration}"
        )

    def show_tables(self, tables: Mapping[str, Sequence[object]]) -> None:
        """Shows what tables say by now that they did not say before.

        Args:
          tables: rows, dataclasses, by the name of the table.
        """
        if self._folder is None:
            return
        for name, rows in tables.items():
            self._write(points(name, rows), file=_TABLE_FILE)

    def _write(self, found: Sequence[Point], *, file: str) -> None:
        """Appends points to the files of their folders, each once."""
        with self._writing:
            for name, step, values in found:
                new = {
                    tag: value
                    for tag, value in values.items()
                    if (name, step, tag, value) not in self._shown
                }
                if not new or self._folder is None:
                    continue
                self._shown |= {(name, step, tag, value) for tag, value in new.items()}
                try:
                    self._file(name, file).write(step, new)
                except OSError as error:
                    self._log.say(
                        f"--tensorboard={self._folder!r} cannot be written ("
                        f"{error.strerror or error}); the rest is not shown there."
                    )
                    self._folder = None

    def _file(self, name: str, file: str) -> EventFile:
        """Returns the file that the points of a folder go into."""
        if name not in self._files:
            folder = os.path.join(self._folder, *name.split("/"))
            self._files[name] = EventFile(folder, file)
        return self._files[name]


def points(name: str, rows: Sequence[object]) -> list[Point]:
    """Returns what is measured in the rows of a table: folder, step, values by tag.

    A setting of which two rows have one step, such as the points of a line between two
    networks, has no curve, and is left out.

    Args:
      name: of the table.
      rows: dataclasses.
    """
    table = [vars(row) for row in rows]
    steps = [one for one in _STEPS if _differs(table, one)]
    step = next(iter(steps), None)
    told = [
        column
        for column in (table[0] if table else ())
        if column not in (*_ADDRESSES, step)
        and (column in _COUNTED or isinstance(table[0][column], str))
        and _differs(table, column)
    ]
    found, counted = [], collections.Counter()
    for row in table:
        setting = ",".join(_UNFIT.sub("-", f"{one}={row[one]}") for one in told)
        at = row[step] if step else row.get("iteration", 0)
        values = {
            column: value for column, value in row.items() if isinstance(value, float)
        }
        if at is not None and values:
            found.append((f"{name}/{setting or 'all'}", at, values))
            counted[found[-1][:2]] += 1
    twice = {setting for (setting, _), count in counted.items() if count > 1}
    return [point for point in found if point[0] not in twice]


def _differs(table: Sequence[Mapping[str, object]], column: str) -> bool:
    """Returns whether a column has several values."""
    return len({row.get(column) for row in table}) > 1
