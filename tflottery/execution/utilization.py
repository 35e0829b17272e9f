"""Does what is left to do keep the machine busy? What would, where it does not.

Runs that are trained one after another, as those of iterative magnitude pruning, occupy
one worker, however many there are. Then one worker with more of the machine is faster.
"""

from tflottery.core import hardware
from tflottery.execution import rates
from tflottery.execution.plan import Plan
from tflottery.training.distribution import Placement

# Several cores or GPUs at one run do less than as many at runs of their own: something
# is said, or done, where at most this fraction of them would be busy.
_IDLE = 0.5
# GPUs share batches only where that is so many times as fast by what is estimated,
# since nobody has measured it.
_SURELY = 1.3


def is_faster_together(plan: Plan, *, num_devices: int) -> bool:
    """Returns whether all devices at one run after another finish a plan sooner.

    By far, as far as can be told, and where they may be: each batch has to have parts
    for all of them, so that the runs are the same as on one device, and their keys too.
    That holds for what is in the store as well, in case it has to be made again.

    Args:
      plan: what is to be done, with one device a worker.
      num_devices: GPUs in all.
    """
    have_parts = all(count % num_devices == 0 for count in plan.part_counts)
    return have_parts and _would_gain(plan, num_devices=num_devices)


def told_of_sharing(num_devices: int) -> str:
    """Returns what a user has to know where devices are chosen to share each batch."""
    return (
        f"Fewer runs go on at once than there are GPUs: all {num_devices} share each "
        "batch. Keys stay the same; results differ by rounding from those of one GPU "
        "at each run (--distribute=none)."
    )


def remarks(plan: Plan, placement: Placement, *, num_workers: int) -> list[str]:
    """Returns a line on cores that are idle, or too few, if there is something to say.

    Nothing is said of other runs where they would be other than what is mostly there.

    Args:
      plan: what is to be done.
      placement: where each worker trains.
      num_workers: processes that will work.
    """
    if placement.device == "gpu":
        return _of_gpus(plan, placement, num_workers=num_workers)
    if placement.device != "cpu":
        return []
    cores, threads = hardware.visible_cores(), placement.threads
    if threads > 1 and threads * num_workers > cores:
        return [
            f"  cores       {cores} for {threads * num_workers} threads, which changes "
            "no results but takes longer than fewer would"
        ]
    # The others wait for what these make.
    num_busy = min(plan.num_at_once, num_workers)
    wider = min(int(cores / num_busy), rates.MOST_THREADS_MEASURED)
    is_busy = threads * num_busy > _IDLE * cores
    if placement.distribute != "none" or is_busy or wider <= threads:
        return []
    if not _may_be_other_runs(plan):
        return []
    return [
        f"  cores       {threads * round(num_busy)} of {cores} busy on average, as "
        f"runs wait for one another: --threads={wider} trains each on {wider}, which "
        f"is faster, under keys of its own: {_trained_again(plan)}"
    ]


def _of_gpus(plan: Plan, placement: Placement, *, num_workers: int) -> list[str]:
    """Returns a line on GPUs that are idle, if there is something to say."""
    num_gpus, num_at_once = len(hardware.visible_gpus()), plan.num_at_once
    if placement.distribute != "none" or num_gpus < 2 or not plan.trains:
        return []
    if num_workers < min(num_gpus, round(num_at_once)):
        return [
            f"  GPUs        {num_workers} of {num_gpus} have a worker: without "
            "--workers each has one"
        ]
    if not _would_gain(plan, num_devices=num_gpus):
        return []
    if is_faster_together(plan, num_devices=num_gpus):
        cure = "--distribute=auto has all of them at each, under the same keys"
    elif _may_be_other_runs(plan):
        cure = (
            "--replica_batch_size gives batches parts that GPUs can share, which makes "
            f"other runs: {_trained_again(plan)}"
        )
    else:
        return []
    return [
        f"  GPUs        {round(num_at_once)} of {num_gpus} busy on average, as runs "
        f"wait for one another: {cure}"
    ]


def _would_gain(plan: Plan, *, num_devices: int) -> bool:
    """Returns whether devices that share each batch are sure to finish a plan sooner.

    If batches have parts for all of them.
    """
    if num_devices < 2 or not plan.trains:
        return False
    placements = {
        num_devices: Placement(device="gpu"),
        1: Placement("mirrored", device="gpu", num_devices=num_devices),
    }
    durations = []
    for num_workers, placement in placements.items():
        seconds_of = rates.seconds_on(placement)
        costs = {step.job.name: seconds_of(step) for step in plan.steps}
        if None in costs.values():
            return False
        durations.append(plan.duration(costs, num_workers=num_workers))
    alone, together = durations
    return alone >= _SURELY * together


def _may_be_other_runs(plan: Plan) -> bool:
    """Returns whether most updates are still to be made, under whatever keys."""
    return plan.trains and plan.num_stored < plan.num_iterations


def _trained_again(plan: Plan) -> str:
    """Returns what other keys mean for what is in the store."""
    if not plan.num_stored:
        return "nothing in the store serves"
    return f"the {plan.num_stored:,} updates in the store are made again"
