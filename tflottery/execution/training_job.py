"""Training a run through the states wanted of it, from the first line to the last.

What is missing is looked up again under the lock; each state is put into the store the
moment it is reached. Imported by workers alone, once TensorFlow is set up.
"""

import keras

from tflottery.components.runs import (
    MASK_FILE,
    Initialization,
    Run,
    State,
    slots_begin,
)
from tflottery.execution import run_index, work
from tflottery.execution.job_context import DIVERGED, FINISHED, JobContext
from tflottery.execution.run_index import RunIndex, Segment
from tflottery.store import leftovers
from tflottery.store.store import Store
from tflottery.training import checkpoints
from tflottery.training.callbacks import WeightSnapshot
from tflottery.training.trainer import Diverged, Trainer


def advance(
    run: Run,
    states: tuple[State, ...],
    context: JobContext,
    *,
    starts: tuple[str, ...] = (),
) -> str:
    """Trains a run through its missing states. Returns how that ended.

    Args:
      run: the trajectory.
      states: those wanted of it, ascending.
      context: what the job is done with.
      starts: addresses of states of the run that are known to be there.

    Raises:
      Stopped: it was asked to stop; a checkpoint is kept.
    """
    # Another process may have made some meanwhile, or met a divergence.
    store, index = context.store, RunIndex(context.store)
    store.refuse_damaged(run_index.divergence_address(run))
    diverged_at = index.diverged(run)
    missing, unobtainable = [], []
    for state in states:
        if index.has(state):
            context.made(state.address)
        elif diverged_at is not None and state.iteration >= diverged_at:
            unobtainable.append(state)
        else:
            store.refuse_damaged(state.address)
            missing.append(state)
    if missing:
        # Damage is named before the training begins farther back because of it.
        for address in run_index.checkpoints(run, store).values():
            store.refuse_damaged(address)
    # Each stretch begins at the best state there is.
    segments = index.segments(run, missing)
    seen = {segment.start for segment in segments}
    # Where to begin may not be seen from here yet.
    if missing and not seen.issuperset(starts) and all(map(store.awaited, starts)):
        segments = RunIndex(store).segments(run, missing)
    total = sum(segment.num_iterations for segment in segments)
    before = 0
    try:
        for segment in segments:
            _train(segment, context, before=before, total=total)
            before += segment.num_iterations
    except Diverged as divergence:
        address = run_index.divergence_address(run)
        with store.writing(address, _manifest(run, divergence.iteration, context)):
            pass
        for address in run_index.checkpoints(run, store).values():
            store.remove(address)
        return DIVERGED
    for address in leftovers.superseded(store, run.key):
        store.remove(address)
    return DIVERGED if unobtainable else FINISHED


def _train(segment: Segment, context: JobContext, *, before: int, total: int) -> None:
    """Trains one stretch of a run, keeping its states.

    Args:
      segment: the stretch.
      context: what the job is done with.
      before: updates made by the job so far.
      total: updates of the job.

    Raises:
      Stopped: it was asked to stop; a checkpoint is kept.
      Diverged: the loss or the weights are not finite.
    """
    run, store = segment.run, context.store
    trainer = _trainer(run, context)
    _restore(trainer, segment, store)
    wanted = {state.iteration: state for state in segment.states}
    pace = work.Pace(run, segment.first, num_devices=context.runtime.num_devices)

    def keep(iteration: int, model: keras.Model) -> None:
        """Puts a wanted state into the store."""
        del model
        state = wanted[iteration]
        weights, slots = trainer.state()
        manifest = _manifest(run, iteration, context)
        manifest["work"] = pace.since_last(iteration)
        with store.writing(state.address, manifest) as folder:
            checkpoints.write(folder, weights, slots=slots if state.has_slots else None)
        context.made(state.address)

    def checkpoint(iteration: int) -> None:
        """Keeps a state to go on from, in place of the checkpoints before it."""
        weights, slots = trainer.state()
        address = run_index.checkpoint_address(run, iteration)
        with store.writing(address, _manifest(run, iteration, context)) as folder:
            checkpoints.write(folder, weights, slots=slots)
        for earlier, address in run_index.checkpoints(run, store).items():
            if earlier < iteration:
                store.remove(address)

    def watch(batch: int, logs: dict) -> None:
        """Reports how the job gets on, at the end of each call of the loop."""
        iteration = batch + 1
        rate = float(trainer.optimizer.learning_rate)
        context.measured(iteration, {"loss": logs["loss"], "learning_rate": rate})
        done = before + iteration - segment.first
        context.progressed(done / total, save=lambda: checkpoint(iteration))

    # From there through the data order, with a call at every state that is wanted.
    watcher = keras.callbacks.LambdaCallback(on_train_batch_end=watch)
    trainer.train(
        trainer.stream(
            data_order_seed=run.data_order_seed,
            augmentation_seed=run.augmentation_seed,
        ),
        segment.states[-1].iteration,
        dropout_seed=run.dropout_seed,
        callbacks=[WeightSnapshot(wanted, keep), watcher],
    )


def _restore(trainer: Trainer, segment: Segment, store: Store) -> None:
    """Puts a trainer at the start of a stretch: a state of the run, or its beginning.

    Changes: the trainer's variables.
    """
    run, slots, masks = segment.run, None, {}
    if segment.start is not None:
        with store.reading(segment.start) as (folder,):
            weights = checkpoints.read_weights(folder)
            slots = checkpoints.read_slots(folder)
    elif isinstance(run.initial, Initialization):
        initial = run.initial
        weights = trainer.initial_weights(initial.seed, initial.initializers)
    else:
        with store.reading(run.initial.address) as (folder,):
            weights = checkpoints.read_weights(folder)
            if run.optimizer_state == "carried":
                slots = checkpoints.read_slots(folder)
    if run.mask is not None:
        with store.reading(run.mask.address) as (folder,):
            masks = checkpoints.read_arrays(folder / MASK_FILE)
    trainer.restore(
        weights,
        masks=masks,
        slots=slots,
        iteration=segment.first,
        first_iteration=slots_begin(run),
    )


def _trainer(run: Run, context: JobContext) -> Trainer:
    """Returns what trains a run."""
    return context.runtime.trainer(
        run.network,
        run.data,
        recipe=run.recipe,
        sparse=run.mask is not None,
        num_replicas=run.num_replicas,
        precision=run.precision,
    )


def _manifest(run: Run, iteration: int, context: JobContext) -> dict[str, object]:
    """Returns what a state's manifest says of its derivation, and of its making."""
    return {
        "run": run.key,
        "iteration": iteration,
        "derivation": run.derivation(),
        "num_devices": context.runtime.num_devices,
    }
