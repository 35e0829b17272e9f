"""The chief among hosts that train together: admits the others and watches over them.

Every host runs the same command. That of the chief plans, writes and tells; those of
the others, the followers, have each a worker that trains what the chief's trains.
"""

import contextlib
import dataclasses
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import AuthenticationError, connection

from tflottery.core import command_line, stopping, training_hosts
from tflottery.core.environment import SetupError
from tflottery.core.training_hosts import Hosts
from tflottery.execution import links
from tflottery.execution.links import Link, LostLink
from tflottery.execution.questions import WorkerFailed
from tflottery.store.errors import StoreError

# How long all commands have to come up.
START_SECONDS = 300.0

_GO_ON = "The same commands, begun again on all hosts, go on from the last checkpoint."
_POLL_SECONDS = 0.25
# For the followers to read how it ended, before the connections do.
_FAREWELL_SECONDS = 1.0


class LostWorker(WorkerFailed):
    """A host that trains together with others is gone, or its process is.

    Attributes:
      what: which, and how that shows.
    """

    def __init__(self, what: str):
        super().__init__(f"{what} {_GO_ON}")
        self.what = what


@dataclasses.dataclass(frozen=True)
class HostCommand:
    """The command of one host among those of hosts that train together.

    Attributes:
      hosts: which they are, and which of them this is.
      options: what has to be the same for all commands, by its name.
      say: tells the user.
      seconds: in which all have to come up.
    """

    hosts: Hosts
    options: Mapping[str, str]
    say: Callable[[str], None]
    seconds: float = START_SECONDS

    def introduce(self) -> None:
        """Tells which host this is taken for, and where that looks wrong.

        Raises:
          SetupError: the port that its TensorFlow is to listen at is taken.
        """
        index, (host, port) = self.hosts.index, self.hosts.own
        role = "the chief" if self.hosts.is_chief else "which follows worker 0"
        remark = ""
        if not _may_be_here(host):
            # As where a TF_CONFIG was copied with its index.
            remark = f" But {host} is no address of this machine: is the index right?"
        self.say(f"This is {self.hosts.name(index)}, {role}.{remark}")
        with _listening("", port):
            pass


