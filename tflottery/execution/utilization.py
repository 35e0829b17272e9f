"""Does what is left to do keep the machine busy? What would, where it does not.

Runs that are trained one after another, as those of iterative magnitude pruning, occupy
one worker, however many there are. Then one worker with more of the machine is faster.
"""

from tflottery.core import hardware
from tflottery.execution.plan import Plan
from tflottery.training.distribution import Placement

# Several cores or GPUs at one run do less than as many at runs of their own; that they
# are faster is sure where fewer than this fraction of them would be busy.
_IDLE = 0.5


def remarks(plan: Plan, placement: Placement, *, num_workers: int) -> list[str]:
    """Returns a line on cores that are idle, or too few, if there is something to say.

    Args:
      plan: what is to be done.
      placement: where each worker trains.
      num_workers: processes that will work.
    """
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
