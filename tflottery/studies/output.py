"""The output folder: a CSV per table, config.json, figure.png and log.txt."""

import contextlib
import dataclasses
import json
import time
import types
import typing
from collections.abc import Iterator, Mapping, Sequence

from etils import epath

from tflottery.core import files, fingerprints, paths, recipes, tables
from tflottery.figures import facts, style
from tflottery.store import locks, manifests
from tflottery.studies import answers
from tflottery.studies.study import Study

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas

CONFIG_FILE, FIGURE_FILE, LOG_FILE = "config.json", "figure.png", "log.txt"
# Held while the folder is looked at and written, by whichever command does so.
_LOCK_FILE = ".lock"
# Held by a command from when the folder is its own to its end. A file that nobody holds
# is of a command that was killed.
RUNNING_FILE = ".running"
_PATIENCE_SECONDS, _POLL_SECONDS = 120.0, 0.05


class OutputError(ValueError):
    """The output folder cannot be written, or holds other results."""


@dataclasses.dataclass(frozen=True)
class Extent:
    """How much of what a command asks for its tables were made from.

    Attributes:
      made: artifacts that were read.
      diverged: artifacts that a diverged training keeps from being made.
      wanted: artifacts asked for.
      absent: artifacts that do not exist, or come from one that does not.
    """

    made: int
    diverged: int
    wanted: int
    absent: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether everything is known that can be known."""
        return self.made + self.diverged + self.absent == self.wanted


class Output:
    """Where an experiment's results go; holds no others.

    Attributes:
      name: of these results and no others, "experiment/configuration".
      folder: where they go.
    """

    def __init__(
        self,
        module: types.ModuleType,
        *studies: Study,
        folder: str | None,
        parent: str | None = None,
    ):
        """Args:
        module: the experiment.
        *studies: whose results they are; one, but for an experiment over networks.
        folder: the folder; None is one named after experiment and configuration.
        parent: in which folder that is, then; None: results.

        Raises:
          OutputError: the folder holds other results.
        """
        self._module = module
        self._studies = studies
        self._experiment = module.__name__.rsplit(".", 1)[-1]
        parent = paths.expanded(parent) if parent else "results"
        self.name = f"{self._experiment}/{_name(studies)}"
        default = epath.Path(parent, self.name)
        self.folder = epath.Path(paths.expanded(folder)) if folder else default
        self._check()

    def claim(self) -> None:
        """Makes the folder this study's: from now on no other may write there.

        Raises:
          OutputError: another command came first, or it cannot be written.
        """
        with self._alone():
            if not self._check():
                self._write_config(complete=False)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Lets others see, while a block works, that a command is at work here.

        Not where file systems have no locks, nor beside another command that is at
        the same.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                lock = locks.acquire(str(self.folder / RUNNING_FILE))
                stack.enter_context(lock or contextlib.nullcontext())
            yield

    def write(self, rows: Mapping[str, Sequence[object]], extent: Extent) -> bool:
        """Writes the tables, unless whole ones are there and these are not.

        A folder that was removed meanwhile is made again.

        Args:
          rows: by name of the table.
          extent: what they were made from; config.json tells it.

        Returns:
          Whether they were written.

        Raises:
          OutputError: the folder holds other results by now, or cannot be written.
        """
        with self._alone():
            theirs = self._check() or {}
            if theirs.get("complete") and not extent.is_complete:
                return False
            # Between the first table and the last one the folder is not whole.
            if theirs.get("complete") or not theirs:
                self._write_config(complete=False)
            for name, table in rows.items():
                path = self.folder / f"{name}.csv"
                tables.write(table, path, row_type=self._module.TABLES[name])
            self._write_config(complete=extent.is_complete, extent=extent)
        return True

    def frames(self) -> dict[str, "pandas.DataFrame"]:
        """Returns the tables as they were written; none before they all were.

        Raises:
          OutputError: the folder cannot be read.
        """
        csvs = {name: self.folder / f"{name}.csv" for name in self._module.TABLES}
        try:
            if not all(path.exists() for path in csvs.values()):
                return {}
            return {name: tables.read(path) for name, path in csvs.items()}
        except OSError as error:
            raise _unusable(self.folder, "read", error) from error

    def answer(self, frames: Mapping[str, "pandas.DataFrame"]) -> str:
        """Returns the experiment's answer in lines, "" where there is none yet."""
        return answers.text(self._module, frames)

    def figure(
        self, frames: Mapping[str, "pandas.DataFrame"]
    ) -> "matplotlib.figure.Figure | None":
        """Returns the figure of the tables; None where the experiment has none."""
        return style.in_default_style(lambda: self._figure(frames))

    def draw(self, frames: Mapping[str, "pandas.DataFrame"]) -> None:
        """Draws the figure from the tables, where the experiment has one.

        Raises:
          OutputError: the folder holds other results by now, or cannot be written.
        """
        image = style.png(lambda: self._figure(frames))
        with self._alone():
            self._check()
            if image is not None:
                files.write(self.folder / FIGURE_FILE, image)
            else:
                # What an earlier, incomplete end may have drawn.
                (self.folder / FIGURE_FILE).unlink(missing_ok=True)

    def _figure(
        self, frames: Mapping[str, "pandas.DataFrame"]
    ) -> "matplotlib.figure.Figure | None":
        """Draws the tables in whatever style is set."""
        draw = getattr(self._module, "figure", None)
        first = next(iter(self._module.TABLES))
        if draw is None or not len(frames[first]):
            return None
        said = self._description()
        return draw(
            {name: facts.with_facts(table, said) for name, table in frames.items()}
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Locks the folder against other commands; an OSError inside says which folder.

        File systems without locks go without: there each command still looks whose the
        folder is before it writes.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._lock() or contextlib.nullcontext():
                yield
        except OSError as error:
            raise _unusable(self.folder, "written", error) from error

    def _lock(self) -> locks.Lock | None:
        """Returns the folder's lock, waiting for it; None where there is none."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                lock = locks.acquire(str(self.folder / _LOCK_FILE))
            except OSError as error:
                if error.errno in locks.UNSUPPORTED:
                    return None
                raise
            if lock is not None:
                return lock
            time.sleep(_POLL_SECONDS)
        holder = locks.holder(str(self.folder / _LOCK_FILE)) or "another process"
        raise OutputError(
            f"--output_dir={str(self.folder)!r} is being written by {holder} for more "
            f"than {_PATIENCE_SECONDS:.0f} seconds. End it, or name another."
        )

    def _write_config(self, *, complete: bool, extent: Extent | None = None) -> None:
        """Writes config.json: what decided the results, and how whole they are."""
        said = self._description() | {"complete": complete}
        if extent is not None:
            said["artifacts"] = dataclasses.asdict(extent)
        files.write(
            self.folder / CONFIG_FILE, (json.dumps(said, indent=2) + "\n").encode()
        )

    def _check(self) -> dict[str, object] | None:
        """Returns what the folder's config.json says, None where it is free.

        Raises:
          OutputError: it is not free for this study, or cannot be read.
        """
        try:
            return self._found()
        except OSError as error:
            raise _unusable(self.folder, "read", error) from error

    def _found(self) -> dict[str, object] | None:
        """Returns what `_check` does."""
        _refuse_other_things(self.folder)
        path = self.folder / CONFIG_FILE
        if not path.exists():
            return None
        # Results of the same options may be added to, those of others not.
        theirs = _read(path)
        ours = self._description()
        wanted = {"experiment": ours["experiment"], **ours["decisions"]}
        decided = {
            "experiment": theirs.get("experiment"),
            **theirs.get("decisions", {}),
        }
        differing = sorted(
            f"{name}: {decided.get(name)!r} there, {wanted.get(name)!r} asked for"
            for name in decided.keys() | wanted.keys()
            if decided.get(name) != wanted.get(name)
        )
        if differing:
            raise OutputError(
                f"--output_dir={str(self.folder)!r} holds other results "
                f"({'; '.join(differing)}). Name another."
            )
        return theirs

    def _description(self) -> dict[str, object]:
        """Returns what decided the results, as config.json says it."""
        described = {study.name: _described(study) for study in self._studies}
        if len(self._studies) == 1:
            (parts,) = described.values()
        else:
            parts = {
                part: {name: one[part] for name, one in described.items()}
                for part in ("decisions", "recipe", "data")
            }
        return {
            "experiment": self._experiment,
            **parts,
            "environment": manifests.environment(),
        }


def validate_folder(folder: str | None) -> None:
    """Raises OutputError unless a folder may hold results, of whichever options.

    Args:
      folder: as it was given; None: it was not.
    """
    if folder is None:
        return
    path = epath.Path(paths.expanded(folder))
    try:
        _refuse_other_things(path)
    except OSError as error:
        raise _unusable(path, "read", error) from error


def _refuse_other_things(folder: epath.Path) -> None:
    """Raises OutputError if what lies at a path are no results."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"--output_dir={str(folder)!r} is no folder. Name another.")
    # Hidden files are what a killed process left, or the system's.
    shown = {one.name for one in folder.iterdir() if one.name[0] != "."}
    if shown - {LOG_FILE} and CONFIG_FILE not in shown:
        raise OutputError(
            f"--output_dir={str(folder)!r} is not empty and has no {CONFIG_FILE}: it "
            "is not a folder of results. Name another."
        )


def _unusable(folder: epath.Path, done: str, error: OSError) -> OutputError:
    """Returns the error to raise where the disk fails."""
    return OutputError(
        f"--output_dir={str(folder)!r} cannot be {done}: {error.strerror or error}. "
        "Name another."
    )


def _name(studies: Sequence[Study]) -> str:
    """Returns a name for the folder of these studies and no others."""
    names = [study.name for study in studies]
    if len(names) == 1:
        return names[0]
    return f"{len(names)}-networks-{fingerprints.fingerprint(names, length=8)}"


def _described(study: Study) -> dict[str, object]:
    """Returns what config.json says of a study."""
    return {
        "decisions": json.loads(json.dumps(study.decisions())),
        "recipe": json.loads(json.dumps(recipes.plain_values(study.recipe))),
        "data": fingerprints.fields(study.facts.data),
    }


def _read(path: epath.Path) -> dict[str, object]:
    """Returns what a config.json says.

    Raises:
      OutputError: it is none.
    """
    try:
        found = json.loads(path.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OutputError(
            f"{str(path)!r} is not a {CONFIG_FILE} that an experiment wrote. Remove it "
            "if the folder holds nothing of value, or name another --output_dir."
        )
    return found
