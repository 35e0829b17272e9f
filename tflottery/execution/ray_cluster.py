"""A Ray cluster: finding it, and what its nodes have room for."""

import contextlib
import dataclasses
import importlib.util
import os
import signal
import types
from collections.abc import Sequence

from tflottery.core import hardware, stopping
from tflottery.core.environment import SetupError
from tflottery.execution import ray_address, ray_calls
from tflottery.training import distribution
from tflottery.training.distribution import Placement

# Until a head that does not answer is left behind.
_SHUTDOWN_SECONDS = 3.0
# Nothing goes through Ray's object store. This is what it takes at least.
_OBJECT_STORE_BYTES = 80 * 2**20
_SILENT = {"log_to_driver": False, "logging_level": "ERROR"}
_HIDDEN_GPUS = ("", "-1")
# Where this process is connected by `connect`, and not by a notebook before it: whether
# to a cluster that it has not started.
_connected: list[bool] = []


@dataclasses.dataclass(frozen=True)
class Demand:
    """What a worker takes of a node.

    Attributes:
      cpus: processors.
      gpus: GPUs.
      tpus: chips of a TPU.
    """

    cpus: int = 1
    gpus: int = 0
    tpus: int = 0

    def num_workers(self, resources: dict[str, float]) -> int:
        """Returns how many workers a node with such resources has room for."""
        return min(
            int(resources.get(name, 0) // count)
            for name, count in self._named().items()
        )

    def told_of(self, resources: dict[str, float]) -> str:
        """Returns in words how much there is of what a worker takes."""
        found = (f"{resources.get(name, 0):g} {name}" for name in self._named())
        return " and ".join(found)

    def __str__(self) -> str:
        return self.told_of(self._named())

    def options(self) -> dict[str, object]:
        """Returns the same as options of an actor."""
        chips = {"TPU": self.tpus} if self.tpus else {}
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, "resources": chips}

    def _named(self) -> dict[str, int]:
        """Returns what it takes by Ray's names."""
        named = {"CPU": self.cpus, "GPU": self.gpus, "TPU": self.tpus}
        return {name: count for name, count in named.items() if count}


def library() -> types.ModuleType:
    """Returns the module of Ray.

    Raises:
      SetupError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise SetupError(
            "--executor=ray takes Ray, which is not installed here: pip install "
            "'tflottery[ray]', on each node."
        )
    # Nobody is told that a study was begun.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    return ray


def connect(address: str | None, *, may_start: bool) -> bool:
    """Connects this process to a cluster, unless it is connected already.

    Args:
      address: HOST:PORT, "auto" for one that runs on this machine, or "local" for one
        that is started; None: $RAY_ADDRESS, else either of the two.
      may_start: whether one may be started.

    Returns:
      Whether there is a cluster; where one may be started there always is.

    Raises:
      SetupError: Ray is not installed, or no cluster of its version answers.
      ValueError: the address can be none.
    """
    ray = library()
    if ray.is_initialized():
        return True
    ray_address.validate(address)
    chosen, told = ray_address.named(address)
    if chosen != ray_address.LOCAL and ray_address.is_there(address):
        try:
            with _own_signals(), ray_address.unset():
                ray.init(address=chosen or ray_address.AUTO, **_SILENT)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise SetupError(ray_address.no_cluster(told, str(error))) from error
        _connected.append(True)
        return True
    if may_start:
        _start(ray)
        _connected.append(False)
    return may_start


def disconnect() -> None:
    """Ends a connection of `connect`, and a cluster that was started for it."""
    if not _connected:
        return
    is_to_others = _connected.pop()
    with _own_signals():
        if is_to_others:
            ray_calls.disconnect(library().shutdown, seconds=_SHUTDOWN_SECONDS)
        else:
            library().shutdown()


def alive_nodes() -> list[dict[str, object]]:
    """Returns what Ray tells of the nodes that it believes to be there."""
    return [node for node in library().nodes() if node["Alive"]]


def placement(distribute: str, *, threads: int) -> Placement:
    """Returns where each worker of the connected cluster trains.

    On GPUs if any node has some; CUDA_VISIBLE_DEVICES=-1 has the processors train.

    Raises:
      ValueError: workers cannot train so on a cluster.
      SetupError: no node has what they need.
    """
    resources = [node["Resources"] for node in alive_nodes()]
    if distribute == "tpu":
        if not _counts(resources, "TPU"):
            raise SetupError(
                "--distribute=tpu: no node of the Ray cluster tells of a TPU. On TPU "
                "VMs start Ray where libtpu is installed, or with --resources="
                "'{\"TPU\": 8}'."
            )
        return Placement("tpu", device="tpu", num_devices=0, is_remote=True)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in _HIDDEN_GPUS
    gpus = [] if hidden else _counts(resources, "GPU")
    if not gpus:
        replicas = distribution.NUM_LOGICAL_CPUS if distribute == "mirrored" else 1
        return Placement(
            distribute, num_devices=replicas, threads=threads, is_remote=True
        )
    if threads > 1:
        raise ValueError(
            f"--threads={threads!r} divides computation on a CPU, and nodes of the Ray "
            "cluster have GPUs. Leave it out."
        )
    if distribute == "none" or gpus == [1]:
        return Placement(device="gpu", is_remote=True)
    if len(gpus) > 1:
        raise ValueError(
            f"--distribute={distribute!r} shares each batch among the GPUs of a node, "
            f"and nodes of the Ray cluster have {', '.join(map(str, gpus))}: results "
            "would depend on which node makes them. Leave it out."
        )
    return Placement(distribute, device="gpu", num_devices=gpus[0], is_remote=True)


def demand(chosen: Placement) -> Demand:
    """Returns what a worker takes of a node of the connected cluster."""
    if chosen.device == "cpu":
        return Demand(cpus=chosen.threads)
    if chosen.device == "gpu":
        return Demand(gpus=chosen.num_devices)
    # One process has all chips of a host.
    chips = _counts([node["Resources"] for node in alive_nodes()], "TPU")
    return Demand(tpus=min(chips))


def _start(ray: types.ModuleType) -> None:
    """Starts a cluster of this machine alone, which ends with this process."""
    # Signals reach the whole group of a command, and are for the command alone.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, stopping.SIGNALS)
    try:
        with _own_signals():
            ray.init(
                address=ray_address.LOCAL,
                num_cpus=hardware.visible_cores(),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                **_SILENT,
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _counts(resources: Sequence[dict[str, float]], name: str) -> list[int]:
    """Returns how many of something nodes have that have any, each number once."""
    return sorted({int(one[name]) for one in resources if one.get(name, 0) >= 1})


@contextlib.contextmanager
def _own_signals() -> contextlib.AbstractContextManager[None]:
    """Keeps Ray from handling the signal that ends a process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            # Only the main thread may, and only there Ray does.
            signal.signal(signal.SIGTERM, before)