class Leader:
    """The followers of a chief. A context manager: at its end they are told to end.

    Attributes:
      have_ended: False: it is the chief that says when all end.
      orders: a connection to each follower's worker, for the chief's.
      exit_code: with which the followers are to end; to be set before the block ends,
        unless an error ends it.
    """

    have_ended = False

    def __init__(self, command: HostCommand):
        """Args:
        command: this one, of the chief.
        """
        self._command = command
        self._hosts = command.hosts
        self._say = command.say
        self._links: dict[int, Link] = {}
        self._orders: dict[int, connection.Connection] = {}
        self._refusals: dict[int, str] = {}
        self._admitting = threading.Lock()
        self._is_complete = False
        self._ends = threading.Event()
        self.exit_code = 1

    @property
    def orders(self) -> tuple[connection.Connection, ...]:
        return tuple(self._orders[index] for index in sorted(self._orders))

    def __enter__(self) -> "Leader":
        """Awaits all followers.

        Raises:
          SetupError: one has not come in time, or a port is taken.
        """
        try:
            self._admit()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if error is not None:
            self.exit_code = _code_of(error)
        self._end()

    def watch(self) -> int | None:
        """Looks after the followers; to be called several times a second.

        Returns:
          The signal by which one of them was asked to stop, if it was.

        Raises:
          LostWorker: one is gone, or has failed.
          ValueError: the data of one are refused.
        """
        asked = None
        for index, link in self._links.items():
            name = self._hosts.name(index)
            try:
                while message := link.next():
                    kind, value = message
                    if kind == "stop":
                        asked = value
                    elif kind == "refused":
                        raise ValueError(f"{name}: {value}")
                    elif kind == "failed":
                        raise LostWorker(f"{name} failed: {value}")
            except LostLink as lost:
                raise LostWorker(f"{name} is lost: {lost}.") from lost
        return asked

    def dismiss(self) -> None:
        """Tells the followers that their workers have nothing more to do."""
        for link in self._links.values():
            link.send("dismissed")

    def _admit(self) -> None:
        """Waits until all followers are there, and has them begin."""
        self._command.introduce()
        server = _listening(*self._hosts.meeting_point)
        threading.Thread(target=self._answer, args=(server,), daemon=True).start()
        told = time.monotonic()
        last = told + self._command.seconds
        while missing := self._missing():
            if time.monotonic() > last:
                raise SetupError(self._told_of(missing))
            if time.monotonic() > told:
                self._say(
                    f"Waiting at {self._hosts.meeting_address} for "
                    f"{', '.join(map(self._hosts.name, missing))}, for "
                    f"{self._command.seconds:.0f} s at most."
                )
                told += 60.0
            time.sleep(_POLL_SECONDS)
        for link in self._links.values():
            link.send("begin")

    def _answer(self, server: socket.socket) -> None:
        """Greets who calls, until this command ends: who comes too late is told so."""
        with server:
            while not self._ends.is_set():
                try:
                    made, (caller, *_) = server.accept()
                except TimeoutError:
                    continue
                threading.Thread(
                    target=self._greet, args=(made, caller), daemon=True
                ).start()

    def _missing(self) -> list[int]:
        """Returns the followers that have not come, or are gone again.

        Changes: where there are none, nobody is admitted from now on.
        """
        with self._admitting:
            for index in [one for one, link in self._links.items() if link.fault]:
                self._links.pop(index).close()
                self._orders.pop(index, None)
            others = range(1, len(self._hosts.addresses))
            missing = [one for one in others if one not in self._orders]
            self._is_complete = not missing
            return missing

    def _greet(self, made: socket.socket, caller: str) -> None:
        """Admits who has called, or refuses it."""
        try:
            found = links.greeted(made)
        except AuthenticationError:
            self._say(
                f"A caller from {caller} was refused: it has another "
                f"${links.KEY_VARIABLE} than this command."
            )
            return
        if found is None:
            return
        other, (index, options) = found
        with self._admitting:
            if options is None and index in self._links and not self._is_complete:
                # The second connection of a follower that was admitted.
                self._orders[index] = other
                return
            refusal = self._refusal(index, options or {})
            if refusal is None:
                self._links[index] = Link(other)
                self._links[index].send("admitted")
                return
            self._refusals[index] = refusal
        self._say(f"A command that says it is worker {index} was refused: {refusal}")
        with contextlib.suppress(OSError), other:
            other.send(("refused", refusal))
            # Until the caller has read it.
            other.poll(_FAREWELL_SECONDS)

    def _refusal(self, index: int, options: Mapping[str, str]) -> str | None:
        """Returns why a follower cannot take part; None if it can."""
        there_is_one = index in self._links and not self._links[index].fault
        if there_is_one or self._is_complete:
            return "there is one of that number already."
        differing = [
            f"{name} is {options.get(name, 'absent')} on worker {index} and {value} on "
            "the chief"
            for name, value in self._command.options.items()
            if options.get(name) != value
        ]
        if not differing:
            return None
        return f"{'; '.join(differing)}. All hosts run one command."

    def _told_of(self, missing: list[int]) -> str:
        """Returns what to say where followers have not come in time."""
        told = [
            f"{self._hosts.name(one)}, refused since {self._refusals[one]}"
            if one in self._refusals
            else self._hosts.name(one)
            for one in missing
        ]
        return (
            f"No command came to {self._hosts.meeting_address} within "
            f"{self._command.seconds:.0f} s from {'; '.join(told)}. Begin the same "
            "command on every host."
        )

    def _end(self) -> None:
        """Tells the followers how it ended."""
        self._ends.set()
        for link in self._links.values():
            link.send("end", self.exit_code)
        # Until they have read it.
        last = time.monotonic() + _FAREWELL_SECONDS
        while time.monotonic() < last and any(
            link.fault is None for link in self._links.values()
        ):
            time.sleep(0.02)
        for link in self._links.values():
            link.close()
        for other in self._orders.values():
            other.close()


def _code_of(error: object) -> int:
    """Returns the exit code of a command that an error ends."""
    if isinstance(error, KeyboardInterrupt):
        number = error.args[0] if error.args else signal.SIGINT
        return stopping.exit_code(number)
    if isinstance(error, ValueError | StoreError | OSError | SetupError):
        return command_line.WRONG_INPUT
    return 1


def _may_be_here(host: str) -> bool:
    """Returns whether a name leads to this machine, or nobody here can tell."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True
    for family, kind, _, _, address in found:
        with contextlib.suppress(OSError), socket.socket(family, kind) as one:
            one.bind(address)
            return True
    return False


def _listening(host: str, port: int) -> socket.socket:
    """Returns a socket that listens at a port, on this machine alone if it is local."""
    try:
        server = _server(host, port)
    except OSError as error:
        raise SetupError(
            f"Port {port} of this host cannot be listened at ({error}). Is an earlier "
            "command still at work? Else name other ports for the workers."
        ) from error
    server.settimeout(_POLL_SECONDS)
    return server


def _server(host: str, port: int) -> socket.socket:
    """Returns what `_listening` does, by IPv4 and IPv6 where this machine has both."""
    if training_hosts.is_of_itself(host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    if socket.has_dualstack_ipv6():
        # Some that have IPv6 have no address of it.
        with contextlib.suppress(OSError):
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True
            )
    return socket.create_server(("", port))
