"""Experiments as functions, for scripts and notebooks: what the commands do, as data.

found = tflottery.run("lottery", model="lenet", dataset="digits")
found.tables["accuracy"]

Arguments are the flags of the command by their names, and are read as those are: the
same words are refused, and the same runs, keys, store and tables come of it. Worker
processes train, so that TensorFlow may have been started in the process that calls.
"""

import dataclasses
import functools
import io
import numbers
import os
import shlex
import sys
import typing
from collections.abc import Sequence

from etils import epath

from tflottery.core import registry
from tflottery.execution import questions
from tflottery.execution.plan import Step
from tflottery.studies import program, session
from tflottery.studies.machine import Machine
from tflottery.studies.output import Output, OutputError
from tflottery.studies.session import Ending
from tflottery.training import distribution

if typing.TYPE_CHECKING:
    import matplotlib.figure
    import pandas

_ELEMENTS = (str, os.PathLike, numbers.Number)
_FLAGFILE = "flagfile"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ExperimentResults:
    """What `run` returns.

    Attributes:
      tables: the rows of every table, by its name, such as "accuracy".
      folder: where the tables lie as CSV files, with config.json and the log.
      answer: the small table that the command ends with, as text.
    """

    tables: dict[str, "pandas.DataFrame"]
    folder: epath.Path
    answer: str
    _output: Output

    def figure(self) -> "matplotlib.figure.Figure | None":
        """Draws the figure of the tables; None where they show nothing.

        As the value of a notebook's cell it is shown, whatever matplotlib's backend.
        """
        figure = self._output.figure(self.tables)
        if figure is not None:
            figure._repr_png_ = functools.partial(_png, figure)
        return figure

    def __repr__(self) -> str:
        sizes = ", ".join(
            f"{name} ({len(table):,} rows)" for name, table in self.tables.items()
        )
        return f"Tables in {self.folder}: {sizes}"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ExperimentPlan:
    """What `plan` returns: what is left to do, and what that takes.

    Attributes:
      jobs: a row a job, in an order that respects what needs what: whether it trains
        or measures, which network on what data, iterations, operations ("flops"), and
        how many artifacts it needs first and makes.
      num_runs: distinct trainings behind the results, in the store or not.
      num_iterations: updates to make.
      num_stored: updates that the store saves.
      num_shared: updates that sharing saves.
      num_bytes: what is written into the store.
      seconds: between which two numbers of seconds it takes here; None: not known.
      summary: the same in words, as the command's --dry_run tells it.
    """

    jobs: "pandas.DataFrame"
    num_runs: int
    num_iterations: int
    num_stored: int
    num_shared: int
    num_bytes: int
    seconds: tuple[float, float] | None
    summary: str

    def __repr__(self) -> str:
        return self.summary


def run(experiment: str, /, **options: object) -> ExperimentResults:
    """Makes an experiment's results, or reads them where they are known.

    As the command of that name: a call that was stopped (in a notebook, by interrupting
    the kernel) goes on where it was, in either of them.

    Args:
      experiment: such as "lottery"; of one of your own the name of its module.
      **options: the command's flags by their names, such as model="lenet". A list of
        values is a list, tuple or array; None leaves an option out. What is named here
        goes before what a flagfile says.

    Raises:
      ValueError: an option is wrong, or the data are; says which.
      SetupError: this machine, or this process, cannot train as it has to.
      RuntimeError: part of the work failed; what was finished is kept.
      KeyboardInterrupt: it was stopped; what was finished is kept.
      StoreError: the store cannot be used or has too little room.
    """
    module = program.experiment(experiment)
    arguments = _arguments(options)
    config, machine = program.options_of(module, arguments)
    if machine.dry_run:
        raise ValueError("dry_run=True makes no results: call tflottery.plan instead.")
    if machine.distribute == distribution.MULTI_WORKER:
        raise ValueError(
            "distribute='multi_worker' takes the same command on every host, which a "
            f"call is not: python -m {module.__name__}."
        )
    _refuse_unseen(options, machine)
    command = shlex.join(["python", "-m", module.__name__, *arguments])
    try:
        ending = session.carry_out(module, config, machine=machine, command=command)
    except questions.WorkerFailed as failure:
        raise RuntimeError(str(failure)) from failure
    ending.outcome.refuse_unfinished()
    _refuse_unwritten(ending)
    tables = ending.output.frames()
    answer = ending.output.answer(tables)
    return ExperimentResults(tables, ending.output.folder, answer, ending.output)


