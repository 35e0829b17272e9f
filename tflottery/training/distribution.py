"""Where a network trains: one device, several of one or many hosts, or a TPU."""

import dataclasses
import functools
import os

from tflottery.core import hardware, training_hosts
from tflottery.core.environment import SetupError
from tflottery.core.training_hosts import Hosts

MULTI_WORKER = "multi_worker"
KINDS = ("none", "mirrored", MULTI_WORKER, "tpu")
# One device, until a plan shows that all at one run are faster.
AUTO = "auto"
NUM_LOGICAL_CPUS = 2


@dataclasses.dataclass(frozen=True)
class Placement:
    """What of the machine decides results, known before TensorFlow starts.

    Attributes:
      distribute: "none", "mirrored", "multi_worker" or "tpu".
      tpu: "local", or a TPU's name or address; only with "tpu".
      device: "cpu", "gpu" or "tpu".
      num_devices: how many share a batch; 0 where only the TPU can tell.
      threads: that compute in a process, where that is on the CPU.
      hosts: that train together; only with "multi_worker".
      is_remote: whether that is on other machines, which decides no results.
    """

    distribute: str = "none"
    tpu: str = "local"
    device: str = "cpu"
    num_devices: int = 1
    threads: int = 1
    hosts: Hosts | None = None
    is_remote: bool = dataclasses.field(default=False, compare=False)

    @property
    def num_local_devices(self) -> int:
        """How many of the devices are this host's."""
        num_hosts = len(self.hosts.addresses) if self.hosts else 1
        return self.num_devices // num_hosts


def placement(distribute: str, *, tpu: str = "local", threads: int = 1) -> Placement:
    """Returns the placement on this machine; two logical CPUs stand in for GPUs.

    Raises:
      ValueError: there is no such way to distribute, a TPU is named and not used,
        threads are asked of what does not compute with them, or the environment
        tells of no hosts.
      SetupError: there are GPUs that cannot be used.
    """
    known = (*KINDS, AUTO)
    if distribute not in known:
        raise ValueError(
            f"There is no way to distribute {distribute!r}. Known: {', '.join(known)}."
        )
    if tpu != "local" and distribute != "tpu":
        raise ValueError(
            f"--tpu={tpu!r} names a TPU, and --distribute={distribute} uses none: add "
            "--distribute=tpu, or leave --tpu out."
        )
    distribute = "none" if distribute == AUTO else distribute
    # A TPU needs no GPU, and a broken one does not keep it from training.
    gpus = 0 if distribute == "tpu" else len(hardware.visible_gpus())
    device = "tpu" if distribute == "tpu" else "gpu" if gpus else "cpu"
    if threads > 1 and device != "cpu":
        raise ValueError(
            f"--threads={threads!r} divides computation on a CPU, and training is to "
            f"run on a {device.upper()}. Leave it out."
        )
    if distribute == "tpu":
        return Placement(distribute, tpu=tpu, device=device, num_devices=0)
    if distribute == MULTI_WORKER:
        hosts = training_hosts.told_by(os.environ)
        if len(hosts.addresses) > 1:
            num_devices = len(hosts.addresses) * (gpus or 1)
            return Placement(
                distribute,
                device=device,
                num_devices=num_devices,
                threads=threads,
                hosts=hosts,
            )
        # One host by itself is a host like others.
        distribute = "mirrored" if gpus > 1 else "none"
    # Mirroring over a single device is training on that device.
    if distribute == "none" or gpus == 1:
        return Placement(device=device, threads=threads)
    replicas = gpus or NUM_LOGICAL_CPUS
    return Placement(distribute, device=device, num_devices=replicas, threads=threads)


def validate_tpu(chosen: Placement) -> None:
    """Raises SetupError if a local TPU is asked for where there can be none.

    Takes no time and starts nothing.
    """
    if chosen.device == "tpu" and chosen.tpu == "local" and not hardware.may_have_tpu():
        reason = "there is neither a device of one here nor the library libtpu"
        raise SetupError(_no_tpu(chosen.tpu, reason))


def validate(chosen: Placement) -> None:
    """Raises SetupError unless TensorFlow has a placement's devices and no others.

    A placement is part of a run's key, so what trained elsewhere must not be stored
    under it. Starts TensorFlow; whether a TPU answers shows in `strategy`.
    """
    import tensorflow as tf

    if chosen.device == "tpu":
        return
    expected = chosen.num_devices if chosen.device == "gpu" else 0
    try:
        found, reason = len(tf.config.list_logical_devices("GPU")), ""
    except (RuntimeError, tf.errors.OpError) as error:
        found, reason = 0, f" ({error})"
    # Fewer than the plan counts on, or some where it counts on none.
    if expected and found < expected:
        built_for = tf.sysconfig.get_build_info().get("cuda_version", "no CUDA")
        raise SetupError(
            f"Training is to run on {expected} GPU{'s' * (expected > 1)} that NVIDIA's "
            f"driver has, but TensorFlow finds {found}{reason}. Install the libraries "
            "that it needs (pip install 'tensorflow[and-cuda]') and a driver for CUDA "
            f"{built_for} or newer, which this TensorFlow is built for; or set "
            "CUDA_VISIBLE_DEVICES=-1 to train on the CPU."
        )
    if found and not expected:
        raise SetupError(
            "Training is to run on the CPU, but TensorFlow would use "
            f"{found} GPU{'s' * (found > 1)} in this process. Where the driver is not "
            "NVIDIA's, hide them (HIP_VISIBLE_DEVICES=-1 for ROCm); where TensorFlow "
            "was started before, let worker processes train instead of "
            'executor="inline".'
        )


