"""What a plan will cost, told before it begins.

A step takes what the same kind of work took on such a machine (`work.learned`), or else
what its operations take at the rate of a matrix product, and its images until they are
decoded. The start of workers, the compilation of each network in each of them, and the
store come on top.
"""

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping

from tflottery.core import hardware
from tflottery.core.amounts import counted
from tflottery.core.files import readable_size
from tflottery.execution import rates, unobtainable, utilization, work
from tflottery.execution.plan import Plan, Step
from tflottery.training.distribution import Placement

# From there on it is told what would take less time.
_LONG_SECONDS = 600.0
# Of a worker: until it has started TensorFlow, and has compiled the training or the
# measuring of a network (1.5 to 3.5 seconds of LeNet to VGG-16) on a CPU.
_START_SECONDS, _COMPILE_SECONDS = 6.0, 2.5
# Of a worker: what it takes with TensorFlow and whatever it has compiled.
_PROCESS_BYTES = 0.8e9
# Of a worker on a CPU, in bytes of each weight: what it has besides the network that it
# trains. Others stay built, for dense runs, sparse ones and measuring, and states are
# copied on their way from and to the store (docs/scaling.md has what was measured).
_KEPT_BYTES_PER_WEIGHT = 12 * 4
# Of an artifact: until it is written and synced, however little is done for it.
_ARTIFACT_SECONDS = 0.03
# The ends of a range, as factors of an estimate.
_LEARNED_RANGE, _UNKNOWN_RANGE, _READY_RANGE = (0.8, 1.5), (0.5, 3.0), (0.5, 2.0)
# Units of long times: up to how many seconds they are used, and how many they have.
_HOUR, _DAY, _YEAR = 3600, 24 * 3600, 365 * 24 * 3600
_LONG_UNITS = {"hours": (72 * _HOUR, _HOUR), "days": (1.5 * _YEAR, _DAY)}


@dataclasses.dataclass(frozen=True)
class Range:
    """How long something takes: between two numbers of seconds."""

    low: float
    high: float

    def __str__(self) -> str:
        low, high = readable(self.low), readable(self.high)
        if low == high:
            return f"about {low}"
        (number, unit), (_, other) = low.split(" "), high.split(" ")
        return f"{number if unit == other else low} to {high}"


def summary(
    plan: Plan,
    *,
    title: str,
    store: str,
    num_workers: int,
    placement: Placement,
    learned: Mapping[str, float],
) -> str:
    """Returns what a plan asks for, in a few lines for people.

    Args:
      plan: what is to be done.
      title: of the study.
      store: where artifacts go.
      num_workers: processes that will work.
      placement: where each of them trains.
      learned: how long work took, as of `work.learned`.
    """
    duration = seconds(
        plan, num_workers=num_workers, placement=placement, learned=learned
    )
    told, why = str(duration), ""
    if duration is None:
        told, why = "not known", f": {_why_not_known(placement)}"
    workers = counted(num_workers, "worker")
    if placement.threads > 1:
        workers += f" of {placement.threads} threads"
    longer = ""
    if plan.num_slots_bytes:
        size = readable_size(plan.num_slots_bytes)
        longer = f", {size} of it to train for longer from the ends"
    lines = [
        title,
        f"  runs        {plan.num_runs:,}",
        f"  iterations  {plan.num_iterations:,} to make, {plan.num_stored:,} in the "
        f"store, {plan.num_shared:,} saved by sharing",
        f"  disk        {readable_size(plan.num_bytes)} in {store}{longer}",
        f"  time        {told} with {workers} on {_devices(placement, num_workers)}"
        f"{why}",
    ]
    lines += _memory(plan, placement, num_workers=num_workers)
    is_long = duration is not None and duration.high > _LONG_SECONDS
    if is_long and not placement.is_remote:
        lines += utilization.remarks(plan, placement, num_workers=num_workers)
    if plan.unobtainable:
        num_absent = unobtainable.num_absent(plan.unobtainable)
        num_diverged = len(plan.unobtainable) - num_absent
        if num_diverged:
            lines.append(f"  diverged    {num_diverged:,} results cannot be made")
        if num_absent:
            lines.append(f"  absent      {num_absent:,} results that do not exist")
    return "\n".join(lines)


def seconds(
    plan: Plan,
    *,
    num_workers: int,
    placement: Placement,
    learned: Mapping[str, float],
) -> Range | None:
    """Returns about how long a plan takes on this machine; None if there is no telling.

    Args:
      plan: what is to be done.
      num_workers: processes that will work.
      placement: where each of them trains.
      learned: how long work took, as of `work.learned`.
    """
    # What other machines than this one have is not known here.
    if placement.device == "tpu" or (placement.is_remote and placement.device == "gpu"):
        return None
    num_devices, unlearned = _num_served(placement), rates.seconds_on(placement)
    costs = {
        step.job.name: _cost(step, learned, placement=placement, unlearned=unlearned)
        for step in plan.steps
    }
    if None in costs.values():
        return None
    # Workers beyond the devices share them.
    num_together = min(float(num_workers), num_devices)
    ready = _until_ready(plan, num_workers, device=placement.device)
    ready *= max(1.0, num_workers / num_devices)
    ends = []
    for end in ("low", "high"):
        alone = {name: getattr(cost, end) for name, cost in costs.items()}
        ends.append(plan.duration(alone, num_workers=num_together))
    return Range(ends[0] + ready * _READY_RANGE[0], ends[1] + ready * _READY_RANGE[1])


