"""From artifacts to tables: whole at the end of a command, what is known before.

A table at the end is made from every artifact that the command asked for, or from
knowing that it cannot be made. What is known is written every few minutes, at a stop
and at an incomplete end, and marked in config.json.
"""

import contextlib
import math
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator, Sequence

from tflottery.components.component import Artifact
from tflottery.execution.log import Log
from tflottery.execution.results_reader import (
    PartialReader,
    ReadingStopped,
    ResultsReader,
)
from tflottery.execution.unobtainable import Unobtainable, num_absent
from tflottery.store.errors import DamagedArtifact, MissingArtifact, StoreError
from tflottery.store.store import Store
from tflottery.studies.output import Extent, Output, OutputError
from tflottery.studies.study import Study
from tflottery.studies.tensorboard import Board

# A goal that was made, and is not there when tables are.
Loss = DamagedArtifact | MissingArtifact

# Between two writings of what is known, and how many times as long as a writing took.
_PAUSE_SECONDS, _PAUSE_FACTOR = 300.0, 50.0


def pause_after(seconds: float) -> float:
    """Returns how long to wait before the next writing of what is known.

    Args:
      seconds: that the last one took.
    """
    return max(_PAUSE_SECONDS, _PAUSE_FACTOR * seconds)


@contextlib.contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Has work done in a thread of its own during a block, which waits for its end.

    Args:
      work: is given what is set when the block has ended.
    """
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(ended,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Tabulation:
    """Makes the tables of a command from its goals, and has them written.

    Attributes:
      written: what the tables were made from that were made last, if any were.
    """

    def __init__(
        self,
        module: types.ModuleType,
        studies: Sequence[Study],
        *,
        goals: Sequence[Artifact],
        store: Store,
        output: Output,
        log: Log,
        board: Board,
    ):
        """Args:
        module: the experiment.
        studies: whose tables they are.
        goals: all that the tables are made from.
        store: holds what is made.
        output: where tables go.
        log: what cannot be written is told to.
        board: shows what tables say.
        """
        self._module = module
        self._studies = studies
        self._goals = {goal.address: goal for goal in goals}
        self._store = store
        self._output = output
        self._log = log
        self._board = board
        self._whole: tuple[dict[str, list], Extent] | None = None
        # What a thread beside the work has verified is no business of the end's.
        self._store_for_updates = Store(store.root)
        self._gave_up = False
        self.written: Extent | None = None

    def collect(self, unobtainable: Unobtainable) -> list[Loss]:
        """Makes the tables of all goals, for `write`, if no more can be made.

        Args:
          unobtainable: as of `ResultsReader`.

        Returns:
          Which goals are missing or damaged; there are no whole tables then.

        Raises:
          MissingArtifact: rows ask for what is no goal.
        """
        reader = ResultsReader(self._store, unobtainable=unobtainable)
        try:
            tables = self._tables(reader)
        except (MissingArtifact, DamagedArtifact) as error:
            lost = self._lost(reader)
            if isinstance(error, DamagedArtifact):
                # Set aside by now, so that the look at all goals finds it missing.
                lost[error.address] = error
            if lost:
                return list(lost.values())
            # Another process has made it again meanwhile.
            tables = self._tables(reader)
        num_made = len(self._goals.keys() - unobtainable.keys())
        self._whole = tables, self._extent(num_made, unobtainable)
        return []

    def write(self, unobtainable: Unobtainable, *, seconds: float = math.inf) -> str:
        """Writes the tables that were collected, else those of what is known.

        Args:
          unobtainable: as of `ResultsReader`, as far as it is known.
          seconds: for how long to read what is known; if that is not enough, the
            tables of the last few minutes stay.

        Returns:
          What there is to say about it.

        Raises:
          OutputError: the output folder does not take them.
        """
        deadline = time.monotonic() + seconds
        reader = PartialReader(
            self._store,
            unobtainable=unobtainable,
            stopping=lambda: time.monotonic() > deadline,
        )
        try:
            tables, extent = self._whole or self._known(reader, unobtainable)
        except ReadingStopped:
            return (
                f"Reading what is known takes more than {seconds:.0f} seconds: tables "
                f"in {self._output.folder} are those of the last minutes, if any."
            )
        written = self._output.write(tables, extent)
        self.written = extent
        self._board.show_tables(tables, of=self._output.name)
        if extent.is_complete:
            return f"Results are in {self._output.folder}"
        known = f"{extent.made:,} of {extent.wanted:,} artifacts"
        if written:
            return f"Tables of what is known ({known}) are in {self._output.folder}"
        return (
            f"The whole tables of an earlier command stay in {self._output.folder}; "
            f"now {known} are there."
        )

    def kept_up(
        self, unobtainable: Callable[[], Unobtainable]
    ) -> contextlib.AbstractContextManager[None]:
        """Writes what is known every few minutes while the block works.

        In a thread of its own, which takes up a fiftieth of the time at most.

        Args:
          unobtainable: returns what is known to be so by now.
        """
        return beside(lambda ended: self._keep_up(unobtainable, ended))

    def _keep_up(
        self, unobtainable: Callable[[], Unobtainable], ended: threading.Event
    ) -> None:
        """Writes what is known again and again, until the work has ended."""
        pause = _PAUSE_SECONDS
        while not ended.wait(pause):
            started = time.monotonic()
            self.update(unobtainable(), stopping=ended.is_set)
            pause = pause_after(time.monotonic() - started)

    def update(
        self, unobtainable: Unobtainable, *, stopping: Callable[[], bool]
    ) -> None:
        """Writes the tables of what is known by now; tells what keeps it from that.

        Args:
          unobtainable: as of `ResultsReader`, as far as it is known.
          stopping: whether to leave it.
        """
        if self._gave_up:
            return
        reader = PartialReader(
            self._store_for_updates, unobtainable=unobtainable, stopping=stopping
        )
        try:
            tables, extent = self._known(reader, unobtainable)
            self._output.write(tables, extent)
            self.written = extent
            self._board.show_tables(tables, of=self._output.name)
        except ReadingStopped:
            pass
        except (OutputError, StoreError) as error:
            # The end tells for good; until then a full disk may get room again.
            self._log.say(f"Tables of what is known were not written: {error}")
        except Exception:
            # Never worth the work that goes on beside it.
            self._gave_up = True
            reason = traceback.format_exc()
            self._log.say(f"Tables of what is known were not written: {reason}")

    def _known(
        self, reader: PartialReader, unobtainable: Unobtainable
    ) -> tuple[dict[str, list], Extent]:
        """Returns the tables of what is there, and how much that is.

        Raises:
          ReadingStopped: the reader was asked to.
        """
        tables = self._tables(reader)
        for damage in reader.damage:
            self._log.say(str(damage))
        return tables, self._extent(len(reader.found), unobtainable)

    def _extent(self, num_made: int, unobtainable: Unobtainable) -> Extent:
        """Returns how much of the goals is made, and is known not to be made ever."""
        lacking = self._goals.keys() & unobtainable.keys()
        absent = num_absent({one: unobtainable[one] for one in lacking})
        return Extent(num_made, len(lacking) - absent, len(self._goals), absent)

    def _tables(self, reader: ResultsReader) -> dict[str, list]:
        """Returns the rows of every table, of all studies."""
        tables: dict[str, list] = {name: [] for name in self._module.TABLES}
        for study in self._studies:
            for name, rows in self._module.rows(study, reader).items():
                tables[name] += rows
        return tables

    def _lost(self, reader: ResultsReader) -> dict[str, StoreError]:
        """Returns which goals are missing or damaged, by address.

        Changes: damaged ones are set aside.
        """
        lost = {}
        for address, goal in self._goals.items():
            try:
                reader.read(goal, lambda folder: None)
            except (MissingArtifact, DamagedArtifact) as error:
                lost[address] = error
        return lost
