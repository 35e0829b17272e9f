"""A host that trains together with others, and is not their chief.

Its command starts one worker, which does what the chief's worker orders; it plans,
reads and writes nothing, and ends as the chief does.
"""

import dataclasses
import math
import signal
import time
from collections.abc import Mapping
from multiprocessing import AuthenticationError, connection

from tflottery.core import stopping
from tflottery.core.command_line import WRONG_INPUT
from tflottery.core.environment import SetupError
from tflottery.execution import links
from tflottery.execution.jobs import Follow
from tflottery.execution.leader import HostCommand, LostWorker
from tflottery.execution.links import Link, LostLink
from tflottery.execution.multi_worker_pool import MultiWorkerPool
from tflottery.execution.stop_request import StopRequest
from tflottery.execution.worker import ENDINGS, Message, WorkerSettings

_POLL_SECONDS, _MINUTE = 0.5, 60.0
_CALL_SECONDS = 5.0
# Until the chief has said why its worker gives no more orders.
_FAREWELL_SECONDS = 3.0


class Follower:
    """A follower's side of the connection to its chief.

    Attributes:
      have_ended: whether the chief has said that its worker has nothing more to do.
    """

    def __init__(self, command: HostCommand):
        """Args:
        command: this one, which is not the chief's.
        """
        self._command = command
        self._hosts = command.hosts
        self._say = command.say
        self._link: Link | None = None
        self._exit_code: int | None = None
        self.have_ended = False

    def follow(self, settings: WorkerSettings) -> int:
        """Has a worker follow the chief; returns the exit code that the chief has.

        Args:
          settings: of the worker.

        Raises:
          SetupError: no chief answers, it refuses this command, or a port is taken.
          LostWorker: the chief is lost, or this host's worker.
          KeyboardInterrupt: a second signal asks to stop at once.

        Changes: how signals are handled, until it returns.
        """
        self._command.introduce()
        try:
            if (orders := self._admitted()) is None:
                return self._chiefs_ending()
            own = dataclasses.replace(settings, orders=(orders,))
            with (
                MultiWorkerPool(own, others=self) as pool,
                StopRequest(pool) as stop,
            ):
                if (failure := self._followed(pool, stop)) is not None:
                    return self._told_the_chief(failure)
            return self._chiefs_ending()
        except SetupError as error:
            self._tell("failed", str(error))
            raise
        except LostWorker as loss:
            self._tell("failed", loss.what)
            raise
        finally:
            if self._link is not None:
                self._link.close()

    def watch(self) -> None:
        """Takes in what the chief says; raises LostWorker if it is gone."""
        while self._exit_code is None and (message := self._next()):
            kind, value = message
            if kind == "end":
                self._exit_code = value
            self.have_ended = self.have_ended or kind in ("end", "dismissed")

    def dismiss(self) -> None:
        """Tells nobody anything: the chief decides."""

    def _admitted(self) -> connection.Connection | None:
        """Returns the connection to the chief's worker, once all hosts are there.

        None if the chief has ended before.
        """
        last = time.monotonic() + self._command.seconds
        self._link = Link(self._called(self._command.options, last))
        if not self._is_told("admitted", last):
            return None
        orders = self._called(None, last)
        self._say(f"Admitted by {self._hosts.name(0)}, which plans, writes and tells.")
        # The chief itself ends where another one does not come.
        begins = self._is_told("begin", last + self._command.seconds)
        return orders if begins else None

    def _called(
        self, options: Mapping[str, str] | None, last: float
    ) -> connection.Connection:
        """Returns a connection to the chief's command, tried until a moment."""
        address, where = self._hosts.meeting_point, self._hosts.meeting_address
        reason = None
        while time.monotonic() < last:
            try:
                return links.connected(
                    address, (self._hosts.index, options), seconds=_CALL_SECONDS
                )
            except AuthenticationError as error:
                raise SetupError(
                    f"The chief's command at {where} has another "
                    f"${links.KEY_VARIABLE} than this one."
                ) from error
            except OSError as error:
                # Names of hosts that are to come may be unknown at first.
                if str(error) != reason:
                    self._say(f"Waiting for the chief's command at {where} ({error}).")
                reason = str(error)
            time.sleep(_POLL_SECONDS)
        raise SetupError(
            f"No command of the chief, {self._hosts.name(0)}, answers at {where} "
            f"within {self._command.seconds:.0f} s ({reason}). Begin the same command "
            "there; both hosts have to reach each other at that port."
        )

    def _is_told(self, kind: str, last: float) -> bool:
        """Waits for a message of the chief; returns False if it has ended instead."""
        while time.monotonic() < last:
            found, value = self._next() or (None, None)
            if found == kind:
                return True
            if found == "refused":
                raise SetupError(f"The chief refuses this command: {value}")
            if found == "end":
                self._exit_code = value
                return False
            time.sleep(0.05)
        raise SetupError(f"The chief did not say {kind!r} in time.")

    def _followed(self, pool: MultiWorkerPool, stop: StopRequest) -> Message | None:
        """Has the worker do as the chief's does; returns how it failed, if it did."""
        pool.submit(0, Follow())
        iteration, told, asked = None, time.monotonic(), False
        last = math.inf
        while not self.have_ended:
            for _, message in pool.messages(_POLL_SECONDS):
                if message.kind == "note":
                    self._say(message.value)
                elif message.kind == "measured":
                    iteration, _ = message.value
                elif message.kind == "ended":
                    last = time.monotonic() + _FAREWELL_SECONDS
                elif message.kind in ENDINGS:
                    # Who has lost the chief's worker may have been dismissed.
                    return None if self.have_ended else message
            if time.monotonic() > last and not self.have_ended:
                return Message("failed", "The chief's worker gives no orders any more.")
            if stop.is_set() and not asked:
                # The chief decides when all stop.
                asked = True
                interrupted = stop.exit_code == stopping.INTERRUPTED
                self._tell("stop", signal.SIGINT if interrupted else signal.SIGTERM)
            if time.monotonic() - told > _MINUTE:
                told += _MINUTE
                at = "which trains nothing at the moment"
                if iteration is not None:
                    at = f"at iteration {iteration:,} of a run"
                self._say(f"Following the chief, {at}.")
                iteration = None
        return None

    def _chiefs_ending(self) -> int:
        """Returns the exit code of the chief, once it has ended."""
        while self._exit_code is None:
            time.sleep(_POLL_SECONDS)
            self.watch()
        if self._exit_code:
            self._say(
                f"The chief ended with exit code {self._exit_code}; what it says tells "
                "why."
            )
        return self._exit_code

    def _next(self) -> tuple[str, object] | None:
        """Returns the chief's next message, if any; raises LostWorker if it is gone."""
        try:
            return self._link.next()
        except LostLink as lost:
            raise LostWorker(
                f"The chief, {self._hosts.name(0)}, is lost: {lost}."
            ) from lost

    def _told_the_chief(self, failure: Message) -> int:
        """Tells the chief and the user that the worker cannot go on."""
        kind = "refused" if failure.kind == "refused" else "failed"
        self._say(f"error: {failure.value}")
        self._tell(kind, str(failure.value))
        return WRONG_INPUT if kind == "refused" else 1

    def _tell(self, kind: str, value: object) -> None:
        if self._link is not None:
            self._link.send(kind, value)
