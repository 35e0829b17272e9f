"""Where a Ray cluster is: the address that a user names, and whether it answers there.

`ray.init` waits without end for a head that is there and does not answer. So another
process asks first, which can be given up.
"""

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

from tflottery.core.environment import SetupError

# The cluster that this machine is part of, and one of this machine alone, begun and
# ended by the command.
AUTO, LOCAL = "auto", "local"
VARIABLE = "RAY_ADDRESS"
# The program that asks takes seconds to start, on a busy machine many.
_ANSWER_SECONDS = 30.0
_CALL_SECONDS = 10.0
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:/\s]+):([0-9]{1,5})")
_MOST_PORT = 65535
# What Ray says where no cluster runs on this machine.
_NONE_HERE = "Could not find any running Ray instance"


def named(address: str | None) -> tuple[str | None, str]:
    """Returns the address to use, None where none is named, and what to call it."""
    if address is None and (found := os.environ.get(VARIABLE)):
        return found, f"${VARIABLE}={found!r}"
    return address, f"--ray_address={AUTO if address is None else address!r}"


def validate(address: str | None) -> None:
    """Raises ValueError if an address, or what the environment names, can be none."""
    address, told = named(address)
    if address in (None, AUTO, LOCAL):
        return
    if "://" in address:
        raise ValueError(
            f"{told} has to be HOST:PORT, {AUTO}, or {LOCAL}. What answers at a URL "
            "takes whole commands: ray job submit --address=http://HOST:8265 -- python "
            "-m tflottery..."
        )
    found = _HOST_AND_PORT.fullmatch(address)
    if found is None or not 0 < int(found[2]) <= _MOST_PORT:
        raise ValueError(
            f"{told} has to be HOST:PORT, as in first:6379 or [fd00::2]:6379, {AUTO}, "
            f"or {LOCAL}."
        )


def is_there(address: str | None) -> bool:
    """Returns whether a cluster answers; None or `AUTO`: that of this machine.

    Raises:
      SetupError: one was named, or is there, and does not answer.
    """
    address, told = named(address)
    is_here = address in (None, AUTO)
    if not is_here:
        host, _, port = address.rpartition(":")
        try:
            called = (host.strip("[]"), int(port))
            socket.create_connection(called, timeout=_CALL_SECONDS).close()
        except OSError as error:
            raise SetupError(no_cluster(told, str(error))) from error
    reason = _reason_against([] if is_here else ["--address", address])
    if reason is None:
        return True
    if address is None and _NONE_HERE in reason:
        return False
    raise SetupError(no_cluster(told, reason))


def no_cluster(told: str, reason: str) -> str:
    """Returns what to say where no cluster can be used.

    Args:
      told: what the address is called.
      reason: why not.
    """
    return (
        f"There is no Ray cluster that can be used at {told}: {reason}. Start one (ray "
        "start --head), name another, or take --ray_address="
        f"{LOCAL} for the processors of this machine."
    )


@contextlib.contextmanager
def unset() -> Iterator[None]:
    """Has Ray look for no address in the environment, where it would heed it first.

    Changes: os.environ, put back at the end.
    """
    before = os.environ.pop(VARIABLE, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[VARIABLE] = before


def _reason_against(arguments: list[str]) -> str | None:
    """Returns why a cluster cannot be used, None if it answers."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", *arguments]
    try:
        with unset():
            subprocess.run(
                command,
                check=True,
                capture_output=True,
                timeout=_ANSWER_SECONDS,
                text=True,
            )
    except subprocess.TimeoutExpired:
        return f"nothing answers within {_ANSWER_SECONDS:.0f} s"
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        return lines[-1].rstrip(".") if lines else "it is none"
    return None
