"""The program behind every experiment: flags in, exit code out.

Flags are defined here and nowhere else, one per field of the experiment's Config and
one per field of `Machine`; `manual` is what --help prints of them.
"""

import dataclasses
import importlib
import importlib.util
import pkgutil
import signal
import sys
import types
import typing
from collections.abc import Callable, Sequence

from absl import app, flags

from tflottery.core import command_line, environment, stopping, training_hosts
from tflottery.core.durations import Duration
from tflottery.core.environment import SetupError
from tflottery.execution import ray_calls
from tflottery.execution.questions import WorkerFailed
from tflottery.execution.stop_request import say
from tflottery.store.errors import StoreError
from tflottery.studies import endings, manual, multi_worker_session, session
from tflottery.studies.config import Config
from tflottery.studies.session import Machine
from tflottery.training import distribution

_PACKAGE = "tflottery.experiments"


def run(module_name: str) -> None:
    """Runs an experiment as a program: defines its flags, parses them, exits.

    Args:
      module_name: full name of the experiment's module.

    Changes: as `stoppable`.
    """
    stoppable(lambda: _run(module_name))


def stoppable(main: Callable[[], None]) -> None:
    """Runs a program that goes on where it was stopped, and tells how.

    Args:
      main: the program; it exits.

    Changes: how this process handles the signals that ask it to stop.
    """
    stopping.handle(stopping.interrupt)
    try:
        main()
    except KeyboardInterrupt as interrupt:
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        say(f"Stopped. To go on:\n  {session.own_command()}")
        ray_calls.end_if_cut_off(stopping.exit_code(number))
        sys.exit(stopping.exit_code(number))
    except SystemExit as ending:
        ray_calls.end_if_cut_off(ending.code)
        raise
    finally:
        # What is left is the end of the interpreter, with the exit code as it is.
        stopping.hold_back()


def _run(module_name: str) -> None:
    """Defines flags, parses them, executes, exits."""
    # First, because libraries read it while they are imported.
    set_aside = environment.fix(training_hosts.kept_variables())
    module = importlib.import_module(module_name)
    if command_line.asks_for_help(sys.argv):
        sys.exit(exit_code_of(lambda: _help(module), set_aside=()))
    for options in (module.Config, Machine):
        define_flags(options, flags.FLAGS, program=sys.argv[0])
    app.run(
        lambda arguments: _main(module, arguments, set_aside=set_aside),
        flags_parser=command_line.parsed,
    )


def _help(module: types.ModuleType) -> int:
    """Prints the manual of an experiment; returns the exit code."""
    command_line.tell(manual.text(module, Machine, sys.argv))
    return 0


def _main(
    module: types.ModuleType, arguments: Sequence[str], *, set_aside: Sequence[str]
) -> int:
    """Executes an experiment with the flags given; returns the exit code."""

    def execute() -> int:
        command_line.refuse_arguments(arguments)
        config, machine = (
            from_flags(options, flags.FLAGS) for options in (module.Config, Machine)
        )
        together = machine.distribute == distribution.MULTI_WORKER
        alone_or_together = multi_worker_session if together else session
        return alone_or_together.execute(module, config, machine=machine)

    return exit_code_of(execute, set_aside=set_aside)


