"""A Ray cluster: finding it, and what its nodes have room for."""

import contextlib
import dataclasses
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Sequence

from tflottery.core import hardware, stopping
from tflottery.core.environment import SetupError
from tflottery.training import distribution
from tflottery.training.distribution import Placement

# A cluster of this machine alone, begun and ended by the command.
LOCAL = "local"
# The program that asks takes seconds to start, on a busy machine many.
_ANSWER_SECONDS = 30.0
_CALL_SECONDS = 10.0
# Nothing goes through Ray's object store. This is what it takes at least.
_OBJECT_STORE_BYTES = 80 * 2**20
_SILENT = {"log_to_driver": False, "logging_level": "ERROR"}
_HIDDEN_GPUS = ("", "-1")
# Whether this process is connected by `connect`, and not by a notebook before it.
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


def validate_address(address: str | None) -> None:
    """Raises ValueError if an address can be none of a cluster."""
    scheme = address.partition("://")[0] if "://" in (address or "") else None
    if scheme is not None:
        raise ValueError(
            f"--ray_address={address!r} has to be HOST:PORT, auto, or local. What "
            "answers at a URL takes whole commands: ray job submit --address=http://"
            "HOST:8265 -- python -m tflottery..."
        )


def connect(address: str | None, *, may_start: bool) -> bool:
    """Connects this process to a cluster, unless it is connected already.

    Args:
      address: HOST:PORT, "auto" for one that runs on this machine, or `LOCAL` for one
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
    address = address or os.environ.get("RAY_ADDRESS")
    validate_address(address)
    if address not in (None, "auto", LOCAL):
        _refuse_silent(address)
    if address != LOCAL:
        try:
            with _own_signals():
                ray.init(address=address or "auto", **_SILENT)
            _connected.append(True)
            return True
        except (ConnectionError, RuntimeError, ValueError) as error:
            if address is not None or not isinstance(error, ConnectionError):
                raise SetupError(_no_cluster(address or "auto", str(error))) from error
    if may_start:
        _start(ray)
        _connected.append(True)
    return may_start


def disconnect() -> None:
    """Ends a connection of `connect`, and a cluster that was started for it."""
    if _connected:
        _connected.clear()
        with _own_signals():
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
                address=LOCAL,
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


def _refuse_silent(address: str) -> None:
    """Raises SetupError unless a cluster answers soon, which `ray.init` would await."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            called = (host.strip("[]"), int(port))
            socket.create_connection(called, timeout=_CALL_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise SetupError(_no_cluster(address, str(error))) from error
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    try:
        subprocess.run(
            [*command, "--address", address],
            check=True,
            capture_output=True,
            timeout=_ANSWER_SECONDS,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        reason = f"nothing answers within {_ANSWER_SECONDS:.0f} s"
        raise SetupError(_no_cluster(address, reason)) from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        reason = lines[-1] if lines else "it is none"
        raise SetupError(_no_cluster(address, reason)) from error


def _no_cluster(address: str, reason: str) -> str:
    return (
        f"There is no Ray cluster that can be used at --ray_address={address!r}: "
        f"{reason}. Start one (ray start --head), name another, or take --ray_address="
        f"{LOCAL} for the processors of this machine."
    )


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
