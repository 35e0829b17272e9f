"""How a report is a program: what it says is printed, and saved where users want it."""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from absl import app
from etils import epath

from tflottery.core import command_line, paths

# Of a damaged table.
WHAT_TO_DO = (
    "The same command writes the tables of its folder anew, from what is in its store."
)


def run(
    report: Callable[[Sequence[str]], str],
    *,
    refused: tuple[type[Exception], ...] = (ValueError, OSError),
) -> None:
    """Runs a report whose flags are defined: parses them, prints what it says, exits.

    Args:
      report: from the program's arguments, its name first, to what it says.
      refused: what it raises of wrong input, told in a line of text.
    """
    _run(lambda arguments: (report(arguments), {}), refused=refused)


def run_on_tables(
    report: Callable[[Sequence[str]], tuple[str, Mapping[str, str]]],
) -> None:
    """Runs as `run` a report on tables; exits with 1 if it left out damaged ones.

    Args:
      report: from the program's arguments to what it says, and what is wrong with the
        tables that are not in it, by path.
    """
    _run(report, refused=(ValueError, OSError))


def _run(
    report: Callable[[Sequence[str]], tuple[str, Mapping[str, str]]],
    *,
    refused: tuple[type[Exception], ...],
) -> None:
    def told(arguments: Sequence[str]) -> int:
        try:
            text, damaged = report(arguments)
        except refused as error:
            print(f"error: {error}", file=sys.stderr)
            return command_line.WRONG_INPUT
        command_line.tell(text)
        if not damaged:
            return 0
        for why in damaged.values():
            print(f"left out: {why}", file=sys.stderr)
        print(WHAT_TO_DO, file=sys.stderr)
        return command_line.INCOMPLETE

    app.run(told, flags_parser=command_line.parsed)


def path_of(output: str, *, endings: Sequence[str]) -> epath.Path:
    """Returns the path that --output names.

    Raises:
      ValueError: it has none of the endings, or cannot be written, as far as that is
        known before anything is there to write.
    """
    path = epath.Path(paths.expanded(output))
    if path.suffix not in endings:
        raise ValueError(f"--output={output!r} has to end in {' or '.join(endings)}.")
    if "://" not in str(path):
        _refuse_unwritable(pathlib.Path(path), output=output)
    return path


def _refuse_unwritable(path: pathlib.Path, *, output: str) -> None:
    """Raises ValueError if a file is a folder, or may not be written where it is."""
    whole = pathlib.Path(os.path.abspath(path))
    above = next(one for one in whole.parents if os.path.lexists(one))
    why = None
    if whole.is_dir():
        why = "it is a folder"
    elif not above.is_dir():
        why = f"{str(above)!r} is no folder"
    elif not os.access(whole if whole.exists() else above, os.W_OK):
        why = "permission denied"
    if why is not None:
        raise ValueError(f"--output={output!r} cannot be written: {why}. Name another.")


@contextlib.contextmanager
def writing(path: epath.Path, *, output: str) -> Iterator[None]:
    """Makes the folder of a file that is written within; errors name --output.

    Raises:
      ValueError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ValueError(
            f"--output={output!r} cannot be written: {error.strerror or error}. Name "
            "another."
        ) from error
