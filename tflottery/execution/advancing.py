"""Training a run through the states wanted of it.

What is missing is looked up again under the lock; each state is put into the store the
moment it is reached.
"""

from tflottery.components import runs
from tflottery.execution import run_index
from tflottery.execution.bench import DIVERGED, FINISHED, STOPPED, Bench
from tflottery.execution.jobs import Advance
from tflottery.execution.run_index import RunIndex, Segment
from tflottery.store.store import Store
from tflottery.training import checkpoints


def advance(job: Advance, bench: Bench) -> str:
    """Trains a run through its missing states. Returns how that ended."""
    index = RunIndex(bench.store)
    diverged = index.diverged(job.run)
    states, lost = [], False
    for state in job.states:
        if index.has(state):
            bench.made(state.address)
        elif diverged is not None and state.iteration >= diverged:
            lost = True
        else:
            states.append(state)
    segments = index.segments(job.run, states)
    total = sum(segment.num_iterations for segment in segments)
    before = 0
    ending = FINISHED
    for segment in segments:
        ending = _train(segment, bench, before=before, total=total)
        if ending != FINISHED:
            break
        before += segment.num_iterations
    if ending == DIVERGED:
        _remove_checkpoints(job.run, bench.store, last=job.states[-1].iteration)
    elif ending == FINISHED:
        for address in run_index.superseded(job.run, bench.store):
            bench.store.remove(address)
    return DIVERGED if lost and ending == FINISHED else ending


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

    run = segment.run
    _begin(segment, bench)
    keeper = _Keeper(segment, bench)
    callbacks = [
        WeightSnapshot(keeper.wanted, keeper.keep),
        watching.Watch(
            bench,
            checkpoint=keeper.checkpoint,
            share=lambda now: (before + now - segment.first) / max(total, 1),
        ),
    ]
    last = segment.states[-1].iteration
    try:
        reached = runs.advance(run, last, bench.runtime, callbacks=callbacks)
    except Diverged as divergence:
        manifest = _manifest(run, divergence.iteration)
        with bench.store.writing(run_index.divergence_address(run), manifest):
            pass
        return DIVERGED
    return FINISHED if reached == last else STOPPED


def _begin(segment: Segment, bench: Bench) -> None:
    """Puts the trainer at the start of a stretch."""
    run, store = segment.run, bench.store
    state, initial = None, None
    if segment.start is not None:
        state = store.open(segment.start)
    elif not isinstance(run.initial, runs.Initialization):
        initial = store.open(run.initial.address)
    runs.begin(
        run,
        segment.first,
        bench.runtime,
        state=state,
        initial=initial,
        mask=store.open(run.mask.address) if run.mask is not None else None,
    )


class _Keeper:
    """Puts states of a run into the store."""

    def __init__(self, segment: Segment, bench: Bench):
        self.wanted = {state.iteration: state for state in segment.states}
        self._run = segment.run
        self._bench = bench
        self._trainer = runs.trainer_of(segment.run, bench.runtime)

    def keep(self, iteration: int, model: object) -> None:
        """Keeps a wanted state, with slots if it has any to keep."""
        del model
        state = self.wanted[iteration]
        weights, slots = self._trainer.state()
        manifest = _manifest(self._run, iteration)
        with self._bench.store.writing(state.address, manifest) as folder:
            checkpoints.write(folder, weights, slots=slots if state.has_slots else None)
        self._bench.made(state.address)

    def checkpoint(self, iteration: int) -> None:
        """Keeps a state to go on from, in place of the checkpoints before it."""
        weights, slots = self._trainer.state()
        store = self._bench.store
        address = run_index.checkpoint_address(self._run, iteration)
        with store.writing(address, _manifest(self._run, iteration)) as folder:
            checkpoints.write(folder, weights, slots=slots)
        _remove_checkpoints(self._run, store, last=iteration - 1)


def _remove_checkpoints(run: runs.Run, store: Store, *, last: int) -> None:
    """Removes a run's checkpoints up to an iteration.

    Later ones are of a job that trains the run further and was interrupted.
    """
    for iteration, address in run_index.checkpoints(run, store).items():
        if iteration <= last:
            store.remove(address)


def _manifest(run: runs.Run, iteration: int) -> dict[str, object]:
    """Returns what a state's manifest says of its derivation."""
    return {"run": run.key, "iteration": iteration, "derivation": run.derivation()}
