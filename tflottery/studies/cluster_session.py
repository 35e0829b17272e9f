"""One experiment by the commands of several hosts, which train each network together.

All run the same command. That of the chief is the one that makes, writes and tells;
the others have a worker each do what the chief's does, and end as it ends.
"""

import dataclasses
import importlib.metadata
import signal
import sys
import types
from collections.abc import Mapping

import tflottery
from tflottery.core import command_line, registry, stopping
from tflottery.core.environment import SetupError
from tflottery.execution.follower import Follower
from tflottery.execution.leader import Leader
from tflottery.execution.stop_request import say
from tflottery.store import manifests
from tflottery.store.errors import StoreError
from tflottery.store.store import Store
from tflottery.studies import endings, session
from tflottery.studies.config import Config, validated_members
from tflottery.studies.machine import Machine, cluster_settings, placement_of
from tflottery.training.distribution import Placement

# Folders that each host may have elsewhere; what is written there is the chief's.
_OWN_OPTIONS = ("data_dir", "output_dir", "store", "tensorboard")
_PACKAGES = ("keras", "numpy", "tensorflow")


def execute(module: types.ModuleType, config: Config, *, machine: Machine) -> int:
    """Makes an experiment's results together with the commands of other hosts.

    Args:
      module: the experiment.
      config: its options.
      machine: where and how.

    Returns:
      The exit code, as of `session.execute`; on every host that of the chief.

    Raises:
      ValueError: an option is wrong, or the environment tells of no cluster.
      StoreError: the store cannot be used or has too little room.
      SetupError: hosts do not find together.
      LostWorker: one is gone.
    """
    registry.load_plugins(machine.plugins, named_by="--plugins")
    validated_members(module, config)
    machine.validate()
    placement = placement_of(machine)
    cluster = placement.cluster
    if cluster is None or (machine.dry_run and cluster.is_chief):
        return session.execute(module, config, machine=machine)
    if machine.dry_run:
        say(f"The plan is told by {cluster.name(0)}.")
        return 0
    options = _options(config, machine, placement)
    if not cluster.is_chief:
        settings = cluster_settings(machine, placement, Store(machine.store))
        return Follower(cluster, options, say=say).follow(settings)
    with Leader(cluster, options, say=say) as leader:
        try:
            ending = session.carry_out(
                module,
                config,
                machine=machine,
                command=session.own_command(),
                leader=leader,
            )
            leader.exit_code = ending.code
        except BaseException as error:
            leader.exit_code = _code_of(error)
            raise
    return leader.exit_code


def _options(
    config: Config, machine: Machine, placement: Placement
) -> Mapping[str, str]:
    """Returns what has to be the same on all hosts, in words."""
    found = {
        f"--{field.name}": repr(getattr(options, field.name))
        for options in (config, machine)
        for field in dataclasses.fields(options)
        if field.name not in _OWN_OPTIONS
    }
    return found | {
        "the experiment": type(config).__module__,
        "the list of workers": ", ".join(placement.cluster.workers),
        "the kind of device": placement.device,
        "the number of devices": str(placement.num_local_devices),
        "tflottery": tflottery.__version__,
        "the commit": str(manifests.environment()["git_commit"]),
        "python": ".".join(map(str, sys.version_info[:2])),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _code_of(error: BaseException) -> int:
    """Returns the exit code of a command that an error ends."""
    if isinstance(error, KeyboardInterrupt):
        number = error.args[0] if error.args else signal.SIGINT
        return stopping.exit_code(number)
    if isinstance(error, ValueError | StoreError | OSError | SetupError):
        return command_line.WRONG_INPUT
    return endings.INCOMPLETE
