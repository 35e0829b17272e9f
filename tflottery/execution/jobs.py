"""Jobs: what a worker can be asked to do, and doing it."""

import dataclasses

from tflottery.components.component import Component
from tflottery.components.metadata import Facts, inspect
from tflottery.components.runs import Run, State
from tflottery.core.recipes import Setting
from tflottery.execution import component_job
from tflottery.execution.job_context import BUSY, FINISHED, STOPPED, JobContext, Stopped
from tflottery.training import orders


@dataclasses.dataclass(frozen=True)
class Advance:
    """The job of training a run through the states wanted of it.

    Attributes:
      run: the trajectory.
      states: those wanted, ascending.
      starts: addresses of the run's own states from where training goes on, as the plan
        has it.
    """

    run: Run
    states: tuple[State, ...]
    starts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What no other process may work on at the same time."""
        return f"runs/{self.run.key}"


@dataclasses.dataclass(frozen=True)
class Make:
    """The job of executing a component."""

    component: Component

    @property
    def name(self) -> str:
        """What no other process may work on at the same time."""
        return self.component.address


@dataclasses.dataclass(frozen=True)
class Inspect:
    """The job of finding out the facts that a plan needs.

    Attributes:
      model: name of a model.
      setting: what it learns.
    """

    model: str
    setting: Setting

    @property
    def name(self) -> str:
        """What the job is called."""
        return f"inspect/{self.model}/{self.setting}"


@dataclasses.dataclass(frozen=True)
class Follow:
    """The job of training what another host's process does, for as long as it does."""

    @property
    def name(self) -> str:
        """What the job is called."""
        return "follow"


Job = Advance | Make


def execute(job: Job | Inspect | Follow, context: JobContext) -> str | Facts:
    """Does a job, whole or up to a stop, under a lock of its own.

    Returns:
      How it ended; for an inspection, the facts.

    Raises:
      DamagedArtifact: an input is damaged; it has been set aside.
      MissingArtifact: an input is gone.
    """
    if isinstance(job, Inspect):
        return inspect(job.model, job.setting, context.runtime)
    if isinstance(job, Follow):
        orders.follow(
            context.chief,
            context.runtime,
            advanced=lambda iteration: context.measured(iteration, {}),
        )
        return FINISHED
    lock = context.store.lock(job.name)
    if lock is None:
        return BUSY
    with lock:
        try:
            if isinstance(job, Make):
                return component_job.execute(job.component, context)
            # Imports TensorFlow, which plans do without.
            from tflottery.execution import training_job

            return training_job.advance(job.run, job.states, context, starts=job.starts)
        except Stopped:
            return STOPPED
