"""How fast devices are: what was measured, and what is taken for all else.

A core of this machine is put at most of the rate of its matrix products. For machines
that are not at hand there are rates of one core of a 2.5 GHz CPU with AVX-512, one
thread a worker: of dense networks (LeNet, compiled by XLA) and of those with
convolutions (ResNet-20: 183 to 215 images a second, VGG-16: 24).

A GPU is put at what was measured on an H200 (docs/scaling.md), which float32 and the
same bits each time keep far from its peak: LeNet, ResNet-20, VGG-16 and ResNet-50 in
float32, ResNet-20 and ResNet-50 in bfloat16. `gpu_seconds` is within 1.5 times of all
six. Several GPUs at one run were not measured: what sharing costs is put high.

Of TPUs nothing was measured: one is put at the fraction of its peak that a GPU reaches.
"""

import time
from collections.abc import Callable

import numpy as np
import threadpoolctl

from tflottery.core import hardware
from tflottery.execution.plan import Step
from tflottery.training import precisions
from tflottery.training.distribution import Placement

# Images of ImageNet that a core decodes, crops and resizes in a second (AVX2).
DECODED_PER_SECOND = 300.0
# Fraction of the matrix-product rate that training and measuring reach on a CPU.
CPU_EFFICIENCY = 0.65
# Of what threads of one worker compute in a second: four do 2.7 times as much as one,
# and what more of them do was not measured.
_THREADS_EXPONENT = 0.7
MOST_THREADS_MEASURED = 4
# Operations a second of one core of another machine, training and measuring.
_DENSE_RATES = 32e9, 32e9
_CONVOLUTIONAL_RATES = 45e9, 75e9
# Fraction of its peak in float32 that a GPU reaches, and what each layer of an update
# takes it however small; how many times as fast both are in bfloat16.
GPU_EFFICIENCY = 0.25
GPU_SECONDS_PER_LAYER = 0.3e-3
_BFLOAT16_SPEED, _BFLOAT16_SPEED_PER_LAYER = 6.0, 2.0
# What XLA takes to compile training for a GPU, by layer.
GPU_COMPILE_SECONDS_PER_LAYER = 0.4
# Operations a second in float32, at their peak.
H100_RATE = 67e12
# The same of a chip of a TPU v5e: in bfloat16 197e12 by its maker, of which float32 in
# full takes six for each of its own.
V5E_RATE = 197e12 / 6
# GPUs that share a batch, none of it measured: of what they compute apart, how many
# times as long a layer takes where operations are sent one by one, and what an update
# takes until it is handed its batch and gradients are exchanged.
SHARING_EFFICIENCY = 0.7
_SHARING_LAYERS = 5.0
SHARING_SECONDS_PER_UPDATE = 20e-3
_SIZE = 1024
_TRIALS = 5


def seconds_on(placement: Placement) -> Callable[[Step], float | None]:
    """Returns a function from a step to the seconds that it takes a worker here.

    By what the step computes and decodes. It tells None where nobody knows how fast the
    devices of this machine are.

    Args:
      placement: where the worker trains, on CPU or GPUs.
    """
    if placement.device == "gpu":
        return _on_gpus(placement)
    threads = placement.threads
    gain = min(threads, MOST_THREADS_MEASURED) ** _THREADS_EXPONENT
    rate = core_rate() * CPU_EFFICIENCY * gain
    # A worker has the same cores for both.
    return lambda step: step.flops / rate + decoding_seconds(step) / threads


def gpu_seconds(step: Step, *, peak: float, num_gpus: int = 1) -> float:
    """Returns about how long GPUs compute for a step.

    Args:
      step: of a plan.
      peak: float32 operations a second of one GPU, above 0.
      num_gpus: that share each batch, as far as it has parts; each trains on its parts
        in turn.
    """
    run = step.run
    computing = step.flops / (peak * GPU_EFFICIENCY)
    num_parts = run.num_replicas if run is not None else 1
    layers = step.num_iterations * step.num_layers * GPU_SECONDS_PER_LAYER
    layers *= -(-num_parts // num_gpus)
    if run is not None and run.precision == precisions.MIXED_BFLOAT16:
        # Measuring is in float32.
        if step.num_iterations:
            computing /= _BFLOAT16_SPEED
        layers /= _BFLOAT16_SPEED_PER_LAYER
    if num_gpus == 1:
        return max(computing, layers)
    shared = max(computing / (num_gpus * SHARING_EFFICIENCY), _SHARING_LAYERS * layers)
    return shared + SHARING_SECONDS_PER_UPDATE * step.num_iterations


def tpu_seconds(step: Step) -> float:
    """Returns how long a chip of a TPU v5e computes for a step, if it is as GPUs are.

    That it is nobody has seen: it reaches the fraction of its peak that a GPU does, and
    each layer takes it as long at least.
    """
    return gpu_seconds(step, peak=V5E_RATE)


def core_seconds(step: Step, *, convolutional: bool) -> float:
    """Returns about how long a core computes for a step, which is none of this machine.

    Args:
      step: of a plan.
      convolutional: whether its network has convolutions.
    """
    rates = _CONVOLUTIONAL_RATES if convolutional else _DENSE_RATES
    return step.flops / rates[not step.num_iterations]


def decoding_seconds(step: Step) -> float:
    """Returns how long a core decodes the images of a step."""
    return step.num_decoded / DECODED_PER_SECOND


def core_rate() -> float:
    """Returns the operations a second of float32 matrix products on one core.

    By processor time, which other programs do not prolong, of one thread: many threads
    take most of theirs waiting for one another.
    """
    matrix = np.ones((_SIZE, _SIZE), np.float32)
    best = float("inf")
    with threadpoolctl.threadpool_limits(1):
        for _ in range(_TRIALS):
            started = time.process_time()
            matrix @ matrix
            best = min(best, time.process_time() - started)
    return 2 * _SIZE**3 / best


def _on_gpus(placement: Placement) -> Callable[[Step], float | None]:
    """As of `seconds_on`, on GPUs."""
    peak, num_gpus = hardware.gpu_rate(), placement.num_devices
    # A worker's part of the cores decodes while its devices compute.
    num_workers = max(1.0, len(hardware.visible_gpus()) / placement.num_local_devices)
    num_cores = max(1.0, hardware.visible_cores() / num_workers)

    def seconds(step: Step) -> float | None:
        if step.flops and not peak:
            return None
        computing = gpu_seconds(step, peak=peak or 1.0, num_gpus=num_gpus)
        return max(computing, decoding_seconds(step) / num_cores)

    return seconds
