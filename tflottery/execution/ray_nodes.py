"""The nodes of a Ray cluster: which come and go, and whether they fit one another."""

import collections
import functools
import math
from collections.abc import Mapping, Sequence

import tflottery
from tflottery.core import installed_code
from tflottery.core.amounts import counted
from tflottery.core.environment import SetupError
from tflottery.core.timed_calls import Call
from tflottery.execution import ray_cluster, ray_worker
from tflottery.execution.ray_cluster import Demand
from tflottery.execution.ray_worker import Node

# How long a look may take; one that takes longer goes on beside all else.
_LOOK_SECONDS = 1.0
# After that a head counts as silent.
_SILENT_SECONDS = 30.0
# A node that was refused, as where a folder was not there yet, is asked again then.
_REFUSED_SECONDS = 600.0
_PACKAGE = tflottery.__name__
# Ray's name for the name of a node.
_LABEL = "ray.io/node-id"


class NodeWatch:
    """What the cluster has room for, and what has changed since the last look."""

    def __init__(self, demand: Demand):
        """Args:
        demand: what a worker takes of a node.
        """
        self._demand = demand
        # As the head told last, by Ray's name for a node; None before that.
        self._alive: dict[str, dict[str, object]] | None = None
        # Why some get no work, and until when.
        self._refused: dict[str, tuple[str, float]] = {}
        self._asked: Call[list[dict[str, object]]] | None = None
        self._answered = math.inf
        self._is_silent = False

    @property
    def num_workers(self) -> int:
        """For how many workers there is room."""
        return sum(
            self._demand.num_workers(one["Resources"])
            for identity, one in (self._alive or {}).items()
            if identity not in self._refused
        )

    @property
    def options(self) -> dict[str, object]:
        """Options of an actor that keep it from nodes that were refused."""
        if not self._refused:
            return {}
        return {"label_selector": {_LABEL: f"!in({','.join(sorted(self._refused))})"}}

    def refuse(
        self, identity: str, fault: str, now: float, *, for_good: bool = False
    ) -> None:
        """Has a node get no work, for good or for a while."""
        until = math.inf if for_good else now + _REFUSED_SECONDS
        self._refused[identity] = (fault, until)

    def fault(self, identity: str) -> str | None:
        """Returns why a node gets no work, None if it does."""
        return self._refused.get(identity, (None,))[0]

    def look(self, now: float) -> list[str]:
        """Returns what there is to tell of nodes that came or went, and of the head.

        Raises:
          SetupError: the head does not answer, and never has.
        """
        self._asked = self._asked or Call(ray_cluster.alive_nodes)
        is_first = self._alive is None
        try:
            found = self._asked.answer(_SILENT_SECONDS if is_first else _LOOK_SECONDS)
        except TimeoutError:
            if is_first:
                raise SetupError(
                    f"The head of the Ray cluster has not answered for "
                    f"{_SILENT_SECONDS:.0f} s."
                ) from None
            return self._told_of_silence(now)
        self._asked, self._answered = None, now
        came_back, self._is_silent = self._is_silent, False
        before, self._alive = self._alive, {one["NodeID"]: one for one in found}
        self._refused = {
            identity: (fault, until)
            for identity, (fault, until) in self._refused.items()
            if until > now and identity in self._alive
        }
        told = ["The head of the Ray cluster answers again."] if came_back else []
        return told if is_first else told + _changes(before, self._alive)

    def _told_of_silence(self, now: float) -> list[str]:
        """Returns what to tell of a head that does not answer, once."""
        if self._is_silent or now - self._answered < _SILENT_SECONDS:
            return []
        self._is_silent = True
        return [
            f"The head of the Ray cluster has not answered for {_SILENT_SECONDS:.0f} "
            "s. Jobs go on where they are; where workers are lost there will be none "
            "before it answers. Ray may end this command: the same one goes on."
        ]


def _changes(
    before: Mapping[str, dict[str, object]], after: Mapping[str, dict[str, object]]
) -> list[str]:
    """Returns what there is to tell of nodes that came and went."""
    come, gone = after.keys() - before.keys(), before.keys() - after.keys()
    return [
        *(f"Node {_name(after[one])} has joined the Ray cluster." for one in come),
        *(f"Node {_name(before[one])} has left the Ray cluster." for one in gone),
    ]


def _name(node: Mapping[str, object]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def difference(node: Node, others: Sequence[Node]) -> str | None:
    """Returns why a node does not fit the others of a command, None if it does.

    Args:
      node: which one.
      others: those that work already.
    """
    ours = ray_worker.environment()
    for name in ("tflottery", "packages"):
        if node.environment[name] != ours[name]:
            return (
                f"its {name} is {node.environment[name]}, and that of the command "
                f"{ours[name]}"
            )
    # The command's own, as it is by now: a user may change it while all share it.
    if node.code != _code() and node.code != installed_code.digest(_PACKAGE):
        return (
            f"its code of {_PACKAGE} is not that of the command. Install the same on "
            "all nodes"
        )
    if any(one.drafts == node.drafts and one.boot != node.boot for one in others):
        return (
            "another node has the same host name and the same id (/etc/machine-id), by "
            "which drafts in the store are told apart"
        )
    return None


@functools.cache
def _code() -> str:
    return installed_code.digest(_PACKAGE)


def refusal(nodes: Sequence[Node], store: str) -> str | None:
    """Returns what to say where nodes cannot work on a store; None: all can."""
    faults = [f"{node.host!r} ({node.fault})" for node in nodes if node.fault]
    if not faults:
        return None
    return (
        f"The store {store!r} cannot be worked on from "
        f"{'these nodes' if len(faults) > 1 else 'this node'} of the Ray cluster: "
        f"{'; '.join(faults)}. It has to be a folder that all nodes share under the "
        "same path, or a bucket (--store)."
    )


def workers_on(nodes: Sequence[Node]) -> str:
    """Returns how many workers there are and on which hosts, given each one's node."""
    hosts = {one.identity: one.host for one in nodes}
    counts = collections.Counter(one.identity for one in nodes)
    where = ", ".join(f"{hosts[one]} ({count})" for one, count in counts.items())
    are = "is" if len(nodes) == 1 else "are"
    return f"{counted(len(nodes), 'worker')} of Ray {are} ready: {where}."


def kinds(nodes: Sequence[Node]) -> str | None:
    """Returns what is to be known where nodes have several kinds of processors."""
    hosts: dict[str, list[str]] = {}
    for node in nodes:
        found = hosts.setdefault(str(node.environment["instruction_set"]), [])
        if node.host not in found:
            found.append(node.host)
    if len(hosts) < 2:
        return None
    told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in hosts.items())
    return (
        f"Nodes have several kinds of processors ({told}), between which results on "
        "a CPU differ by rounding."
    )
