"""Which hosts train one network together, as TF_CONFIG or Slurm's variables tell."""

import dataclasses
import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence

CONFIG = "TF_CONFIG"
# Jobs of Slurm get ports below those that systems hand out by themselves.
_FIRST_PORT, _NUM_PAIRS = 20_000, 6_000
_LAST_PORT = 65_535
_ADDRESS = re.compile(r"(\[[\w:.%]+\]|[\w.-]+):(\d{1,5})", re.ASCII)
# Where each host finds itself, or nobody.
_OF_ITSELF = ("localhost", "::1", "0.0.0.0", "::")
_FORM = (
    '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", '
    '"index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Hosts that train together, and which of them this is.

    Attributes:
      addresses: "host:port" of each, where its TensorFlow listens; the chief comes
        first. IPv6 addresses stand in brackets.
      index: of this host among them.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this host plans, writes and tells."""
        return self.index == 0

    @property
    def meeting_point(self) -> tuple[str, int]:
        """Host and port where the chief's command awaits the others."""
        host, port = _split(self.addresses[0])
        return host, port + 1

    @property
    def meeting_address(self) -> str:
        """The same for people."""
        return f"{self.addresses[0].rpartition(':')[0]}:{self.meeting_point[1]}"

    @property
    def own(self) -> tuple[str, int]:
        """This host, and the port where its TensorFlow listens."""
        return _split(self.addresses[self.index])

    def name(self, index: int) -> str:
        """Returns what a host is called, for people."""
        count = len(self.addresses)
        return f"worker {index} of {count} ({self.addresses[index]})"


def kept_variables() -> dict[str, str]:
    """Returns what a command heeds of the framework's variables, where it is set."""
    return {CONFIG: os.environ[CONFIG]} if CONFIG in os.environ else {}


def told_by(variables: Mapping[str, str]) -> Hosts:
    """Returns the hosts that environment variables tell of.

    Args:
      variables: those of a command; TF_CONFIG goes before Slurm's.

    Raises:
      ValueError: they tell of none, or of what cannot be; says what is wrong.
    """
    if variables.get(CONFIG, "").strip():
        return _of_config(variables[CONFIG])
    if "SLURM_PROCID" in variables:
        return _of_slurm(variables)
    raise ValueError(
        "--distribute='multi_worker' has nothing that says which hosts take part. Set "
        f"{CONFIG} on each of them ({_FORM}, with an index of its own), or begin the "
        "command with srun, one task a node."
    )


def is_of_itself(host: str) -> bool:
    """Returns whether a host's name leads each host to itself, or nowhere."""
    return host in _OF_ITSELF or host.startswith("127.")


def _of_config(text: str) -> Hosts:
    """Returns the hosts of a TF_CONFIG."""
    try:
        told = json.loads(text)
        named, task = told["cluster"], told["task"]
        chiefs, others = named.get("chief", []), named.get("worker", [])
        kind, index = task["type"], task["index"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _wrong(
            f"cannot be read ({type(error).__name__}: {error})", text
        ) from error
    if strangers := sorted(set(named) - {"chief", "worker"}):
        raise _wrong(f"names {strangers}, where only chief and worker train", text)
    if not (isinstance(chiefs, list) and isinstance(others, list)):
        raise _wrong("has to name hosts in lists: [...]", text)
    if len(chiefs) > 1 or not chiefs + others:
        raise _wrong("has to name workers, and one chief at most", text)
    _validate_addresses([*chiefs, *others], text)
    peers = chiefs if kind == "chief" else others if kind == "worker" else []
    # As TensorFlow takes it, which shells that put a variable there make of it.
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    # True is a number too, which nobody means.
    if type(index) is not int or not 0 <= index < len(peers):
        raise _wrong(
            f"says that this is {kind!r} number {index!r}, counted from 0, and names "
            f"{len(peers)} of these",
            text,
        )
    return Hosts((*chiefs, *others), index + (len(chiefs) if kind == "worker" else 0))


def _validate_addresses(addresses: Sequence[object], text: str) -> None:
    """Raises ValueError unless hosts have addresses that can all be used."""
    for address in addresses:
        parts = isinstance(address, str) and _ADDRESS.fullmatch(address)
        if not parts or not 0 < int(parts[2]) < _LAST_PORT:
            raise _wrong(
                f"names the worker {address!r}, which is no HOST:PORT with a port from "
                f"1 to {_LAST_PORT - 1} (and brackets around an IPv6 address)",
                text,
            )
    if len(set(addresses)) < len(addresses):
        raise _wrong("names a worker twice", text)
    hosts = {_split(one)[0] for one in addresses}
    own = sorted(filter(is_of_itself, hosts))
    if own and len(own) < len(hosts):
        raise _wrong(
            f"names {own[0]!r} beside other hosts, which do not reach it by that name",
            text,
        )
    host, _, port = addresses[0].rpartition(":")
    if f"{host}:{int(port) + 1}" in addresses[1:]:
        raise _wrong(
            f"gives another worker the port {int(port) + 1} of the first one's host, "
            "where that one's command awaits the others: leave it free",
            text,
        )


def _wrong(what: str, text: str) -> ValueError:
    return ValueError(f"{CONFIG} {what}. Expected the form {_FORM}; it is {text!r}.")


def _of_slurm(variables: Mapping[str, str]) -> Hosts:
    """Returns the hosts of a step of Slurm's, one task a node."""
    names = ("SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID")
    if lacking := [name for name in names if not variables.get(name)]:
        raise ValueError(
            f"--distribute='multi_worker' lacks {', '.join(lacking)}, which srun sets: "
            "begin the command with srun, one task a node."
        )
    hosts = expanded(variables["SLURM_STEP_NODELIST"])
    num_tasks = _number(variables, "SLURM_STEP_NUM_TASKS")
    if num_tasks != len(hosts):
        raise ValueError(
            f"--distribute='multi_worker' takes one task a node, which uses all of its "
            f"GPUs; srun began {num_tasks} on {len(hosts)}. Give it "
            "--ntasks-per-node=1."
        )
    index = _number(variables, "SLURM_PROCID")
    node = variables.get("SLURMD_NODENAME", hosts[index] if index < num_tasks else "")
    if index >= num_tasks or node != hosts[index]:
        raise ValueError(
            f"--distribute='multi_worker' takes task {index} to be on the node of that "
            f"number, counted from 0, of {variables['SLURM_STEP_NODELIST']}, and it is "
            f"on {node!r}. Begin the command with srun, without --distribution."
        )
    # Two ports a step: of TensorFlow, and where the chief's command awaits the others.
    number = _number(variables, "SLURM_JOB_ID")
    if "SLURM_STEP_ID" in variables:
        number += _number(variables, "SLURM_STEP_ID")
    port = _FIRST_PORT + 2 * (number % _NUM_PAIRS)
    return Hosts(tuple(f"{host}:{port}" for host in hosts), index)


def _number(variables: Mapping[str, str], name: str) -> int:
    """Returns a variable's number; raises ValueError if it holds none."""
    if not variables[name].isdecimal():
        raise ValueError(
            f"${name} is {variables[name]!r}, where srun puts a number. Begin the "
            "command with srun, one task a node."
        )
    return int(variables[name])


def expanded(nodes: str) -> list[str]:
    """Returns the hosts of a list in Slurm's form, such as "gpu[01-03,7],login".

    Raises:
      ValueError: it has no such form.
    """
    if nodes.count("[") != nodes.count("]"):
        raise ValueError(f"{nodes!r} is no list of nodes: its brackets do not pair.")
    # Commas inside of brackets part numbers, others part hosts.
    pieces = nodes.replace("]", "[").split("[")
    hosts, begun = [], [""]
    for inside, piece in zip(itertools.cycle((False, True)), pieces, strict=False):
        if inside:
            endings = [one for part in piece.split(",") for one in _numbers(part)]
            begun = [head + ending for head in begun for ending in endings]
            continue
        first, *others = piece.split(",")
        begun = [head + first for head in begun]
        for other in others:
            hosts += begun
            begun = [other]
    return [host for host in [*hosts, *begun] if host]


def _numbers(part: str) -> list[str]:
    """Returns "07", "08" and "09" of "07-09"."""
    first, dash, last = part.partition("-")
    if not (first.isdecimal() and (last.isdecimal() or not dash)):
        raise ValueError(f"{part!r} is no range of numbers in a list of nodes.")
    if not dash:
        return [first]
    found = range(int(first), int(last) + 1)
    if not found:
        raise ValueError(f"{part!r} is a range of no numbers in a list of nodes.")
    return [f"{one:0{len(first)}d}" for one in found]


def _split(address: str) -> tuple[str, int]:
    """Returns host, without brackets, and port of an address."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
