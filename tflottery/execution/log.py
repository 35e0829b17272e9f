"""What is told to the user: on the terminal, and in a file that stays."""

import datetime
import os
import threading

from etils import epath
from rich import console as rich_console


class Log:
    """Prints lines on a terminal and, once it is given one, appends them to a file.

    That a file cannot be written is said once; the work goes on without it.
    """

    def __init__(self, console: rich_console.Console | None = None):
        """Args:
        console: where to print; None is standard error.
        """
        self.console = console or rich_console.Console(stderr=True)
        self._path: epath.Path | None = None
        self._waiting: list[str] = []
        self._writing = threading.RLock()

    def say(self, text: str) -> None:
        """Prints text as it is: brackets and colons are no markup, lines stay whole.

        Changes: the terminal, and the file.
        """
        self.console.print(
            text, markup=False, emoji=False, highlight=False, soft_wrap=True
        )
        self.keep(text)

    def keep(self, text: str) -> None:
        """Writes text into the file alone, with the time before it.

        Changes: the file.
        """
        now = datetime.datetime.now().isoformat(sep=" ", timespec="seconds")
        with self._writing:
            self._waiting.append(f"{now}  {text}\n")
            self._write()

    def keep_in(self, path: str | os.PathLike) -> None:
        """Appends all that was said so far, and all that will be, to a file."""
        with self._writing:
            self._path = epath.Path(path)
            self._write()

    def _write(self) -> None:
        """Writes the lines that have not been written yet, once there is a file."""
        if self._path is None:
            return
        lines, self._waiting = self._waiting, []
        try:
            # A folder that was removed meanwhile is made again.
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # In one go, so that lines of two commands do not mix.
            with self._path.open("ab") as file:
                file.write("".join(lines).encode(errors="backslashreplace"))
        except (OSError, ValueError, NotImplementedError) as error:
            # Some object stores have nothing that one can append to.
            path, self._path = self._path, None
            self.console.print(
                f"The log {str(path)!r} cannot be written ({error}); the rest is told "
                "here alone.",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
