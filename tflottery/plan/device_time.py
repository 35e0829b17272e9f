"""How long a plan takes by kind of device, from rates that are not this machine's.

Measured are those of one core of a 2.5 GHz CPU with AVX-512, one thread a worker: of
dense networks (LeNet, compiled by XLA) and of those with convolutions (ResNet-20: 183
to 215 images a second, VGG-16: 24), and how many images of ImageNet a core decodes. No
network for ImageNet was trained at length anywhere: theirs is the rate of the others.

A GPU is taken to reach a tenth of the peak of an H100 in float32, and to take half a
millisecond an update at least: not by measurement. Where it was measured (an H200, in
docs/scaling.md), VGG-16 and ResNet-50 were 2.8 times as fast, ResNet-20 half as fast.
Of TPUs there is no telling.
"""

import dataclasses
from collections.abc import Mapping

from tflottery.components.metadata import Facts
from tflottery.core.identities import Network
from tflottery.execution.estimate import DECODED_PER_SECOND
from tflottery.execution.jobs import Advance
from tflottery.execution.plan import Plan, Step

# Operations a second of one core, training and measuring.
_DENSE_RATES = 32e9, 32e9
_CONVOLUTIONAL_RATES = 45e9, 75e9
_GPU_RATE = 6.7e12
_GPU_SECONDS_PER_UPDATE = 0.5e-3
_HOUR = 3600


@dataclasses.dataclass(frozen=True)
class DeviceTime:
    """How long a plan takes, on one device of a kind.

    Attributes:
      core_hours: on a core of the CPU, computing.
      decoding_hours: on a core of the CPU, decoding images for it or for a GPU.
      gpu_hours: on a GPU, by no measurement.
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
    core = gpu = decoded = 0.0
    for step in plan.steps:
        network = _network(step)
        if network is None:
            continue
        rates = _CONVOLUTIONAL_RATES if convolutional[network] else _DENSE_RATES
        core += step.flops / rates[not step.num_iterations]
        launching = step.num_iterations * _GPU_SECONDS_PER_UPDATE
        gpu += max(step.flops / _GPU_RATE, launching)
        decoded += step.num_decoded
    decoding = decoded / DECODED_PER_SECOND
    return DeviceTime(core / _HOUR, decoding / _HOUR, gpu / _HOUR)


def readable(hours: float) -> str:
    """Returns a number of hours to one or two digits, in the unit that suits it."""
    for unit, size in (("years", 24 * 365), ("days", 24), ("hours", 1)):
        if hours >= 1.5 * size:
            return f"{float(f'{hours / size:.2g}'):,g} {unit}"
    return f"{max(round(60 * hours), 1)} minutes"


def _network(step: Step) -> Network | None:
    """Returns the network that a step runs; None if it computes with arrays alone."""
    if isinstance(step.job, Advance):
        return step.job.run.network
    passes = step.job.component.passes()
    return None if passes is None else passes.run.network
