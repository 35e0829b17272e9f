"""Progress: one bar for the plan and a line per running job, or a line a minute.

The bar is there on a terminal and in a notebook.

Work is counted in arithmetic operations, so that training and measuring add up and the
time left is about right; what is shown are iterations.
"""

import collections
import threading
import time

from rich import progress as rich_progress

from tflottery.core.amounts import counted
from tflottery.execution import estimate
from tflottery.execution.log import Log
from tflottery.execution.plan import Plan, Step

_MINUTE, _MOMENT = 60.0, 0.5
# The speed told is that of as many minutes.
_NUM_MINUTES = 10


class Progress:
    """Shows how far a plan is carried out: on a terminal, and in the log.

    A bar on a terminal and below a notebook's cell; elsewhere a line a minute. The log
    has the lines.
    """

    def __init__(self, plan: Plan, *, log: Log | None = None):
        """Args:
        plan: what is to be done.
        log: where to show it; None is standard error.
        """
        self._log = log or Log()
        on_terminal = self._log.console.is_terminal
        in_notebook = self._log.console.is_jupyter and bool(plan.steps)
        self._cell = _Cell() if in_notebook else None
        self._shown = on_terminal or self._cell is not None
        self._num_iterations = plan.num_iterations
        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=30),
            rich_progress.TextColumn("{task.percentage:>3.0f}%"),
            rich_progress.TextColumn("{task.fields[detail]}", markup=False),
            rich_progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=self._log.console,
            transient=True,
            # In a notebook rich would need ipywidgets; the cell shows the same.
            disable=not on_terminal,
            # The speed is that of the last minutes, not of the last second.
            speed_estimate_period=300,
        )
        self._total = max(plan.flops, 1.0)
        self._plan_task = self._bar.add_task("plan", total=self._total, detail="")
        self._tasks: dict[int, rich_progress.TaskID] = {}
        self._steps: dict[int, Step] = {}
        self._fractions: dict[int, float] = {}
        self._done = self._iterations_done = 0.0
        self._told_waiting: set[str] = set()
        # (seconds, work done, iterations done) of the last minutes.
        self._before: collections.deque[tuple[float, float, float]] = collections.deque(
            maxlen=_NUM_MINUTES
        )
        self._ended = threading.Event()
        self._teller = threading.Thread(target=self._tell_each_minute, daemon=True)

    def __enter__(self) -> "Progress":
        self._bar.start()
        self._show(at_once=True)
        self._before.append((time.monotonic(), 0.0, 0.0))
        self._teller.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._teller.join()
        self._bar.stop()
        self._show(at_once=True)

    def grow(self, num_iterations: int, flops: float) -> None:
        """Adds work that was not planned, or takes off work that is not needed."""
        self._num_iterations += num_iterations
        self._total = max(self._total + flops, 1.0)
        self._bar.update(self._plan_task, total=self._total)

    def begin(self, worker: int, step: Step) -> None:
        """Shows a job that begins on a worker."""
        self._steps[worker], self._fractions[worker] = step, 0.0
        self._tasks[worker] = self._bar.add_task(
            f"  {describe(step)}", total=1.0, detail=""
        )
        self._show()

    def update(self, worker: int, fraction: float) -> None:
        """Shows that a fraction of a worker's job is done."""
        step, before = self._steps[worker], self._fractions[worker]
        self._fractions[worker] = fraction
        self._done += (fraction - before) * step.flops
        self._iterations_done += (fraction - before) * step.num_iterations
        detail = ""
        if step.num_iterations:
            detail = f"{fraction * step.num_iterations:,.0f}/{step.num_iterations:,} it"
        self._bar.update(self._tasks[worker], completed=fraction, detail=detail)
        self._bar.update(
            self._plan_task,
            advance=(fraction - before) * step.flops,
            detail=f"{self._iterations_done:,.0f}/{self._num_iterations:,} it",
        )
        self._show()

    def end(self, worker: int, *, finished: bool) -> None:
        """Takes a worker's job off the screen; what was not finished is taken back."""
        self.update(worker, 1.0 if finished else 0.0)
        self._bar.remove_task(self._tasks.pop(worker))
        del self._steps[worker], self._fractions[worker]

    def note(self, text: str) -> None:
        """Prints a line that stays."""
        self._log.say(text)

    def waiting(self, name: str) -> None:
        """Says once that another process is at a job."""
        if name not in self._told_waiting:
            self._told_waiting.add(name)
            self.note(f"Another process is making {name}; waiting for it.")

    def line(self) -> str:
        """Returns how far the plan is, how fast it goes and how long it will take."""
        now = time.monotonic()
        then, done_then, iterations_then = self._before[0]
        fraction = min(self._done / self._total, 1.0)
        elapsed = max(now - then, 1e-9)
        speed = (self._done - done_then) / elapsed
        rate = (self._iterations_done - iterations_then) / elapsed
        left = "time left unknown"
        if speed > 0:
            remaining = estimate.readable((1 - fraction) * self._total / speed)
            left = f"about {remaining} left"
        return (
            f"{fraction:.1%} done, {self._iterations_done:,.0f} of "
            f"{self._num_iterations:,} iterations, {rate:,.3g} a second, "
            f"{counted(len(self._steps), 'job')} at work, {left}"
        )

    def _show(self, *, at_once: bool = False) -> None:
        """Shows the bar in a notebook; on a terminal rich does so by itself."""
        if self._cell is not None:
            self._cell.show(self._bar, at_once=at_once)

    def _tell_each_minute(self) -> None:
        """Prints the line each minute until the work ends; beside a bar, in the log."""
        tell = self._log.keep if self._shown else self._log.say
        while not self._ended.wait(_MINUTE):
            tell(self.line())
            self._before.append((time.monotonic(), self._done, self._iterations_done))


class _Cell:
    """What a notebook shows below a cell, and then shows anew in the same place."""

    def __init__(self):
        self._handle: object | None = None
        self._shown = 0.0

    def show(self, bar: rich_progress.Progress, *, at_once: bool) -> None:
        """Shows a bar as it is by now, unless it was shown less than a moment ago."""
        # There, as this is a notebook's process.
        from IPython import display

        now = time.monotonic()
        if not at_once and now - self._shown < _MOMENT:
            return
        self._shown = now
        if self._handle is None:
            self._handle = display.display(bar, display_id=True)
        else:
            self._handle.update(bar)


def describe(step: Step) -> str:
    """Returns a short name of a step for people."""
    if step.trains:
        run = step.run
        first, last = run.first_iteration, step.job.states[-1].iteration
        return f"train {run.network.model} {run.key[:8]} {first:,} to {last:,}"
    component = step.job.component
    return f"{type(component).__name__.lower()} {component.key[:8]}"