def exit_code_of(execute: Callable[[], int], *, set_aside: Sequence[str]) -> int:
    """Returns the exit code of a program, having told why it ended early, if it did.

    Args:
      execute: does the work, and returns the exit code.
      set_aside: variables of the environment that are not heeded.
    """
    if set_aside:
        print(
            f"Environment variables not heeded, since results may not depend on them: "
            f"{', '.join(set_aside)}.",
            file=sys.stderr,
        )
    try:
        return execute()
    except (ValueError, StoreError, OSError, SetupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return command_line.WRONG_INPUT
    except WorkerFailed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return endings.INCOMPLETE


def define_flags(options: type, values: flags.FlagValues, *, program: str) -> None:
    """Defines a flag for every field of a dataclass of options.

    Changes: `values`.
    """
    types_of = typing.get_type_hints(options)
    for field in dataclasses.fields(options):
        kinds = {int: flags.DEFINE_integer, float: flags.DEFINE_float}
        kinds |= {bool: flags.DEFINE_bool, str: flags.DEFINE_string}
        kind = _kind(types_of[field.name])
        define, default = kinds.get(kind, flags.DEFINE_string), field.default
        if kind is tuple:
            define = flags.DEFINE_list
            default = default and list(default)
        define(
            field.name,
            default,
            field.metadata["help"],
            flag_values=values,
            module_name=program,
        )


def experiment(name: str) -> types.ModuleType:
    """Returns the module of an experiment.

    Args:
      name: such as "lottery"; of one outside of the package that of its module.

    Raises:
      ValueError: there is none of that name.
    """
    package = importlib.util.find_spec(_PACKAGE).submodule_search_locations
    known = sorted(found.name for found in pkgutil.iter_modules(package))
    full = f"{_PACKAGE}.{name}" if name in known else name
    try:
        module = importlib.import_module(full)
    except ModuleNotFoundError as error:
        # What a module lacks is its own trouble.
        if error.name is None or not f"{full}.".startswith(f"{error.name}."):
            raise
        module = None
    if not all(hasattr(module, one) for one in ("Config", "TABLES", "plan", "rows")):
        raise ValueError(
            f"There is no experiment {name!r}. Known: {', '.join(known)}, and modules "
            "of your own by their names."
        )
    return module


def options_of(
    module: types.ModuleType, arguments: Sequence[str]
) -> tuple[Config, Machine]:
    """Returns what a command line asks an experiment for, and where and how.

    Args:
      module: the experiment.
      arguments: as for `flags_of`.

    Raises:
      ValueError: as `flags_of` and `from_flags`.
    """
    values = flags_of(module, arguments)
    return from_flags(module.Config, values), from_flags(Machine, values)


def flags_of(module: types.ModuleType, arguments: Sequence[str]) -> flags.FlagValues:
    """Returns the flags of an experiment as a command line has them.

    Args:
      module: the experiment.
      arguments: flags as they are typed, --flagfile among them.

    Raises:
      ValueError: there is no such flag or no such file, a text is no such number as a
        flag holds, or no flag.
    """
    values = flags.FlagValues()
    for options in (module.Config, Machine):
        define_flags(options, values, program=module.__name__)
    typed = command_line.with_flag_files(arguments)
    try:
        command_line.refuse_arguments(values([module.__name__, *typed]))
    except flags.Error as error:
        raise ValueError(command_line.explained(error, values)) from error
    return values


def _kind(annotation: object) -> type:
    """Returns the type of an option that is not None; a duration is text."""
    if annotation == Duration:
        return str
    members = [one for one in typing.get_args(annotation) if one is not type(None)]
    if typing.get_origin(annotation) is tuple:
        return tuple
    if not members:
        return annotation
    return str if set(members) == {int, str} else _kind(members[0])


def from_flags(options: type, defined: flags.FlagValues) -> object:
    """Returns a dataclass of options with the values of its flags.

    Raises:
      ValueError: a text is no such number as the option holds.
    """
    types_of = typing.get_type_hints(options)
    values = {}
    for field in dataclasses.fields(options):
        value = defined[field.name].value
        if isinstance(value, list):
            value = _numbers(field.name, value, types_of[field.name])
        values[field.name] = value
    return options(**values)


def given(options: type, defined: flags.FlagValues) -> frozenset[str]:
    """Returns the names of those options that were typed, be it at their defaults."""
    names = (field.name for field in dataclasses.fields(options))
    return frozenset(name for name in names if defined[name].present)


def _numbers(name: str, texts: Sequence[str], annotation: object) -> tuple:
    """Returns the elements of a list flag: numbers where the option says numbers.

    Raises:
      ValueError: a text is no such number.
    """
    element = _element(annotation)
    if element not in (int, float):
        return tuple(texts)
    try:
        return tuple(map(element, texts))
    except ValueError as error:
        kind = {int: "whole numbers", float: "numbers"}[element]
        raise ValueError(
            f"--{name}={','.join(texts)!r} has to be {kind}, with commas between them."
        ) from error


def _element(annotation: object) -> object:
    """Returns the type of the elements of an optional tuple."""
    for one in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(one) is tuple:
            return typing.get_args(one)[0]
    raise TypeError(f"{annotation!r} is no tuple.")
