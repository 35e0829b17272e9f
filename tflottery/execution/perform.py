"""Doing one job, whole or up to a stop, against a store.

Every job is done under a lock of its own, looks again at what is missing once it holds
it, and puts each artifact into the store the moment it is whole.
"""

import dataclasses
import json
import time
from collections.abc import Callable

from tflottery.components import runs
from tflottery.components.component import Context
from tflottery.components.inspection import Facts, inspect
from tflottery.components.runs import SLOTS_FILE
from tflottery.execution import shelves
from tflottery.execution.plan import Advance, Job, Make
from tflottery.execution.shelves import Segment, Shelves
from tflottery.execution.store import Store
from tflottery.training import checkpoints
from tflottery.training.workshop import Workshop

# How a job can end.
FINISHED, BUSY, STOPPED, DIVERGED = "finished", "busy", "stopped", "diverged"
_PARTIAL_FILE = "partial.json"


@dataclasses.dataclass(frozen=True)
class Inspect:
    """The job of finding out the facts that a plan needs.

    Attributes:
      model: name of a model.
      dataset: name of a dataset.
    """

    model: str
    dataset: str

    @property
    def name(self) -> str:
        """What the job is called."""
        return f"inspect/{self.model}/{self.dataset}"


@dataclasses.dataclass(frozen=True)
class Bench:
    """Where a process does its jobs.

    Attributes:
      store: where artifacts are read and put.
      workshop: the process's networks and data.
      checkpoint_seconds: how much work of a job may be lost to a kill.
      made: called with the address of each artifact put into the store.
      progressed: called with the share of the job done.
      stopping: whether the job has to stop at the next good moment.
    """

    store: Store
    workshop: Workshop
    checkpoint_seconds: float
    made: Callable[[str], None]
    progressed: Callable[[float], None]
    stopping: Callable[[], bool]


class _Stop(Exception):
    """A component's execution ends here for now."""


def perform(job: Job | Inspect, bench: Bench) -> str | Facts:
    """Does a job.

    Returns:
      How it ended; for an inspection, the facts.

    Raises:
      DamagedArtifact: an input is damaged; it has been set aside.
    """
    if isinstance(job, Inspect):
        return inspect(job.model, job.dataset, bench.workshop)
    lock = bench.store.lock(job.name)
    if lock is None:
        return BUSY
    with lock:
        return _advance(job, bench) if isinstance(job, Advance) else _make(job, bench)


def _advance(job: Advance, bench: Bench) -> str:
    """Trains a run through its missing states."""
    shelf = Shelves(bench.store)
    states = []
    for state in job.states:
        if shelf.has(state):
            bench.made(state.address)
        else:
            states.append(state)
    segments = shelf.segments(job.run, states)
    total = sum(segment.num_iterations for segment in segments)
    before = 0
    ending = FINISHED
    for segment in segments:
        ending = _train(segment, bench, before=before, total=total)
        if ending != FINISHED:
            break
        before += segment.num_iterations
    if ending != STOPPED:
        for address in bench.store.addresses(f"checkpoints/{job.run.key}"):
            bench.store.remove(address)
    return ending


def _train(segment: Segment, bench: Bench, *, before: int, total: int) -> str:
    """Trains one stretch of a run, keeping its states. Returns how that ended.

    Args:
      segment: the stretch.
      bench: where to work.
      before: updates made by the job so far.
      total: updates of the job.
    """
    from tflottery.execution import watching
    from tflottery.training.callbacks import WeightSnapshot
    from tflottery.training.trainer import Diverged

    run, store = segment.run, bench.store
    from_scratch = segment.start is None
    runs.begin(
        run,
        segment.first,
        bench.workshop,
        state=None if from_scratch else store.open(segment.start),
        initial=store.open(run.initial.address)
        if from_scratch and not isinstance(run.initial, runs.Initialization)
        else None,
        mask=store.open(run.mask.address) if run.mask is not None else None,
    )
    wanted = {state.iteration: state for state in segment.states}
    trainer = runs.trainer_of(run, bench.workshop)

    def keep(iteration: int, model: object) -> None:
        del model
        state = wanted[iteration]
        weights, slots = trainer.state()
        with store.writing(state.address, _manifest(run, iteration)) as folder:
            checkpoints.write(
                folder, weights, slots=slots if SLOTS_FILE in state.files else None
            )
        bench.made(state.address)

    def checkpoint(iteration: int) -> None:
        weights, slots = trainer.state()
        address = shelves.checkpoint_address(run, iteration)
        older = store.addresses(f"checkpoints/{run.key}")
        with store.writing(address, _manifest(run, iteration)) as folder:
            checkpoints.write(folder, weights, slots=slots)
        for superseded in set(older) - {address}:
            store.remove(superseded)

    watch = watching.Watch(
        bench,
        checkpoint=checkpoint,
        share=lambda iteration: (before + iteration - segment.first) / max(total, 1),
    )
    try:
        last = segment.states[-1].iteration
        snapshots = WeightSnapshot(list(wanted), keep)
        reached = runs.advance(run, last, bench.workshop, callbacks=[snapshots, watch])
    except Diverged as divergence:
        _record_divergence(run, divergence.iteration, store)
        return DIVERGED
    return FINISHED if reached == last else STOPPED


def _make(job: Make, bench: Bench) -> str:
    """Executes a component, from where an interrupted execution left it."""
    component, store = job.component, bench.store
    if store.has(component.address, component.files):
        bench.made(component.address)
        return FINISHED
    partial = f"partial/{component.key}"
    saved = time.monotonic()

    def remember(value: object, share: float) -> None:
        nonlocal saved
        bench.progressed(share)
        stop = bench.stopping()
        if stop or time.monotonic() - saved > bench.checkpoint_seconds:
            with store.writing(partial, {"of": component.address}) as folder:
                (folder / _PARTIAL_FILE).write_text(json.dumps(value))
            saved = time.monotonic()
        if stop:
            raise _Stop

    remembered = None
    if store.has(partial, (_PARTIAL_FILE,)):
        remembered = json.loads((store.open(partial) / _PARTIAL_FILE).read_text())
    inputs = {name: store.open(one.address) for name, one in component.inputs.items()}
    try:
        with store.writing(component.address, _description(component)) as output:
            component.execute(
                Context(inputs, output, bench.workshop, remembered, remember)
            )
            lacking = [one for one in component.files if not (output / one).exists()]
            if lacking:
                raise RuntimeError(
                    f"{type(component).__name__} promised {lacking} and did not write "
                    "them: its `execute` and its `FILES` disagree."
                )
    except _Stop:
        return STOPPED
    store.remove(partial)
    bench.made(component.address)
    return FINISHED


def _manifest(run: runs.Run, iteration: int) -> dict[str, object]:
    """Returns what a state's manifest says of its derivation."""
    return {"run": run.key, "iteration": iteration, "derivation": run.derivation()}


def _description(component: object) -> dict[str, object]:
    """Returns what a component's manifest says of its derivation."""
    from tflottery.core import fingerprints

    return {
        "component": type(component).__name__,
        "version": component.VERSION,
        "parameters": fingerprints.fields(component),
        "inputs": {name: one.address for name, one in component.inputs.items()},
    }


def _record_divergence(run: runs.Run, iteration: int, store: Store) -> None:
    """Notes in the store that a run stops being finite."""
    manifest = _manifest(run, iteration)
    with store.writing(shelves.divergence_address(run), manifest):
        pass
