"""What --tensorboard shows: trainings as they go on, and tables as they are known.

    DIR/training/MODEL-KEY/                         loss and learning rate of a run
    DIR/EXPERIMENT/CONFIGURATION/TABLE/SETTING/     what is measured

A setting is told by the columns in which rows differ; its steps are the iterations of a
table that has several, else its levels, else its k. Commands may share a folder.

A run that goes on, or begins again at a checkpoint, is shown from where its curve ends:
it is the same run. A table is shown as it is by now. What it said before goes, since
means are over more networks by then, and settings may be told by more columns.
"""

import collections
import contextlib
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence

from tflottery.core import paths
from tflottery.execution import event_files
from tflottery.execution.event_files import EventFile
from tflottery.execution.log import Log
from tflottery.execution.plan import Step

# Of a table the first of these that differs is what its curves go along.
_STEPS = ("iteration", "level", "rewind_iteration")
# Columns of whole numbers that tell settings apart, beside all that are text.
_COUNTED = ("replicate", "data_order", "data_order_a", "data_order_b", *_STEPS)
# Texts that say where something lies.
_ADDRESSES = ("network", "network_a", "network_b", "final_network", "mask")
_UNFIT = re.compile(r"[^\w.,=+-]+")

# A setting; a step; values by tag.
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
        # Of a run the file it is shown in, and how far it is shown.
        self._files: dict[str, EventFile] = {}
        self._newest: dict[str, int] = {}
        # What the folder of a setting says by now.
        self._shown: dict[str, list[tuple[int, dict[str, float]]]] = {}
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
        if not step.trains:
            return
        run = step.run
        with self._each_written() as folder:
            if folder is None:
                return
            path = os.path.join(
                folder, "training", f"{run.network.model}-{run.key[:8]}"
            )
            if path not in self._files:
                self._files[path] = EventFile(path)
                self._newest[path] = event_files.newest_step(path)
            if iteration > self._newest[path]:
                self._files[path].write((iteration, values))
                self._newest[path] = iteration

    def show_tables(self, tables: Mapping[str, Sequence[object]], *, of: str) -> None:
        """Shows what tables say by now, and no longer what they said before.

        Args:
          tables: rows, dataclasses, by the name of the table.
          of: whose they are: names of folders, "experiment/configuration".
        """
        with self._each_written() as folder:
            if folder is None:
                return
            for name, rows in tables.items():
                self._show_table(os.path.join(folder, of, name), points(rows))

    def _show_table(self, folder: str, found: Sequence[Point]) -> None:
        """Makes the folders of a table's settings say what is measured by now."""
        curves: dict[str, list[tuple[int, dict[str, float]]]] = {}
        for setting, step, values in found:
            curves.setdefault(os.path.join(folder, setting), []).append((step, values))
        for path, curve in curves.items():
            if self._shown.get(path) != curve:
                before = event_files.files(path)
                EventFile(path).write(*sorted(curve, key=lambda point: point[0]))
                _remove(before)
                self._shown[path] = curve
        # What settings were called when less was known.
        others = os.listdir(folder) if os.path.isdir(folder) else ()
        for path in {os.path.join(folder, one) for one in others} - curves.keys():
            _remove(event_files.files(path))
            self._shown.pop(path, None)
            with contextlib.suppress(OSError):
                os.rmdir(path)

    @contextlib.contextmanager
    def _each_written(self) -> Iterator[str | None]:
        """Gives the folder to a block, alone; the first error there is the last."""
        with self._writing:
            try:
                yield self._folder
            except OSError as error:
                self._log.say(
                    f"--tensorboard={self._folder!r} cannot be written ("
                    f"{error.strerror or error}); the rest is not shown there."
                )
                self._folder = None


def points(rows: Sequence[object]) -> list[Point]:
    """Returns what is measured in the rows of a table: setting, step, values by tag.

    A setting of which two rows have one step, such as the points of a line between two
    networks, has no curve, and is left out.

    Args:
      rows: dataclasses.
    """
    table = [vars(row) for row in rows]
    steps = [one for one in _STEPS if _differs(table, one)]
    step = next(iter(steps), None)
    told = [
        column
        for column in (table[0] if table else ())
        if column not in (*_ADDRESSES, step)
        and (column in _COUNTED or any(isinstance(row[column], str) for row in table))
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
            found.append((setting or "all", at, values))
            counted[found[-1][:2]] += 1
    twice = {setting for (setting, _), count in counted.items() if count > 1}
    return [point for point in found if point[0] not in twice]


def _differs(table: Sequence[Mapping[str, object]], column: str) -> bool:
    """Returns whether a column has several values."""
    return len({row.get(column) for row in table}) > 1


def _remove(paths: Sequence[str]) -> None:
    """Removes files, which another command may have removed by now."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
