"""How long a plan takes by kind of device, none of which has to be there.

Of a core of a CPU, of a core that decodes, and of an H100, by what `execution.rates`
knows of them. No network for ImageNet was trained at length on a core: theirs is the
rate of the others. Of TPUs there is no telling.
"""

import dataclasses
from collections.abc import Mapping

from tflottery.components.metadata import Facts
from tflottery.core.identities import Network
from tflottery.execution import rates
from tflottery.execution.plan import Plan

_HOUR = 3600


@dataclasses.dataclass(frozen=True)
class DeviceTime:
    """How long a plan takes, on one device of a kind.

    Attributes:
      core_hours: on a core of the CPU, computing.
      decoding_hours: on a core of the CPU, decoding images for it or for a GPU.
      gpu_hours: on a GPU.
    """

    core_hours: float
    decoding_hours: float
    gpu_hours: float


def of_plan(plan: Plan, facts: Mapping[Network, Facts]) -> DeviceTime:
    """Returns how long the missing work of a plan takes.

    Args:
      plan: what is to be done.
      facts: of every network that takes part.
    """
    convolutional = {
        network: any(len(shape) == 4 for shape in known.kernel_shapes.values())
        for network, known in facts.items()
    }
    core = decoding = gpu = 0.0
    for step in plan.steps:
        # What computes with arrays alone takes next to nothing.
        if step.run is None:
            continue
        known = convolutional[step.run.network]
        core += rates.core_seconds(step, convolutional=known)
        decoding += rates.decoding_seconds(step)
        gpu += rates.gpu_seconds(step, peak=rates.H100_RATE)
    return DeviceTime(core / _HOUR, decoding / _HOUR, gpu / _HOUR)


def readable(hours: float) -> str:
    """Returns a number of hours to one or two digits, in the unit that suits it."""
    for unit, size in (("years", 24 * 365), ("days", 24), ("hours", 1)):
        if hours >= 1.5 * size:
            return f"{float(f'{hours / size:.2g}'):,g} {unit}"
    return f"{max(round(60 * hours), 1)} minutes"
