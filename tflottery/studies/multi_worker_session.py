"""One experiment by the commands of several hosts, which train each network together.

All run the same command. That of the chief is the one that makes, writes and tells;
the others have a worker each do what the chief's does, and end as it ends.
"""

import dataclasses
import importlib.metadata
import sys
import types
from collections.abc import Mapping

import tflottery
from tflottery.core import installed_code, registry
from tflottery.execution.follower import Follower
from tflottery.execution.leader import HostCommand, Leader
from tflottery.execution.stop_request import say
from tflottery.store import manifests
from tflottery.store.store import Store
from tflottery.studies import session
from tflottery.studies.config import Config, validated_members
from tflottery.studies.machine import Machine, one_workers_settings, placement_of
from tflottery.training.distribution import Placement

# Folders that each host may have elsewhere; what is written there is the chief's.
_OWN_OPTIONS = ("data_dir", "output_dir", "store", "tensorboard")
_PACKAGES = ("keras", "numpy", "tensorflow")


def execute(module: types.ModuleType, config: Config, *, machine: Machine) -> int:
    """As `session.execute`, together with the commands of other hosts.

    Returns:
      The exit code; on every host that of the chief.

    Raises:
      ValueError, StoreError: as `session.execute`, or nothing tells of hosts.
      SetupError: hosts do not find together.
      LostWorker: one is gone.
    """
    registry.load_plugins(machine.plugins, named_by="--plugins")
    validated_members(module, config)
    machine.validate()
    placement = placement_of(machine)
    hosts = placement.hosts
    if hosts is None or (machine.dry_run and hosts.is_chief):
        return session.execute(module, config, machine=machine)
    if machine.dry_run:
        say(f"The plan is told by {hosts.name(0)}.")
        return 0
    # What needs no other host is refused before one is waited for.
    store = Store(machine.store)
    settings = one_workers_settings(machine, placement, store)
    command = HostCommand(hosts, _options(config, machine, placement), say)
    if not hosts.is_chief:
        return Follower(command).follow(settings)
    store.ensure_root()
    with Leader(command) as leader:
        ending = session.carry_out(
            module,
            config,
            machine=machine,
            command=session.own_command(),
            leader=leader,
        )
        leader.exit_code = ending.code
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
    experiment = type(config).__module__
    programs = dict.fromkeys([tflottery.__name__, experiment, *machine.plugins])
    return found | {
        "the experiment": experiment,
        "the list of workers": ", ".join(placement.hosts.addresses),
        "the kind of device": placement.device,
        "the number of devices": str(placement.num_local_devices),
        "tflottery": tflottery.__version__,
        "the commit": str(manifests.environment()["git_commit"]),
        **{f"the code of {name}": installed_code.digest(name) for name in programs},
        "python": ".".join(map(str, sys.version_info[:2])),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }
