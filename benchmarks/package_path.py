"""How fast is the package's real path: executor, workers, loop, pipeline, snapshots?

Replicates of one network train side by side, each in a worker of one thread, as in any
experiment. Speeds are read from when their states arrived in the store, the first one
after the warm-up, so that starting and tracing are not counted.
"""

import datetime
import io
import tempfile

from rich.console import Console

from tflottery.components.runs import State
from tflottery.execution.executor import Executor, ask
from tflottery.execution.jobs import Inspect
from tflottery.execution.plan import plan
from tflottery.execution.pool import Pool
from tflottery.execution.progress import Progress
from tflottery.execution.store import Store
from tflottery.execution.worker import WorkerSettings
from tflottery.experiments.instability import Config
from tflottery.experiments.study import Study, dataset_of, resolve
from tflottery.training import distribution

# States kept on the way, as an experiment keeps them.
NUM_SNAPSHOTS = 5


def measure(
    model: str, *, processes: int, iterations: int, warmup: int, data_dir: str | None
) -> float:
    """Returns training iterations per second, summed over workers of one thread.

    Args:
      model: a registered model, trained on the data set and by the recipe of its paper.
      processes: workers, each with a replicate of its own.
      iterations: timed iterations of each.
      warmup: iterations before.
      data_dir: folder of prepared tensorflow-datasets.

    Raises:
      RuntimeError: a training failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        with _pool(processes, store, data_dir) as pool:
            study, facts = _study(model, pool)
            step = max(iterations // NUM_SNAPSHOTS, 1)
            kept = {*range(warmup, warmup + iterations, step), warmup + iterations}
            goals = [
                study.trunk_state(replicate, iteration)
                for replicate in range(1, processes + 1)
                for iteration in sorted(kept)
            ]
            _execute(goals, pool, store, facts)
        return sum(
            iterations
            / (
                _arrival(store, study.trunk_state(replicate, warmup + iterations))
                - _arrival(store, study.trunk_state(replicate, warmup))
            )
            for replicate in range(1, processes + 1)
        )


def _pool(processes: int, store: Store, data_dir: str | None) -> Pool:
    """Returns a pool of CPU workers."""
    settings = WorkerSettings(
        store=store.root,
        data_dir=data_dir,
        placement=distribution.placement("none"),
        gpu=None,
        checkpoint_seconds=600.0,
    )
    return Pool([settings] * processes)


def _study(model: str, pool: Pool) -> tuple[Study, dict]:
    """Returns the paper's study of a model and the facts that its plan needs."""
    config = Config(model=model)
    facts = ask(pool, Inspect(model, dataset_of(config)), lambda: False)
    study = resolve(config, facts, distribution.placement("none"))
    return study, {facts.network: facts}


def _execute(goals: list, pool: Pool, store: Store, facts: dict) -> None:
    """Makes the goals, silently."""
    console = Console(file=io.StringIO())
    with Progress(plan(goals, store, facts=facts), console=console) as progress:
        outcome = Executor(pool, store, facts=facts, progress=progress).execute(goals)
    if outcome.failures:
        raise RuntimeError(f"Training failed: {outcome.failures}")


def _arrival(store: Store, state: State) -> float:
    """Returns when a state was written, in seconds."""
    written = store.manifest(state.address)["written"]
    return datetime.datetime.fromisoformat(written).timestamp()
