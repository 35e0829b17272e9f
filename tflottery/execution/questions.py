"""What a worker is asked outside of any plan: the facts of a network on its data."""

from collections.abc import Callable

from tflottery.components.metadata import Facts
from tflottery.execution import setbacks
from tflottery.execution.jobs import Inspect
from tflottery.execution.stop_request import say
from tflottery.execution.worker import ENDINGS
from tflottery.execution.worker_pool import WorkerPool

_POLL_SECONDS = 0.25


class WorkerFailed(Exception):
    """A worker cannot answer, and not because of what the user asked for."""


def ask(
    pool: WorkerPool,
    question: Inspect,
    stopping: Callable[[], bool],
    *,
    note: Callable[[str], None] = say,
) -> Facts:
    """Returns the answer of an idle worker to a question outside of any plan.

    Args:
      pool: of the worker.
      question: what is asked.
      stopping: whether to stop; asked several times a second.
      note: tells the user what the worker notes.

    Raises:
      ValueError: what was asked about cannot be; says what is wrong.
      WorkerFailed: the worker failed, or died each time.
      KeyboardInterrupt: it has to stop.
    """
    deaths = setbacks.Setbacks()
    pool.submit(0, question)
    while not stopping():
        for _, message in pool.messages(_POLL_SECONDS):
            if message.kind == "ended":
                return message.value
            if message.kind == "note":
                note(message.value)
            if message.kind == "refused":
                raise ValueError(message.value)
            if message.kind in setbacks.KINDS:
                if reason := deaths.count("", message):
                    raise WorkerFailed(
                        f"A look at model {question.model!r} and data set "
                        f"{question.setting.dataset!r} failed. {reason}"
                    )
                pool.submit(0, question)
            elif message.kind in ENDINGS:
                raise WorkerFailed(f"A worker failed. {message.value}")
    raise KeyboardInterrupt