def plan(experiment: str, /, **options: object) -> ExperimentPlan:
    """Returns what an experiment asks for, as its command tells with --dry_run.

    Nothing is trained. A worker process starts, to look at the network and the data.

    Args: as of `run`.

    Raises:
      ValueError: an option is wrong; says which.
      SetupError: this machine, or this process, cannot train as it has to.
      StoreError: the store cannot be used.
    """
    import pandas

    module = program.experiment(experiment)
    config, machine = program.options_of(module, _arguments(options))
    _refuse_unseen(options, machine)
    machine = dataclasses.replace(machine, dry_run=True)
    with session.prepared(module, config, machine=machine) as ready:
        todo, seconds = ready.todo, ready.seconds()
        return ExperimentPlan(
            jobs=pandas.DataFrame(map(_row, todo.steps), columns=list(_COLUMNS)),
            num_runs=todo.num_runs,
            num_iterations=todo.num_iterations,
            num_stored=todo.num_stored,
            num_shared=todo.num_shared,
            num_bytes=todo.num_bytes,
            seconds=None if seconds is None else (seconds.low, seconds.high),
            summary=session.summary(ready),
        )


_COLUMNS = ("job", "kind", "model", "dataset", "first_iteration", "last_iteration")
_COLUMNS += ("num_iterations", "flops", "num_needed", "num_made")


def _png(figure: "matplotlib.figure.Figure") -> bytes:
    """Returns a figure as it is by now, as a PNG."""
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _row(step: Step) -> dict[str, object]:
    """Returns the row of a job in a plan."""
    job, run, first, last = step.job, step.run, None, None
    if step.trains:
        kind, last = "train", job.states[-1].iteration
        first = last - step.num_iterations
    else:
        kind = type(job.component).__name__.lower()
    return {
        "job": job.name,
        "kind": kind,
        "model": run and run.network.model,
        "dataset": run and run.data.name,
        "first_iteration": first,
        "last_iteration": last,
        "num_iterations": step.num_iterations,
        "flops": step.flops,
        "num_needed": len(step.needs),
        "num_made": len(step.makes),
    }


def _arguments(options: dict[str, object]) -> list[str]:
    """Returns options as a command line has them.

    Raises:
      ValueError: one is nothing that can be typed.
    """
    given = {name: value for name, value in options.items() if value is not None}
    # The last of two flags counts, and arguments of a function have no order.
    names = sorted(given, key=lambda name: name != _FLAGFILE)
    return [f"--{name}={','.join(_texts(name, given[name]))}" for name in names]


def _texts(name: str, value: object) -> list[str]:
    """Returns the value of an option, or its elements, as they are typed."""
    # Arrays, and the numbers and truths that are their elements.
    plain = value.tolist() if hasattr(value, "tolist") else value
    values = [plain] if isinstance(plain, _ELEMENTS) else plain
    if (
        not isinstance(values, Sequence)
        or isinstance(values, bytes)
        or not all(isinstance(one, _ELEMENTS) for one in values)
    ):
        raise ValueError(
            f"{name}={value!r} is no option: expected a text, a number, true or "
            "false, or a list of these."
        )
    return [
        os.fspath(one) if isinstance(one, os.PathLike) else str(one) for one in values
    ]


def _refuse_unseen(options: dict[str, object], machine: Machine) -> None:
    """Raises ValueError if an option names what no worker process will know.

    Workers import the script that starts them, and what it registers; they see no
    notebook.
    """
    main = sys.modules["__main__"]
    if machine.executor == "inline" or hasattr(main, "__file__"):
        return
    named = {text for name, value in options.items() for text in _texts(name, value)}
    for kind in registry.ALL:
        for name in sorted(named & kind.names_from(main.__name__)):
            raise ValueError(
                f"{kind.kind} {name!r} is registered here, where worker processes do "
                "not see it. Write it into a module, my_plugins.py say, and name that: "
                'plugins=["my_plugins"].'
            )


def _refuse_unwritten(ending: Ending) -> None:
    """Raises OutputError if tables were made and are not where they belong."""
    if not ending.written:
        raise OutputError(
            f"The tables are not in {str(ending.output.folder)!r}, which cannot be "
            "written. All that was made is in the store: the same call with another "
            "output_dir needs nothing more."
        )
