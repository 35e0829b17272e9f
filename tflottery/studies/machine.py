"""Where and how the work of a command is done: its options, and its workers."""

import dataclasses
import os
import typing

from tflottery.core import hardware, paths
from tflottery.datasets import tfds_source
from tflottery.execution import ray_address, ray_cluster, utilization
from tflottery.execution.inline import InlinePool
from tflottery.execution.leader import Leader
from tflottery.execution.multi_worker_pool import MultiWorkerPool
from tflottery.execution.plan import Plan
from tflottery.execution.pool import Pool
from tflottery.execution.ray_pool import RayPool
from tflottery.execution.worker import WorkerSettings
from tflottery.execution.worker_pool import WorkerPool
from tflottery.store.store import Store
from tflottery.studies.config import option, validate_count
from tflottery.training import distribution
from tflottery.training.distribution import Placement

# More only wait for one another, each with a TensorFlow of its own in memory. On CPUs
# their threads count.
_MOST_WORKERS_PER_DEVICE = 8
RAY = "ray"
# Each worker has a node's devices for itself, or some of them.
_DISTRIBUTED_BY_RAY = ("none", "mirrored", "tpu")
EXECUTORS = ("local", "inline", RAY)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """Options that say where and how the work is done."""

    GROUP: typing.ClassVar[str] = "Machine"

    data_dir: str | None = option(
        None, "folder of prepared tensorflow-datasets; None: ~/tensorflow_datasets"
    )
    output_dir: str | None = option(
        None, "folder for tables and figure; None: results/EXPERIMENT/CONFIGURATION"
    )
    store: str | None = option(
        None,
        "folder or URL that keeps what was trained; None: $TFLOTTERY_STORE, else "
        "~/.cache/tflottery/store",
    )
    workers: int | None = option(
        None,
        "processes that train at the same time, several on a GPU too; None: one per "
        "GPU, else per core, or per --threads of them, of all nodes with ray",
    )
    threads: int = option(
        1,
        "that compute in each process on a CPU; they change bits, so that runs with "
        "others are trained anew",
    )
    executor: str = option(
        "local",
        "local: worker processes; ray: workers on the nodes of a Ray cluster; inline: "
        "all in this process, for debugging",
    )
    ray_address: str | None = option(
        None,
        "with --executor=ray: HOST:PORT of the cluster, auto for the one that this "
        "machine is part of, or local to start one here; None: $RAY_ADDRESS, else auto "
        "if there is one, else local",
    )
    distribute: str = option(
        "none",
        "spread each batch: none, mirrored (over all GPUs), multi_worker (over those "
        "of all hosts that TF_CONFIG or Slurm names, each of which runs the command), "
        "tpu, or auto (over all GPUs where too few runs go on at once for them and "
        "keys stay the same; not with --workers)",
    )
    tpu: str = option("local", "with --distribute=tpu: local, or the TPU's name")
    checkpoint_every: float = option(
        60.0, "seconds of work of a job that a kill may lose"
    )
    plugins: tuple[str, ...] = option(
        (), "modules of your own that register models, data sets and more, a list"
    )
    tensorboard: str | None = option(
        None,
        "folder for TensorBoard's event files: trainings, and what the tables say, as "
        "curves; None: none are written",
    )
    dry_run: bool = option(False, "print the plan and stop")

    def validate(self) -> None:
        """Raises ValueError for options that make no sense."""
        for name in ("data_dir", "output_dir", "store", "tensorboard"):
            value = getattr(self, name)
            if value is not None and not value.strip():
                raise ValueError(
                    f"--{name}={value!r} is empty. Name a folder, or leave it out."
                )
        for name in ("output_dir", "tensorboard"):
            value = getattr(self, name)
            if "://" in (value or ""):
                raise ValueError(
                    f"--{name}={value!r} has to be a folder of this machine: what is "
                    "appended to, or locked, cannot be in a bucket as a store can."
                )
        if self.tensorboard is not None:
            path = paths.expanded(self.tensorboard)
            if os.path.exists(path) and not os.path.isdir(path):
                raise ValueError(f"--tensorboard={path!r} is no folder. Name another.")
        validate_count("workers", self.workers)
        validate_count("threads", self.threads)
        if not self.checkpoint_every > 0:
            raise ValueError(
                f"--checkpoint_every={self.checkpoint_every!r} has to be above zero."
            )
        if self.data_dir is not None:
            tfds_source.folder(self.data_dir)
        if self.executor not in EXECUTORS:
            raise ValueError(
                f"There is no executor {self.executor!r}. Known: "
                f"{', '.join(EXECUTORS)}."
            )
        self._validate_ray()
        if self.executor != "local" and self.distribute == distribution.MULTI_WORKER:
            raise ValueError(
                f"--distribute='multi_worker' has one worker process a host, and "
                f"--executor={self.executor!r} works otherwise. Say --executor=local."
            )
        if self.executor == "inline" and self.distribute == distribution.AUTO:
            raise ValueError(
                "--distribute='auto' chooses among worker processes, and "
                "--executor='inline' has none. Say none or mirrored."
            )

    def _validate_ray(self) -> None:
        """Raises ValueError for options that do not suit a Ray cluster, or only one."""
        if self.executor != RAY:
            if self.ray_address is not None:
                raise ValueError(
                    f"--ray_address={self.ray_address!r} goes with --executor=ray."
                )
            return
        ray_address.validate(self.ray_address)
        if self.distribute not in _DISTRIBUTED_BY_RAY:
            raise ValueError(
                f"--distribute={self.distribute!r} does not go with --executor=ray, "
                f"each of whose workers trains runs of its own on one node. Say one of "
                f"{', '.join(_DISTRIBUTED_BY_RAY)}."
            )
        if self.distribute == "tpu" and self.tpu != "local":
            raise ValueError(
                f"--tpu={self.tpu!r} with --executor=ray: workers train on the TPUs of "
                "their own hosts. Leave --tpu out."
            )


