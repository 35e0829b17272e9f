"""Components that cost nothing, for tests of what executes components."""

import dataclasses
import os
import time
from collections.abc import Mapping

from tflottery.components.component import Absent, Component, Context
from tflottery.components.metadata import Facts
from tflottery.core.identities import Network

FILE = "number.txt"


@dataclasses.dataclass(frozen=True)
class Number(Component):
    """A number."""

    KIND = "number"
    VERSION = 1
    FOLDER = "numbers"
    FILES = (FILE,)

    value: int

    def execute(self, context: Context) -> None:
        (context.output / FILE).write_text(str(self.value))


@dataclasses.dataclass(frozen=True)
class Sum(Component):
    """The sum of two numbers."""

    KIND = "sum"
    VERSION = 1
    FOLDER = "sums"
    FILES = (FILE,)

    a: Component
    b: Component

    def execute(self, context: Context) -> None:
        numbers = [
            int((folder / FILE).read_text()) for folder in context.inputs.values()
        ]
        (context.output / FILE).write_text(str(sum(numbers)))


@dataclasses.dataclass(frozen=True)
class Costly(Component):
    """A name that is said to cost something, after others."""

    KIND = "costly"
    VERSION = 1
    FOLDER = "costly"
    FILES = (FILE,)

    name: str
    cost: float
    first: Component | None = None
    second: Component | None = None

    def execute(self, context: Context) -> None:
        (context.output / FILE).write_text(self.name)

    def flops(self, facts: Mapping[Network, Facts]) -> float:
        return self.cost


@dataclasses.dataclass(frozen=True)
class Broken(Component):
    """Raises."""

    KIND = "broken"
    VERSION = 1
    FOLDER = "broken"
    FILES = (FILE,)

    value: int

    def execute(self, context: Context) -> None:
        raise ArithmeticError(f"{self.value} cannot be computed")


@dataclasses.dataclass(frozen=True)
class Largest(Component):
    """The largest number, which does not exist; notes each attempt in a file."""

    KIND = "largest"
    VERSION = 1
    FOLDER = "largest"
    FILES = (FILE,)

    notes: str
    diverged_iteration: int | None = None

    def execute(self, context: Context) -> None:
        with open(self.notes, "a") as notes:
            notes.write("x")
        raise Absent(
            "There is always a larger number.",
            diverged_iteration=self.diverged_iteration,
        )


@dataclasses.dataclass(frozen=True)
class Forgetful(Component):
    """Does not write what it promises."""

    KIND = "forgetful"
    VERSION = 1
    FOLDER = "forgetful"
    FILES = (FILE,)

    value: int

    def execute(self, context: Context) -> None:
        pass


@dataclasses.dataclass(frozen=True)
class Count(Component):
    """Counts to a number, remembering how far it is; notes each step in a file."""

    KIND = "count"
    VERSION = 1
    FOLDER = "counts"
    FILES = (FILE,)

    last: int
    notes: str
    pause: float = 0.0

    def execute(self, context: Context) -> None:
        for step in range((context.remembered or 0) + 1, self.last + 1):
            with open(self.notes, "a") as notes:
                notes.write(f"{step}\n")
            time.sleep(self.pause)
            context.remember(step, step / self.last)
        (context.output / FILE).write_text(str(self.last))


@dataclasses.dataclass(frozen=True)
class Deadly(Component):
    """Kills the process that executes it, so many times; then it is a number."""

    KIND = "deadly"
    VERSION = 1
    FOLDER = "deadly"
    FILES = (FILE,)

    deaths: int
    notes: str

    def execute(self, context: Context) -> None:
        print("these are my last words", flush=True)
        with open(self.notes, "a+") as notes:
            notes.write("x")
            notes.flush()
            if notes.tell() <= self.deaths:
                os.kill(os.getpid(), 9)
        (context.output / FILE).write_text("0")
