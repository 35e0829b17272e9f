"""How fast is the package's real path: executor, workers, loop, pipeline, snapshots?

Replicates of one network train side by side, each in a worker of its own, as in any
experiment. Speeds are read from when their states arrived in the store, over the time
in which all of them were at work, so that starting and tracing are not counted.
"""

import datetime
import io
import itertools
import tempfile

import numpy as np
from rich.console import Console

from benchmarks.processes import Advance, total_rate
from tflottery.components.runs import Run, State
from tflottery.core.recipes import LABELS
from tflottery.execution.executor import Executor
from tflottery.execution.jobs import Inspect
from tflottery.execution.log import Log
from tflottery.execution.plan import plan_of
from tflottery.execution.pool import Pool
from tflottery.execution.progress import Progress
from tflottery.execution.questions import ask
from tflottery.execution.worker import WorkerSettings
from tflottery.experiments.instability import Config
from tflottery.store.store import Store
from tflottery.studies.study import Study, resolve
from tflottery.studies.subnetworks import RANDOM_PRUNING, Subnetwork, Subnetworks
from tflottery.training import distribution, process
from tflottery.training.distribution import Placement

# States kept on the way, as an experiment keeps them.
NUM_SNAPSHOTS = 20
# Images measured at every point of a line: nearer to a whole data set where it is fast.
IMAGES_PER_POINT = {"lenet": 60_000}
FEW_IMAGES_PER_POINT = 4_000


def measure(
    model: str,
    *,
    processes: int,
    iterations: int,
    warmup: int,
    data_dir: str | None,
    sparse: bool = False,
    task: str = LABELS,
    subset: str | None = None,
    threads: int = 1,
) -> float:
    """Returns training iterations per second, summed over workers.

    Args:
      model: a registered model, trained on the data set and by the recipe of its paper.
      processes: workers, each with a replicate of its own.
      iterations: timed iterations of each.
      warmup: iterations before.
      data_dir: folder of prepared tensorflow-datasets.
      sparse: train networks pruned at random to the density that their paper studies.
      task: what is learned: labels or a registered pretext.
      subset: the part that is trained on, or has labels, as `--subset` has it.
      threads: of each worker.

    Raises:
      RuntimeError: a training failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        placement = distribution.placement("none", threads=threads)
        with _pool(processes, store, data_dir, placement) as pool:
            config = Config(model=model, task=task, subset=subset)
            study, facts = _study(config, pool, placement)
            step = max(iterations // NUM_SNAPSHOTS, 1)
            kept = {*range(warmup, warmup + iterations, step), warmup + iterations}
            trained = [
                [State(run, one, needs_slots=True) for one in sorted(kept)]
                for run in _runs(study, processes, sparse=sparse)
            ]
            _execute(list(itertools.chain(*trained)), pool, store, facts)
        return _rate_together(
            [[(_arrival(store, one), one.iteration) for one in run] for run in trained]
        )


def _runs(study: Study, count: int, *, sparse: bool) -> list[Run]:
    """Returns the dense or randomly pruned runs of so many replicates."""
    replicates = range(1, count + 1)
    if not sparse:
        return [study.trunk(replicate) for replicate in replicates]
    subnetworks = Subnetworks(study)
    (level,) = subnetworks.studied_levels
    pruned = [
        Subnetwork(
            kind=RANDOM_PRUNING, level=level, replicate=replicate, rewind_iteration=0
        )
        for replicate in replicates
    ]
    return [subnetworks.run(one, data_order=1) for one in pruned]


def _rate_together(histories: list[list[tuple[float, int]]]) -> float:
    """Returns iterations per second in total, while all runs were at work.

    Args:
      histories: of each run, (seconds, iteration) of its states, ascending.
    """
    first = max(history[0][0] for history in histories)
    last = min(history[-1][0] for history in histories)
    if last <= first:
        raise RuntimeError(
            "The runs were not at work at the same time: take more iterations."
        )
    made = sum(
        np.diff(np.interp([first, last], *zip(*history, strict=True)))[0]
        for history in histories
    )
    return float(made / (last - first))


def _pool(
    processes: int, store: Store, data_dir: str | None, placement: Placement
) -> Pool:
    """Returns a pool of CPU workers."""
    settings = WorkerSettings(
        store=store.root,
        data_dir=data_dir,
        placement=placement,
        gpu=None,
        checkpoint_seconds=600.0,
    )
    return Pool([settings] * processes)


def _study(config: Config, pool: Pool, placement: Placement) -> tuple[Study, dict]:
    """Returns the study of a Config and the facts that its plan needs."""
    facts = ask(pool, Inspect(config.model, config.setting), lambda: False)
    study = resolve(config, facts, placement)
    return study, {facts.network: facts}


def _execute(goals: list, pool: Pool, store: Store, facts: dict) -> None:
    """Makes the goals, silently."""
    log = Log(Console(file=io.StringIO()))
    with Progress(plan_of(goals, store, facts=facts), log=log) as progress:
        outcome = Executor(pool, store, facts=facts, progress=progress).execute(goals)
    if outcome.failures:
        raise RuntimeError(f"Training failed: {outcome.failures}")


def _arrival(store: Store, state: State) -> float:
    """Returns when a state was written, in seconds."""
    written = store.manifest(state.address)["written"]
    return datetime.datetime.fromisoformat(written).timestamp()


def measure_line(
    model: str, *, processes: int, images: int, data_dir: str | None
) -> float:
    """Returns images per second on lines between networks, over one-thread processes.

    Counted like `components.interpolating` counts: weights interpolated and assigned
    for every point, then blocks of images read from the memory-mapped data.

    Args:
      model: a registered model, on the data set of its paper.
      processes: evaluated side by side.
      images: that each process evaluates, rounded up to whole points of the line.
      data_dir: folder of prepared tensorflow-datasets.
    """
    per_point = IMAGES_PER_POINT.get(model, FEW_IMAGES_PER_POINT)
    points = -(-images // per_point)
    rate = total_rate(
        _build_line,
        model,
        per_point,
        data_dir,
        processes=processes,
        iterations=points,
        warmup=1,
    )
    return rate * per_point


def _build_line(model: str, per_point: int, data_dir: str | None) -> Advance:
    """Builds the evaluation of points of a line in this process."""
    process.configure()
    from tflottery.analysis import interpolation
    from tflottery.components.metadata import inspect
    from tflottery.models import weights
    from tflottery.training.runtime import Runtime

    runtime = Runtime(data_dir=data_dir, placement=distribution.placement("none"))
    facts = inspect(model, Config(model=model).setting, runtime)
    evaluator = runtime.evaluator(facts.network, facts.data)
    a, b = (weights.initial_weights(evaluator.model, seed) for seed in (1, 2))
    blocks = evaluator.blocks("train", per_point)

    def advance(num_points: int) -> None:
        for point in range(num_points):
            alpha = interpolation.ALPHAS[point % len(interpolation.ALPHAS)]
            evaluator.assign(interpolation.between(a, b, alpha))
            for block in blocks:
                evaluator.measure("train", block)

    return advance
