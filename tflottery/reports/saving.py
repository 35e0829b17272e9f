"""How a report is a program: what it says is printed, and saved where users want it."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

from absl import app
from etils import epath

from tflottery.core import command_line, paths


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

    def told(arguments: Sequence[str]) -> int:
        try:
            command_line.tell(report(arguments))
        except refused as error:
            print(f"error: {error}", file=sys.stderr)
            return command_line.WRONG_INPUT
        return 0

    app.run(told, flags_parser=command_line.parsed)


def path_of(output: str, *, endings: Sequence[str]) -> epath.Path:
    """Returns the path that --output names.

    Raises:
      ValueError: it has none of the endings.
    """
    path = epath.Path(paths.expanded(output))
    if path.suffix not in endings:
        raise ValueError(f"--output={output!r} has to end in {' or '.join(endings)}.")
    return path


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
