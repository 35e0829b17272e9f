"""What an executor asks of a pool of workers, wherever these are."""

import typing

from tflottery.execution.worker import Message


class WorkerPool(typing.Protocol):
    """Workers by number, each of which does a job at a time and reports.

    A context manager: at its end no worker is left. Between one worker's `submit` and
    the message that ends its job come the messages of that job, and none are lost. The
    death of a worker is a message like others ("died", or "lost" where its node may be
    the cause); its number may be idle again at once, with another worker behind it.

    Attributes:
      is_elsewhere: whether workers may be on other hosts, and see the store from there.
      is_busy: whether a worker has a job.
      size: number of workers.
    """

    is_elsewhere: bool
    is_busy: bool
    size: int

    def __enter__(self) -> "WorkerPool": ...

    def __exit__(self, *exception: object) -> None: ...

    def idle(self) -> list[int]:
        """Returns the workers that may be given a job, the best first."""

    def submit(self, number: int, job: object) -> None:
        """Gives an idle worker a job; worker 0 also before it has started."""

    def messages(self, timeout: float) -> list[tuple[int, Message]]:
        """Returns what workers reported, waiting up to `timeout` seconds for it.

        Raises:
          SetupError: no worker can work as it has to; says why.
        """

    def stop(self) -> None:
        """Asks every worker to stop at the next good moment; may be called anywhere."""

    def close(self) -> None:
        """Ends all workers, whatever they do."""
