"""What a plan will cost, told before it begins."""

import time

import numpy as np

from tflottery.execution.plan import Plan
from tflottery.training import process

# Share of the matrix-product rate that training and measuring reach on a CPU.
_EFFICIENCY = 0.65
_SIZE = 1024
_TRIALS = 5


def summary(plan: Plan, *, title: str, store: str, num_workers: int) -> str:
    """Returns what a plan asks for, in a few lines for people.

    Args:
      plan: what is to be done.
      title: of the study.
      store: where artifacts go.
      num_workers: processes that will work.
    """
    duration = readable(seconds(plan, num_workers=num_workers))
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
        f"  time        about {duration} with {num_workers} worker{plural}",
    ]
    if plan.unobtainable:
        lines.append(f"  diverged    {len(plan.unobtainable):,} results cannot be made")
    return "\n".join(lines)


def seconds(plan: Plan, *, num_workers: int) -> float:
    """Returns about how long a plan takes on this machine's processors."""
    cores = process.visible_cores()
    share = min(num_workers, cores) / cores
    rate = _matrix_product_rate() * _EFFICIENCY
    longest = max(plan.chains().values(), default=0.0)
    # Workers beyond the first do not help with steps that wait for one another.
    return max(plan.flops / (rate * share), longest / (rate / cores))


def readable(duration: float) -> str:
    """Returns a number of seconds in words."""
    if duration < 90:
        return f"{duration:.0f} seconds"
    if duration < 90 * 60:
        return f"{duration / 60:.0f} minutes"
    return f"{duration / 3600:,.1f} hours"


def _matrix_product_rate() -> float:
    """Returns the operations a second of float32 matrix products on all cores."""
    matrix = np.ones((_SIZE, _SIZE), np.float32)
    best = float("inf")
    for _ in range(_TRIALS):
        started = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - started)
    return 2 * _SIZE**3 / best
