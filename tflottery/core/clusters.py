"""Which hosts train one network together, as TF_CONFIG or Slurm's variables tell."""

import dataclasses
import itertools
import json
import os
from collections.abc import Mapping, Sequence

CONFIG = "TF_CONFIG"
# Jobs of Slurm get ports below those that systems hand out by themselves.
_FIRST_PORT, _NUM_PAIRS = 20_000, 6_000
_LAST_PORT = 65_535
_FORM = (
    '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", '
    '"index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Hosts that train together, and which of them this is.

    Attributes:
      workers: "host:port" of each, where its TensorFlow listens; the chief comes first.
      index: of this host among them.
    """

    workers: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this host plans, writes and tells."""
        return self.index == 0

    @property
    def meeting_point(self) -> tuple[str, int]:
        """Host and port where the chief's command awaits the others."""
        host, port = _split(self.workers[0])
        return host, port + 1

    @property
    def own_port(self) -> int:
        """The port where this host's TensorFlow listens."""
        return _split(self.workers[self.index])[1]

    def name(self, index: int) -> str:
        """Returns what a worker is called, for people."""
        return f"worker {index} of {len(self.workers)} ({self.workers[index]})"


def kept_variables() -> dict[str, str]:
    """Returns what a command heeds of the framework's variables, where it is set."""
    return {CONFIG: os.environ[CONFIG]} if CONFIG in os.environ else {}


def cluster_of(variables: Mapping[str, str]) -> Cluster:
    """Returns the cluster that environment variables tell of.

    Args:
      variables: those of a command; TF_CONFIG goes before Slurm's.

    Raises:
      ValueError: they tell of none, or of one that cannot be; says what is wrong.
    """
    if CONFIG in variables:
        return _from_config(variables[CONFIG])
    if "SLURM_PROCID" in variables:
        return _from_slurm(variables)
    raise ValueError(
        "--distribute='multi_worker' has nothing that says which hosts take part. Set "
        f"{CONFIG} on each of them ({_FORM}, with an index of its own), or begin the "
        "command with srun, one task a node."
    )


def _from_config(text: str) -> Cluster:
    """Returns the cluster of a TF_CONFIG."""
    try:
        told = json.loads(text)
        named, task = told["cluster"], told["task"]
        chiefs, others = named.get("chief", []), named.get("worker", [])
        kind, index = task["type"], task["index"]
        workers = [*chiefs, *others]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _wrong(
            f"cannot be read ({type(error).__name__}: {error})", text
        ) from error
    if strangers := sorted(set(named) - {"chief", "worker"}):
        raise _wrong(f"names {strangers}, where only chief and worker train", text)
    if len(chiefs) > 1 or not workers:
        raise _wrong("has to name workers, and one chief at most", text)
    _validate_workers(workers, text)
    peers = {"chief": chiefs, "worker": others}.get(kind, [])
    # True is a number too, which nobody means.
    if type(index) is not int or not 0 <= index < len(peers):
        raise _wrong(
            f"says that this is {kind!r} number {index!r}, counted from 0, and names "
            f"{len(peers)} of these",
            text,
        )
    return Cluster(tuple(workers), index + (len(chiefs) if kind == "worker" else 0))


def _validate_workers(workers: Sequence[object], text: str) -> None:
    """Raises ValueError unless workers have addresses that can all be used."""
    for worker in workers:
        host, _, port = worker.rpartition(":") if isinstance(worker, str) else [""] * 3
        if not host or not port.isdecimal() or not 0 < int(port) < _LAST_PORT:
            raise _wrong(
                f"names the worker {worker!r}, which is no HOST:PORT with a port from "
                f"1 to {_LAST_PORT - 1}",
                text,
            )
    if len(set(workers)) < len(workers):
        raise _wrong("names a worker twice", text)
    host, port = _split(workers[0])
    if f"{host}:{port + 1}" in workers[1:]:
        raise _wrong(
            f"gives another worker the port {port + 1} of the first one's host, where "
            "that one's command awaits the others: leave it free",
            text,
        )


def _wrong(what: str, text: str) -> ValueError:
    return ValueError(f"{CONFIG} {what}. Expected the form {_FORM}; it is {text!r}.")


def _from_slurm(variables: Mapping[str, str]) -> Cluster:
    """Returns the cluster of a step of Slurm's, one task a node."""
    names = ("SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID")
    if lacking := [name for name in names if not variables.get(name)]:
        raise ValueError(
            f"--distribute='multi_worker' lacks {', '.join(lacking)}, which srun sets: "
            "begin the command with srun, one task a node."
        )
    hosts = expanded(variables["SLURM_STEP_NODELIST"])
    num_tasks = int(variables["SLURM_STEP_NUM_TASKS"])
    if num_tasks != len(hosts):
        raise ValueError(
            f"--distribute='multi_worker' takes one task a node, which uses all of its "
            f"GPUs; srun began {num_tasks} on {len(hosts)}. Give it "
            "--ntasks-per-node=1."
        )
    # Two ports a step: of TensorFlow, and where the chief's command awaits the others.
    number = int(variables["SLURM_JOB_ID"]) + int(variables.get("SLURM_STEP_ID", 0))
    port = _FIRST_PORT + 2 * (number % _NUM_PAIRS)
    workers = tuple(f"{host}:{port}" for host in hosts)
    return Cluster(workers, int(variables["SLURM_PROCID"]))


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
    return [f"{one:0{len(first)}d}" for one in range(int(first), int(last) + 1)]


def _split(worker: str) -> tuple[str, int]:
    """Returns host and port of a worker's address."""
    host, _, port = worker.rpartition(":")
    return host, int(port)
