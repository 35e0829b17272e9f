"""Jobs: what a worker can be asked to do."""

import dataclasses

from tflottery.components.component import Component
from tflottery.components.runs import Run, State


@dataclasses.dataclass(frozen=True)
class Advance:
    """The job of training a run through the states wanted of it, in ascending order."""

    run: Run
    states: tuple[State, ...]

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
      dataset: name of a dataset.
      pretext: name of a pretext task, or None for the dataset's own labels.
    """

    model: str
    dataset: str
    pretext: str | None = None

    @property
    def name(self) -> str:
        """What the job is called."""
        return f"inspect/{self.model}/{self.dataset}/{self.pretext}"


Job = Advance | Make
