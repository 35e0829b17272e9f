"""What a plan will cost, told before it begins."""

import time

import numpy as np

from tflottery.core import hardware
from tflottery.execution.plan import Plan
from tflottery.training.distribution import Placement

# Fraction of the matrix-product rate that training and measuring reach on a CPU.
_EFFICIENCY = 0.65
# Fraction of a GPU's peak: not measured; the papers' networks are too small for it.
_GPU_EFFICIENCY = 0.1
_SIZE = 1024
_TRIALS = 5


def summary(
    plan: Plan, *, title: str, store: str, num_workers: int, placement: Placement
) -> str:
    """Returns what a plan asks for, in a few lines for people.

    Args:
      plan: what is to be done.
      title: of the study.
      store: where artifacts go.
      num_workers: processes that will work.
      placement: where each of them trains.
    """
    duration = seconds(plan, num_workers=num_workers, placement=placement)
    told = "not known" if duration is None else f"about {readable(duration)}"
    plural = "s" * (num_workers != 1)
    longer = ""
    if plan.num_slots_bytes:
        size = f"{plan.num_slots_bytes / 1e6:,.1f} MB"
        longer = f", {size} of it to train for longer from the ends"
    lines = [
        title,
        f"  runs        {plan.num_runs:,}",
        f"  iterations  {plan.num_iterations:,} to make, {plan.num_stored:,} in the "
        f"store, {plan.num_shared:,} saved by sharing",
        f"  disk        {plan.num_bytes / 1e6:,.1f} MB in {store}{longer}",
        f"  time        {told} with {num_workers} worker{plural} on "
        f"{_devices(placement, num_workers)}",
    ]
    if plan.unobtainable:
        lines.append(f"  diverged    {len(plan.unobtainable):,} results cannot be made")
    return "\n".join(lines)


def seconds(plan: Plan, *, num_workers: int, placement: Placement) -> float | None:
    """Returns about how long a plan takes on this machine; None if there is no telling.

    Args:
      plan: what is to be done.
      num_workers: processes that will work.
      placement: where each of them trains.
    """
    if placement.device == "tpu":
        return None
    if placement.device == "gpu":
        devices = len(hardware.visible_gpus())
        rate = hardware.gpu_rate() * _GPU_EFFICIENCY
        alone = rate * placement.num_replicas
    else:
        devices = hardware.visible_cores()
        alone = rate = _core_rate() * _EFFICIENCY
    if not rate:
        return None
    longest = max(plan.chains().values(), default=0.0)
    together = min(alone * num_workers, rate * devices)
    # Workers beyond the first do not help with steps that wait for one another.
    return max(plan.flops / together, longest / alone)


def readable(duration: float) -> str:
    """Returns a number of seconds in words."""
    if duration < 90:
        return f"{duration:.0f} seconds"
    if duration < 90 * 60:
        return f"{duration / 60:.0f} minutes"
    return f"{duration / 3600:,.1f} hours"


def _devices(placement: Placement, num_workers: int) -> str:
    """Returns where workers train, in words."""
    if placement.device != "gpu":
        return f"the {placement.device.upper()}"
    workers = min(num_workers, len(hardware.visible_gpus()))
    count = workers if placement.distribute == "none" else placement.num_replicas
    return f"{count} GPU{'s' * (count != 1)}"


def _core_rate() -> float:
    """Returns the operations a second of float32 matrix products on one core.

    By processor time, which is that of all threads, however many numpy takes.
    """
    matrix = np.ones((_SIZE, _SIZE), np.float32)
    best = float("inf")
    for _ in range(_TRIALS):
        started = time.process_time()
        matrix @ matrix
        best = min(best, time.process_time() - started)
    return 2 * _SIZE**3 / best
