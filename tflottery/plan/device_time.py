"""How long a plan takes by kind of device, none of which has to be there.

Of a core of a CPU, of a core that decodes, and of an H100, by what `execution.rates`
knows of them. No network for ImageNet was trained at length on a core: theirs is the
rate of the others. A chip of a TPU v5e is put at a GPU's fraction of its peak: nothing
of that was measured.
"""

import math
import typing
from collections.abc import Iterable, Mapping

from tflottery.components.metadata import Facts
from tflottery.core.identities import Network
from tflottery.execution import rates
from tflottery.execution.plan import Plan, Step

_HOUR = 3600


class DeviceTime(typing.NamedTuple):
    """How long something takes, on one device of a kind.

    Attributes:
      core_hours: on a core of the CPU, computing.
      decoding_hours: on a core of the CPU, decoding images for any of these.
      gpu_hours: on a GPU.
      tpu_hours: on a chip of a TPU v5e.
    """

    core_hours: float
    decoding_hours: float
    gpu_hours: float
    tpu_hours: float


_NONE = DeviceTime(0.0, 0.0, 0.0, 0.0)


def of_plan(plan: Plan, facts: Mapping[Network, Facts]) -> DeviceTime:
    """Returns how long the missing work of a plan takes.

    Args:
      plan: what is to be done.
      facts: of every network that takes part.
    """
    return total(of_step(step, facts) for step in plan.steps)


def of_step(step: Step, facts: Mapping[Network, Facts]) -> DeviceTime:
    """Returns how long a step takes.

    Args:
      step: of a plan.
      facts: of its network.
    """
    run = step.run
    # What computes with arrays alone takes next to nothing.
    if run is None:
        return _NONE
    shapes = facts[run.network].kernel_shapes.values()
    convolutional = any(len(shape) == 4 for shape in shapes)
    return DeviceTime(
        rates.core_seconds(step, convolutional=convolutional) / _HOUR,
        rates.decoding_seconds(step) / _HOUR,
        rates.gpu_seconds(step, peak=rates.H100_RATE) / _HOUR,
        rates.tpu_seconds(step) / _HOUR,
    )


def total(times: Iterable[DeviceTime]) -> DeviceTime:
    """Returns how long several things take."""
    return DeviceTime(*map(math.fsum, zip(*times, strict=True)))


def readable(hours: float) -> str:
    """Returns a number of hours to one or two digits, in the unit that suits it."""
    for unit, size in (("years", 24 * 365), ("days", 24), ("hours", 1)):
        if hours >= 1.5 * size:
            return f"{float(f'{hours / size:.2g}'):,g} {unit}"
    return f"{max(round(60 * hours), 1)} minutes"