def placement_of(machine: Machine) -> Placement:
    """Returns where the workers of a command train.

    Connects to the Ray cluster that is asked for. For a dry run none is started, and
    the plan is as of this machine then.

    Raises:
      ValueError: an option is wrong.
      SetupError: there are GPUs that cannot be used; or Ray is not installed, or there
        is no such cluster.
    """
    if machine.executor == RAY and ray_cluster.connect(
        machine.ray_address, may_start=not machine.dry_run
    ):
        return ray_cluster.placement(machine.distribute, threads=machine.threads)
    chosen = distribution.placement(
        machine.distribute, tpu=machine.tpu, threads=machine.threads
    )
    distribution.validate_tpu(chosen)
    return chosen


def pool_of(
    machine: Machine,
    placement: Placement,
    store: Store,
    *,
    leader: Leader | None = None,
) -> WorkerPool:
    """Returns the pool: one worker per GPU or core, one in all where they share.

    Args:
      machine: the options.
      placement: where workers train.
      store: theirs.
      leader: of hosts that train together, where this one is their chief.

    Raises:
      ValueError: there are to be more workers, or threads, than would get on.
    """
    if placement.is_remote:
        gpu = "ray" if placement.device == "gpu" else None
        return RayPool(
            _worker_settings(machine, placement, store, gpu=gpu),
            ray_cluster.demand(placement),
            num_workers=machine.workers,
            is_only_asked=machine.dry_run,
        )
    settings = _settings(machine, placement, store)
    if leader is not None:
        own = dataclasses.replace(settings[0], orders=leader.orders)
        return MultiWorkerPool(own, others=leader)
    return InlinePool(settings[0]) if machine.executor == "inline" else Pool(settings)


