"""Command lines: what asks for help, what holds flags, and what is wrong with one."""

import os
import pathlib
import re
import sys
import textwrap
from collections.abc import Sequence

from absl import flags

import tflottery

# Exit codes: a part of what was asked for is missing; for input that is refused.
INCOMPLETE, WRONG_INPUT = 1, 2
_FLAGFILE = "--flagfile"
_WIDTH = 88
_HELP = ("--help", "-help", "-h", "-?", "--helpfull", "--helpshort")


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Returns whether a command line asks for help."""
    return any(one in _HELP for one in arguments[1:])


def parsed(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments that are no flags; help, or a wrong flag, ends the program.

    Help is what the program says of itself, with the flags that it defines.
    """
    if asks_for_help(arguments):
        tell(_manual(arguments[0]))
        sys.exit(0)
    try:
        return flags.FLAGS(with_flag_files(arguments))
    except flags.Error as error:
        print(f"error: {explained(error, flags.FLAGS)} See --help.", file=sys.stderr)
        sys.exit(WRONG_INPUT)


def described(name: str, help_: str, default: object, *, switch: bool) -> list[str]:
    """Returns the lines on an option, for --help.

    Args:
      name: of the option.
      help_: what is said of it.
      default: its value where it is not given; None, False and nothing are not told.
      switch: whether it is on or off.
    """
    if isinstance(default, tuple | list):
        default = ",".join(map(str, default)) or None
    shown = "" if default in (None, False) else f" (default: {default})"
    return textwrap.wrap(
        f"--{f'[no]{name}' if switch else name}: {help_}{shown}",
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _manual(program: str) -> str:
    """Returns what a program says of itself, and its flags."""
    lines = []
    for flag in flags.FLAGS.get_key_flags_for_module(program):
        lines += described(flag.name, flag.help, flag.default, switch=flag.boolean)
    text = (sys.modules["__main__"].__doc__ or "").strip()
    return "\n\n".join([text, *(["\n".join(["Options:", *lines])] if lines else [])])


def with_flag_files(arguments: Sequence[str]) -> list[str]:
    """Returns a command line that finds the package's own flag files from anywhere."""
    prefix = f"{_FLAGFILE}="
    return [
        prefix + own_file(one.removeprefix(prefix)) if one.startswith(prefix) else one
        for one in arguments
    ]


def own_file(name: str) -> str:
    """Returns a path; of one of the package's files that where it lies.

    They are named as in a clone, configs/lottery/quick.flags; a file of that name in
    the current folder goes first.
    """
    own = pathlib.Path(tflottery.__file__).parent / name
    is_named = name.startswith("configs/") and not pathlib.Path(name).exists()
    return str(own) if is_named and own.is_file() else name


def tell(text: str) -> bool:
    """Prints what a program was asked for; returns whether somebody reads it.

    Changes: where a reader such as `head` has left, standard output leads nowhere.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def refuse_arguments(arguments: Sequence[str]) -> None:
    """Raises ValueError if a command line holds more than flags."""
    if len(arguments) > 1:
        raise ValueError(
            f"{arguments[1]!r} is not a flag: flags begin with --. See --help."
        )


def explained(error: flags.Error, values: flags.FlagValues) -> str:
    """Returns what is wrong with a flag, in the words of other refusals.

    Args:
      error: what absl raised.
      values: the flags that there are.
    """
    if isinstance(error, flags.CantOpenFlagFileError):
        reason = str(error).rpartition("] ")[2]
        return f"{_FLAGFILE} cannot be read: {reason}."
    if isinstance(error, flags.UnrecognizedFlagError):
        meant = re.search(r"Did you mean: (.+) \?", str(error))
        names = [f"--{name}" for name in meant[1].split(", ")] if meant else []
        suggested = f" Did you mean {' or '.join(names)}?" if names else ""
        return f"There is no flag --{error.flagname}.{suggested}"
    wrong = re.match(r"flag --(\w+)=(.*?): ", str(error), re.DOTALL)
    if not isinstance(error, flags.IllegalFlagValueError) or wrong is None:
        return str(error)
    flag = values[wrong[1]]
    if isinstance(flag, flags.EnumFlag):
        known = ", ".join(flag.parser.enum_values)
        return f"--{wrong[1]}={wrong[2]!r} has to be one of {known}."
    kind = flag.flag_type()
    expected = {"int": "a whole number", "float": "a number", "bool": "true or false"}
    if kind not in expected:
        return str(error)
    return f"--{wrong[1]}={wrong[2]!r} has to be {expected[kind]}."
