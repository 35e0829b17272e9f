"""Progress: one bar for the plan and a line per running job; quiet without a terminal.

Work is counted in arithmetic operations, so that training and measuring add up and the
time left is about right; what is shown are iterations.
"""

import time

from rich import console as rich_console
from rich import progress as rich_progress

from tflottery.execution.jobs import Advance
from tflottery.execution.plan import Plan, Step


def tell(console: rich_console.Console, text: str) -> None:
    """Prints text as it is: brackets, colons and long lines of paths mean nothing."""
    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


class Progress:
    """Shows how far a plan is carried out."""

    def __init__(self, plan: Plan, *, console: rich_console.Console | None = None):
        """Args:
        plan: what is to be done.
        console: where to show it; None is standard error.
        """
        self._console = console or rich_console.Console(stderr=True)
        self._shown = self._console.is_terminal
        self._num_iterations = plan.num_iterations
        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=30),
            rich_progress.TextColumn("{task.percentage:>3.0f}%"),
            rich_progress.TextColumn("{task.fields[detail]}", markup=False),
            rich_progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            transient=True,
            disable=not self._shown,
            # The speed is that of the last minutes, not of the last second.
            speed_estimate_period=300,
        )
        self._total = max(plan.flops, 1.0)
        self._plan_task = self._bar.add_task("plan", total=self._total, detail="")
        self._tasks: dict[int, rich_progress.TaskID] = {}
        self._steps: dict[int, Step] = {}
        self._shares: dict[int, float] = {}
        self._iterations_done = 0.0
        self._told_waiting: set[str] = set()

    def __enter__(self) -> "Progress":
        self._bar.start()
        self._started = time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def begin(self, worker: int, step: Step) -> None:
        """Shows a job that begins on a worker."""
        self._steps[worker], self._shares[worker] = step, 0.0
        self._tasks[worker] = self._bar.add_task(
            f"  {describe(step)}", total=1.0, detail=""
        )

    def update(self, worker: int, share: float) -> None:
        """Shows that a share of a worker's job is done."""
        step, before = self._steps[worker], self._shares[worker]
        self._shares[worker] = share
        self._iterations_done += (share - before) * step.num_iterations
        detail = ""
        if step.num_iterations:
            detail = f"{share * step.num_iterations:,.0f}/{step.num_iterations:,} it"
        self._bar.update(self._tasks[worker], completed=share, detail=detail)
        self._bar.update(
            self._plan_task,
            advance=(share - before) * step.flops,
            detail=f"{self._iterations_done:,.0f}/{self._num_iterations:,} it",
        )

    def end(self, worker: int, *, finished: bool) -> None:
        """Takes a worker's job off the screen; what was not finished is taken back."""
        self.update(worker, 1.0 if finished else 0.0)
        self._bar.remove_task(self._tasks.pop(worker))
        del self._steps[worker], self._shares[worker]

    def note(self, text: str) -> None:
        """Prints a line that stays."""
        tell(self._console, text)

    def waiting(self, name: str) -> None:
        """Says once that another process is at a job."""
        if name not in self._told_waiting:
            self._told_waiting.add(name)
            self.note(f"Another process is making {name}; waiting for it.")


def describe(step: Step) -> str:
    """Returns a short name of a step for people."""
    if isinstance(step.job, Advance):
        run = step.job.run
        first, last = run.first_iteration, step.job.states[-1].iteration
        return f"train {run.network.model} {run.key[:8]} {first:,} to {last:,}"
    component = step.job.component
    return f"{type(component).__name__.lower()} {component.key[:8]}"