def one_workers_settings(
    machine: Machine, placement: Placement, store: Store
) -> WorkerSettings:
    """Returns the settings of a host's one worker, where hosts train together."""
    return _settings(machine, placement, store)[0]


def settled(
    machine: Machine,
    placement: Placement,
    plan: Plan,
    *,
    pool: Pool,
    store: Store,
) -> Placement:
    """Returns where what is left to do is best done, having workers do it there.

    With --distribute=auto all GPUs share each batch where that is faster, unless
    --workers says who has which. What is trained has the same keys either way, and
    differs by rounding.

    Args:
      machine: the options.
      placement: where workers train by now.
      plan: what is to be done.
      pool: of the workers.
      store: theirs.

    Changes: the pool has other workers, where they train elsewhere from now on.
    """
    if machine.distribute != distribution.AUTO or machine.workers is not None:
        return placement
    num_gpus = len(hardware.visible_gpus())
    if num_gpus < 2 or not utilization.is_faster_together(plan, num_devices=num_gpus):
        return placement
    together = distribution.placement("mirrored")
    pool.begin_anew(_settings(machine, together, store))
    return together


def _settings(
    machine: Machine, placement: Placement, store: Store
) -> list[WorkerSettings]:
    """Returns the settings of each worker; raises ValueError if they are too many."""
    gpus = [] if placement.device == "tpu" else hardware.visible_gpus()
    threads = placement.threads
    if placement.distribute != "none":
        devices, usual = ["all" if gpus else None], 1
        if machine.workers not in (None, usual):
            raise ValueError(
                f"--workers={machine.workers} with --distribute={machine.distribute}: "
                "one worker uses all devices then. Leave --workers out."
            )
    elif gpus:
        devices, usual = gpus, len(gpus)
    else:
        devices, usual = [None], max(1, hardware.visible_cores() // threads)
    count = machine.workers or usual
    if machine.executor != RAY:
        # Else this is a dry run, and they are of a cluster that is still to come.
        _validate_workers(count, threads=threads, gpus=len(gpus))
    # Several on a GPU take its memory as they need it (`core.environment`).
    return [
        _worker_settings(
            machine,
            placement,
            store,
            gpu=devices[number % len(devices)],
            num_sharing=_num_sharing(number, count=count, num_gpus=len(gpus)),
        )
        for number in range(count)
    ]


def _worker_settings(
    machine: Machine,
    placement: Placement,
    store: Store,
    *,
    gpu: str | None,
    num_sharing: int = 1,
) -> WorkerSettings:
    """Returns the settings of a worker that has this GPU, alone or with others."""
    return WorkerSettings(
        store=store.root,
        data_dir=machine.data_dir,
        placement=placement,
        gpu=gpu,
        num_sharing=num_sharing,
        checkpoint_seconds=machine.checkpoint_every,
        plugins=machine.plugins,
    )


def _num_sharing(number: int, *, count: int, num_gpus: int) -> int:
    """Returns how many of so many workers use a worker's GPU, which go round."""
    if num_gpus < 1 or count == 1:
        return 1
    return len(range(number % num_gpus, count, num_gpus))


def _validate_workers(count: int, *, threads: int, gpus: int) -> None:
    """Raises ValueError if there are more workers, or threads of them, than get on.

    Args:
      count: processes at the same time.
      threads: of each.
      gpus: how many they share; 0: they share the cores.
    """
    devices = gpus or hardware.visible_cores()
    if count * threads <= _MOST_WORKERS_PER_DEVICE * devices:
        return
    kind = "GPU" if gpus else "core"
    asked = f"--workers={count}"
    if threads > 1:
        asked = f"--threads={threads} in each of {count} worker{'s' * (count > 1)}"
    raise ValueError(
        f"{asked} is too many for the {devices} {kind}{'s' * (devices != 1)} of this "
        f"machine, of which each serves {_MOST_WORKERS_PER_DEVICE} at most. Leave it "
        "out for one on each."
    )
