"""Does what is left to do keep the machine busy? What would, where it does not.

Runs that are trained one after another, as those of iterative magnitude pruning, occupy
one worker, however many there are. Then one worker with more of the machine is faster.
"""

from tflottery.core import hardware
from tflottery.execution.jobs import Advance
from tflottery.execution.plan import Plan
from tflottery.training.distribution import Placement

# Several cores or GPUs at one run do less than as many at runs of their own; that they
# are faster is sure where fewer than this fraction of them would be busy.
_IDLE = 0.5


def is_faster_together(plan: Plan, *, num_devices: int) -> bool:
    """Returns whether all devices at one run after another finish a plan sooner.

    Where they may be: each batch has to have parts for all of them, so that the runs
    are the same as on one device, and their keys too.

    Args:
      plan: what is to be done, with one device a worker.
      num_devices: GPUs in all.
    """
    runs = [step.job.run for step in plan.steps if isinstance(step.job, Advance)]
    if num_devices < 2 or not runs:
        return False
    have_parts = all(run.num_replicas % num_devices == 0 for run in runs)
    return have_parts and round(plan.num_at_once) <= _IDLE * num_devices


def told_of_sharing(num_devices: int) -> str:
    """Returns what a user has to know where devices are chosen to share each batch."""
    return (
        f"Fewer runs go on at once than there are GPUs: all {num_devices} share each "
        "batch. Keys stay the same; results differ by rounding from those of one GPU "
        "at each run (--distribute=none)."
    )


def remarks(plan: Plan, placement: Placement, *, num_workers: int) -> list[str]:
    """Returns a line on cores that are idle, or too few, if there is something to say.

    Args:
      plan: what is to be done.
      placement: where each worker trains.
      num_workers: processes that will work.
    """
    if placement.device == "gpu":
        return _of_gpus(plan, placement)
    if placement.device != "cpu":
        return []
    cores, threads = hardware.visible_cores(), placement.threads
    if threads > 1 and threads * num_workers > cores:
        return [
            f"  cores       {cores} for {threads * num_workers} threads, which changes "
            "no results but takes longer than fewer would"
        ]
    # The others wait for what these make.
    num_busy = round(plan.num_at_once)
    wider = cores // num_busy
    if placement.distribute != "none" or threads * num_busy > _IDLE * cores:
        return []
    return [
        f"  cores       {threads * num_busy} of {cores} busy on average, as runs wait "
        f"for one another: --threads={wider} trains each on {wider}, which is faster, "
        "under keys of its own: nothing in the store serves"
    ]


def _of_gpus(plan: Plan, placement: Placement) -> list[str]:
    """Returns a line on GPUs that are idle, if there is something to say."""
    num_gpus, num_busy = len(hardware.visible_gpus()), round(plan.num_at_once)
    if placement.distribute != "none" or num_busy > _IDLE * num_gpus or num_gpus < 2:
        return []
    cure = (
        "--replica_batch_size gives batches parts that GPUs can share, which makes "
        "other runs"
    )
    if is_faster_together(plan, num_devices=num_gpus):
        cure = "--distribute=auto has all of them at each, under the same keys"
    return [
        f"  GPUs        {num_busy} of {num_gpus} busy on average, as runs wait for one "
        f"another: {cure}"
    ]
