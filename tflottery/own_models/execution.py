"""Making what is wanted of a user's problem, here or by workers.

By the plan, the store and the executor of the commands, but without settings of the
whole process: in a notebook TensorFlow has long been started. With more than one thread
(`training.process.configure` sets one) another machine may add up in another order, and
so come to other bits.
"""

import contextlib
from collections.abc import Sequence

from tflottery.components.component import Artifact
from tflottery.execution.executor import Executor
from tflottery.execution.log import Log
from tflottery.execution.plan import plan_of
from tflottery.execution.progress import Progress
from tflottery.execution.stop_request import StopRequest
from tflottery.execution.worker import WorkerSettings
from tflottery.own_models import workers
from tflottery.own_models.update_loop import UpdateLoop
from tflottery.store.store import Store
from tflottery.training.distribution import Placement

_CHECKPOINT_SECONDS = 60.0


def make(
    goals: Sequence[Artifact], store: Store, *, loop: UpdateLoop, num_workers: int = 1
) -> frozenset[str]:
    """Makes all goals that the store lacks.

    Args:
      goals: states and lines of a problem.
      store: keeps them.
      loop: the problem's.
      num_workers: processes that make them; 1 is this one itself.

    Returns:
      Addresses of goals that there are none of: their training diverged, or that of
      what they are made from.

    Raises:
      ValueError: they go too deep for workers.
      SetupError: workers cannot train as this process does; says why.
      RuntimeError: a training failed; says how.
      KeyboardInterrupt: it was asked to stop; what was finished is kept.
      StoreError: the store cannot be used.

    Changes: the store.
    """
    store.ensure_root()
    todo = plan_of(goals, store, facts={})
    log = Log()
    settings = WorkerSettings(
        store=store.root,
        data_dir=None,
        placement=Placement(),
        gpu=None,
        checkpoint_seconds=_CHECKPOINT_SECONDS,
    )
    if num_workers > 1:
        workers.validate_depth(goals)
    pool = workers.pool(loop.problem, loop.key, settings=settings, workers=num_workers)
    with contextlib.ExitStack() as working, pool, StopRequest(pool) as stop:
        if todo.steps:
            working.enter_context(store.claimed(log.say))
            store.ensure_writable(todo.num_bytes)
        progress = working.enter_context(Progress(todo, log=log))
        executor = Executor(
            pool,
            store,
            facts={},
            progress=progress,
            stopping=stop.is_set,
            planned=todo,
        )
        outcome = executor.execute(goals)
    outcome.refuse_unfinished()
    return frozenset(outcome.unobtainable)
