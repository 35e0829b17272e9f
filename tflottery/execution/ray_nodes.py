"""The nodes of a Ray cluster: which come and go, and whether they fit one another."""

from collections.abc import Sequence

from tflottery.execution import ray_cluster, ray_worker
from tflottery.execution.ray_cluster import Demand
from tflottery.execution.ray_worker import Node


class NodeWatch:
    """What the cluster has room for, and what has changed since the last look."""

    def __init__(self, demand: Demand):
        """Args:
        demand: what a worker takes of a node.
        """
        self._demand = demand
        # Names of nodes by Ray's name for them.
        self._names: dict[str, str] = {}
        self.num_workers = 0

    def look(self) -> list[str]:
        """Returns what there is to tell of nodes that came or went.

        Changes: `num_workers`, for how many there is room.
        """
        alive = ray_cluster.alive_nodes()
        self.num_workers = sum(
            self._demand.num_workers(one["Resources"]) for one in alive
        )
        names = {
            one["NodeID"]: f"{one['NodeManagerHostname']} ({one['NodeManagerAddress']})"
            for one in alive
        }
        before, self._names = self._names or names, names
        come, gone = names.keys() - before.keys(), before.keys() - names.keys()
        return [
            *(f"Node {names[one]} has joined the Ray cluster." for one in come),
            *(f"Node {before[one]} has left the Ray cluster." for one in gone),
        ]


def difference(node: Node, others: Sequence[Node], *, is_late: bool) -> str | None:
    """Returns why a node does not fit the others of a command, None if it does.

    Args:
      node: which one.
      others: those that work already.
      is_late: whether the command has begun, so that its files may have changed.
    """
    ours = ray_worker.environment()
    names = ("tflottery", "packages", *([] if is_late else ["git_commit"]))
    for name in names:
        if node.environment[name] != ours[name]:
            return (
                f"its {name} is {node.environment[name]}, and that of the command "
                f"{ours[name]}"
            )
    if any(one.drafts == node.drafts and one.boot != node.boot for one in others):
        return (
            "another node has the same host name and the same id (/etc/machine-id), by "
            "which drafts in the store are told apart"
        )
    return None


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