def _why_not_known(placement: Placement) -> str:
    """Returns why there is no telling how long a plan takes."""
    if placement.device == "tpu":
        return (
            "nobody has timed a TPU yet. python -m tflottery.plan says what one would "
            "take that reaches as much of its peak as GPUs do"
        )
    if placement.is_remote:
        return "which GPUs the cluster has is not known here"
    return "the driver does not say how fast these GPUs are at their peak"


def readable(duration: float) -> str:
    """Returns a number of seconds in words."""
    if duration < 90:
        return f"{duration:.0f} seconds"
    if duration < 90 * 60:
        return f"{duration / 60:.0f} minutes"
    for unit, (most, size) in _LONG_UNITS.items():
        if duration < most:
            return f"{duration / size:.1f} {unit}"
    return f"{duration / _YEAR:,.1f} years"


def _memory(plan: Plan, placement: Placement, *, num_workers: int) -> list[str]:
    """Returns lines on what the largest training takes; none where that is not known.

    Of the memory of the device that it trains on, which on a CPU is the worker's own:
    all that it has there. A second one where that may be more than a GPU has.
    """
    steps = [step for step in plan.steps if step.num_working_bytes]
    if not steps:
        return []
    largest = max(steps, key=operator.attrgetter("num_working_bytes"))
    run = largest.run
    num_bytes = _PROCESS_BYTES + largest.num_working_bytes
    if placement.device == "cpu":
        num_bytes += _KEPT_BYTES_PER_WEIGHT * largest.num_weights
    num_examples = run.recipe.batch_size // run.num_replicas
    lines = [
        f"  memory      about {readable_size(num_bytes)} a worker, which trains "
        f"{run.network.model} on {num_examples:,} images at a time"
    ]
    if placement.device != "gpu" or placement.is_remote:
        return lines
    num_sharing = math.ceil(num_workers / _num_served(placement))
    of_gpu = hardware.gpu_bytes()
    # 0 where the driver does not say.
    if not of_gpu or num_sharing * num_bytes <= of_gpu:
        return lines
    cure = "--replica_batch_size has parts of a batch trained in turn, as other runs"
    if num_sharing > 1:
        cure = f"{num_sharing} workers share it, take fewer --workers"
    return [
        *lines,
        f"              which may be more than the {readable_size(of_gpu)} of a GPU: "
        f"{cure}",
    ]


def _num_served(placement: Placement) -> float:
    """Returns how many workers have devices, or cores, of their own."""
    if placement.is_remote:
        return math.inf
    if placement.device == "gpu":
        return len(hardware.visible_gpus()) / placement.num_local_devices
    return hardware.visible_cores() / placement.threads


def _cost(
    step: Step,
    learned: Mapping[str, float],
    *,
    placement: Placement,
    unlearned: Callable[[Step], float | None],
) -> Range | None:
    """Returns what a step takes a worker that works alone; None if nobody knows.

    Args:
      step: of a plan.
      learned: how long work took.
      placement: where a worker trains.
      unlearned: returns what a step takes that nothing was learned of.
    """
    kind, amount = None, 0
    if step.trains:
        kind = work.training(step.run, num_devices=placement.num_devices)
        amount = step.num_iterations
    elif (passes := step.job.component.passes()) is not None:
        kind = work.measuring(passes.run, num_devices=placement.num_local_devices)
        amount = passes.number
    if kind in learned:
        took, (low, high) = learned[kind] * amount, _LEARNED_RANGE
    else:
        took, (low, high) = unlearned(step), _UNKNOWN_RANGE
    if took is None:
        return None
    around = _ARTIFACT_SECONDS * len(step.makes)
    return Range(took * low + around, took * high + around)


def _until_ready(plan: Plan, num_workers: int, *, device: str) -> float:
    """Returns how long workers take to start, and to compile all that they may need.

    The first one has started by now: it was asked for facts.
    """
    programs = {}
    for step in plan.steps:
        if (run := step.run) is None:
            continue
        program = (run.network, run.data)
        if step.trains:
            program += (run.recipe, run.mask is None)
        programs[program] = _COMPILE_SECONDS
        if device == "gpu":
            layers = step.num_layers * rates.GPU_COMPILE_SECONDS_PER_LAYER
            programs[program] = max(_COMPILE_SECONDS, layers)
    others = _START_SECONDS if num_workers > 1 and programs else 0.0
    return others + sum(programs.values())


def _devices(placement: Placement, num_workers: int) -> str:
    """Returns where workers train, in words."""
    if placement.is_remote:
        return f"the {placement.device.upper()}s of a cluster"
    if placement.device != "gpu":
        return f"the {placement.device.upper()}"
    workers = min(num_workers, len(hardware.visible_gpus()))
    count = workers if placement.distribute == "none" else placement.num_devices
    return counted(count, "GPU")
