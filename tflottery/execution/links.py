"""Links: connections between the commands of hosts that train together.

Both ends show each other every few seconds that they live, by their own clocks, so that
one that was killed, frozen or cut off is noticed while processes of TensorFlow wait for
one another without end.
"""

import contextlib
import hashlib
import hmac
import json
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Iterator
from multiprocessing import AuthenticationError, connection

KEY_VARIABLE = "TFLOTTERY_CLUSTER_KEY"
# How often an end shows that it lives, and after how long without that it is lost.
BEAT_SECONDS, SILENT_SECONDS = 2.0, 15.0

_BEAT = "beat"
_GREETING_SECONDS, _LONGEST_GREETING = 10.0, 1_000_000
# What each end makes with the key of what the other has drawn. Two kinds, so that
# neither's answer is one that the other could give.
_CALLS, _IS_CALLED = b"calls", b"is called"
_NUM_DRAWN = 32
# A connection over which nothing goes is asked after 30 s, and lost after 60 s: which
# the kernels do, also for a process that has no time. TCP_USER_TIMEOUT would end those
# as well whose other end is busy for so long, as where it compiles a network.
_KEPT_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class LostLink(Exception):
    """The other end of a link is gone; says how that shows."""


class Link:
    """One end of a connection: messages (kind, value), and whether the other lives."""

    def __init__(
        self,
        other: connection.Connection,
        *,
        beat_seconds: float = BEAT_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
    ):
        """Args:
        other: the connection, which this owns from now on.
        beat_seconds: how often to show that this end lives.
        silent_seconds: after how long without a sign of life the other is lost.
        """
        self._other = other
        self._beat_seconds = beat_seconds
        self._silent_seconds = silent_seconds
        self._arrived: queue.SimpleQueue = queue.SimpleQueue()
        self._heard = time.monotonic()
        self._ended = threading.Event()
        self._sending = threading.Lock()
        for work in (self._receive, self._beat):
            threading.Thread(target=work, daemon=True).start()

    @property
    def fault(self) -> str | None:
        """Why the other end is lost; None while it lives."""
        if self._ended.is_set():
            return "its connection ended"
        if time.monotonic() - self._heard > self._silent_seconds:
            return f"no sign of life for {self._silent_seconds:.0f} s"
        return None

    def send(self, kind: str, value: object = None) -> None:
        """Sends a message; whether it arrives shows in `fault` alone."""
        try:
            with self._sending:
                self._other.send((kind, value))
        except OSError:
            self._ended.set()

    def next(self) -> tuple[str, object] | None:
        """Returns the next message that has arrived; None if there is none.

        Raises:
          LostLink: there is none, and there will not be: the other end is lost.
        """
        # What the other end said last has arrived before its end shows.
        fault = self.fault
        try:
            return self._arrived.get_nowait()
        except queue.Empty:
            if fault:
                raise LostLink(fault) from None
            return None

    def close(self) -> None:
        """Ends the connection, as the other end then notices at once."""
        self._ended.set()
        with contextlib.suppress(OSError):
            # Which, unlike closing alone, wakes who waits for a message.
            with socket.socket(fileno=os.dup(self._other.fileno())) as own:
                own.shutdown(socket.SHUT_RDWR)

    def _receive(self) -> None:
        """Takes messages in until the connection ends."""
        while True:
            try:
                message = self._other.recv()
            except (EOFError, OSError):
                self._ended.set()
                return
            self._heard = time.monotonic()
            if message[0] != _BEAT:
                self._arrived.put(message)

    def _beat(self) -> None:
        """Shows that this end lives until the connection ends."""
        while not self._ended.wait(self._beat_seconds):
            self.send(_BEAT)


def connected(
    address: tuple[str, int], greeting: object, *, seconds: float
) -> connection.Connection:
    """Returns a connection to who listens at an address, having greeted it.

    Args:
      address: host and port.
      greeting: what it is told first, as JSON has it.
      seconds: for which it is tried.

    Raises:
      AuthenticationError: the other end has another key.
      OSError: nobody answers.
    """
    with socket.create_connection(address, timeout=seconds) as made:
        other = _connection(made)
    key = _key()
    try:
        with _limited(other, seconds):
            _prove_key(other, key, own=_CALLS, others=_IS_CALLED)
            other.send_bytes(json.dumps(greeting).encode())
    except EOFError as error:
        other.close()
        raise ConnectionResetError("it hangs up") from error
    except BlockingIOError as error:
        other.close()
        raise TimeoutError("it says nothing") from error
    except BaseException:
        other.close()
        raise
    return other


def greeted(made: socket.socket) -> tuple[connection.Connection, object] | None:
    """Returns the connection of who has called, and its greeting.

    None if it says nothing, or not what a command does.

    Raises:
      AuthenticationError: it does not have the key of this cluster.
    """
    other, key = _connection(made), _key()
    try:
        with _limited(other, _GREETING_SECONDS):
            _prove_key(other, key, own=_IS_CALLED, others=_CALLS)
            # No pickle, which could be any program, of who is not known yet.
            return other, json.loads(other.recv_bytes(_LONGEST_GREETING))
    except AuthenticationError:
        other.close()
        raise
    except (EOFError, OSError, ValueError):
        other.close()
        return None


def _prove_key(
    other: connection.Connection, key: bytes, *, own: bytes, others: bytes
) -> None:
    """Has both ends show each other that they know the key, without telling it.

    Raises:
      AuthenticationError: the other end has another one.
      EOFError, OSError: it does not do as a command does.
    """
    # Not as `multiprocessing` does before Python 3.12: by MD5, which some machines bar.
    drawn = os.urandom(_NUM_DRAWN)
    other.send_bytes(drawn)
    others_drawn = other.recv_bytes(_NUM_DRAWN)
    other.send_bytes(hmac.digest(key, own + others_drawn, "sha256"))
    answer = other.recv_bytes(_NUM_DRAWN)
    if not hmac.compare_digest(answer, hmac.digest(key, others + drawn, "sha256")):
        raise AuthenticationError("the other end has another key")


@contextlib.contextmanager
def _limited(other: connection.Connection, seconds: float) -> Iterator[None]:
    """Has what is read and written in a block take so long each; else OSError."""
    with socket.socket(fileno=os.dup(other.fileno())) as own:
        _limit(own, seconds)
        yield
        _limit(own, 0.0)


def _limit(own: socket.socket, seconds: float) -> None:
    """Sets how long the kernel waits for the other end; 0: for as long as it takes."""
    whole = int(seconds)
    value = struct.pack("ll", whole, int((seconds - whole) * 1e6))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        own.setsockopt(socket.SOL_SOCKET, option, value)


def _connection(made: socket.socket) -> connection.Connection:
    """Returns a connection over a socket of its own, which sends at once."""
    made.settimeout(None)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEPT_ALIVE.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection.Connection(made.detach())


def _key() -> bytes:
    """Returns what both ends have to know."""
    return hashlib.sha256(os.environ.get(KEY_VARIABLE, "").encode()).digest()