def validate_batch(*, batch_size: int, num_replicas: int, num_devices: int) -> None:
    """Raises ValueError unless devices have as many parts each, of as many images.

    Args:
      batch_size: images of an update.
      num_replicas: parts of a batch, each normalized by itself.
      num_devices: that share a batch.
    """
    if batch_size % num_replicas:
        raise ValueError(
            f"A batch of {batch_size} cannot be shared by {num_replicas} replicas: "
            "--batch_size has to be a multiple of their number."
        )
    if num_replicas % num_devices:
        raise ValueError(
            f"A batch of {batch_size} that has {num_replicas} part"
            f"{'s' * (num_replicas > 1)} of {batch_size // num_replicas} images "
            f"(replica_batch_size) cannot be shared by {num_devices} devices: the "
            "number of parts has to be a multiple of theirs. Use fewer devices "
            "(CUDA_VISIBLE_DEVICES says which), or other parts "
            "(--replica_batch_size), which are another training."
        )


def num_devices_of(strategy: object | None) -> int:
    """Returns how many devices a strategy distributes batches over; None is one."""
    return strategy.num_replicas_in_sync if strategy else 1


def parts(
    strategy: object | None, *, batch_size: int, num_replicas: int | None
) -> tuple[int, int]:
    """Returns how many parts of a batch each device has, and the examples of each.

    Args:
      strategy: distributes batches; None is one device.
      batch_size: images of an update.
      num_replicas: parts of a batch; None: one a device.

    Raises:
      ValueError: devices or parts do not divide a batch.
    """
    num_devices = num_devices_of(strategy)
    num_replicas = num_replicas or num_devices
    validate_batch(
        batch_size=batch_size, num_replicas=num_replicas, num_devices=num_devices
    )
    return num_replicas // num_devices, batch_size // num_replicas


def has_gpu() -> bool:
    """Returns whether TensorFlow computes on GPUs here."""
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def mirrored_devices(chosen: Placement) -> list[str]:
    """Returns TensorFlow's names of this host's devices, if networks are mirrored."""
    if chosen.distribute not in ("mirrored", MULTI_WORKER):
        return []
    count = chosen.num_local_devices
    return [f"{chosen.device.upper()}:{index}" for index in range(count)]


@functools.cache
def strategy(chosen: Placement) -> object | None:
    """Returns the tf.distribute strategy of a placement; None is one device.

    There is one of each per process: a second over the same devices would reuse the
    first one's collective keys and fail. That of several hosts is made before anything
    else of TensorFlow runs, and waits for all of them.

    Raises:
      SetupError: no TPU answers, or the hosts do not find together; says what to check.
    """
    import tensorflow as tf

    if chosen.distribute == "none":
        return None
    if chosen.distribute == "mirrored":
        return tf.distribute.MirroredStrategy(mirrored_devices(chosen))
    if chosen.distribute == MULTI_WORKER:
        return _over_hosts(chosen)
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=chosen.tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:80]!r}"
        raise SetupError(_no_tpu(chosen.tpu, reason)) from error


def _over_hosts(chosen: Placement) -> object:
    """Returns the strategy over the devices of several hosts."""
    import tensorflow as tf

    hosts, distribute = chosen.hosts, tf.distribute
    resolver = distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(hosts.addresses)}),
        task_type="worker",
        task_id=hosts.index,
        rpc_layer="grpc",
    )
    # Named, so that it is the same each time, and with it the order of sums.
    known = distribute.experimental.CommunicationImplementation
    implementation = known.NCCL if chosen.device == "gpu" else known.RING
    try:
        return distribute.MultiWorkerMirroredStrategy(
            cluster_resolver=resolver,
            communication_options=distribute.experimental.CommunicationOptions(
                implementation=implementation
            ),
        )
    except Exception as error:
        raise SetupError(
            f"TensorFlow's processes on {', '.join(hosts.addresses)} do not find "
            f"together ({type(error).__name__}: {str(error)[:200]!r}). Each has to "
            "reach the others at these ports."
        ) from error


def _no_tpu(tpu: str, reason: str) -> str:
    """Returns what to say and to check where no TPU answers."""
    return (
        f"No TPU answers at --tpu={tpu!r} ({reason}). On a TPU "
        "VM use --tpu=local, with the tensorflow-tpu package of TensorFlow's own "
        "version installed and no other process on the TPU; from elsewhere give "
        "the TPU's name, its zone and project being gcloud's current ones."
    )
