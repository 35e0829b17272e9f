"""Doing a job, whole or up to a stop, under a lock of its own."""

from tflottery.components.metadata import Facts, inspect
from tflottery.execution import advancing, making
from tflottery.execution.bench import BUSY, Bench
from tflottery.execution.jobs import Advance, Inspect, Job


def perform(job: Job | Inspect, bench: Bench) -> str | Facts:
    """Does a job.

    Returns:
      How it ended; for an inspection, the facts.

    Raises:
      DamagedArtifact: an input is damaged; it has been set aside.
    """
    if isinstance(job, Inspect):
        return inspect(job.model, job.dataset, bench.runtime, pretext=job.pretext)
    lock = bench.store.lock(job.name)
    if lock is None:
        return BUSY
    with lock:
        if isinstance(job, Advance):
            return advancing.advance(job, bench)
        return making.make(job, bench)
