"""What sharing saves: the LMC column of a network as one plan, and as separate scripts.

    python -m benchmarks.sharing --data_dir=FOLDER [--model=lenet]

The column is Figures 2, 3, 5 to 8 and Appendices B to E: instability of the dense
network, the lottery, and instability of three kinds of subnetworks at the studied
density, all at every k of the paper. Separate scripts make one figure at one k at a
time and keep nothing for the next. Nothing is trained here.
"""

import dataclasses
import tempfile
from collections.abc import Iterator

from absl import app, flags

from tflottery.components.component import Artifact
from tflottery.components.metadata import inspect
from tflottery.core import hardware
from tflottery.core.recipes import Setting
from tflottery.execution import estimate
from tflottery.execution.plan import plan_of
from tflottery.experiments import instability, lottery
from tflottery.store.store import Store
from tflottery.studies.study import resolve
from tflottery.studies.subnetworks import DENSE, sparse_kinds
from tflottery.training import process
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime

_MODEL = flags.DEFINE_string("model", "lenet", "network")
_VARIANT = flags.DEFINE_string("variant", None, "recipe; None: the model's first")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "prepared tensorflow-datasets")


def main(arguments: list[str]) -> None:
    """Prints the iterations of both ways and the estimated time of the first."""
    del arguments
    process.configure()
    placement = Placement()
    runtime = Runtime(data_dir=_DATA_DIR.value, placement=placement)
    data = lottery.Config(model=_MODEL.value).setting.dataset
    facts = inspect(_MODEL.value, Setting(data), runtime)
    networks = {facts.network: facts}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)

        def planned(goals: list[Artifact]) -> object:
            return plan_of(goals, store, facts=networks)

        together, apart = [], 0
        for module, config in _commands():
            study = resolve(config, facts, placement)
            together += module.plan(study)
            for k in study.rewind_iterations:
                alone = dataclasses.replace(study, rewind_iterations=(k,))
                apart += planned(module.plan(alone)).num_iterations
        column = planned(together)
    cores = hardware.visible_cores()
    duration = estimate.seconds(
        column, num_workers=cores, placement=placement, learned={}
    )
    print(
        f"{_MODEL.value}: {column.num_iterations:,} iterations in {column.num_runs:,} "
        f"runs, {duration} on {cores} cores; as separate "
        f"scripts {apart:,}: {apart / column.num_iterations:.2f} times as many"
    )


def _commands() -> Iterator[tuple[object, object]]:
    """Yields the experiments of the column and their Configs."""
    named = {"model": _MODEL.value, "variant": _VARIANT.value}
    yield lottery, lottery.Config(**named)
    for kind in (DENSE, *sparse_kinds()):
        yield instability, instability.Config(**named, subnetworks=(kind,))


if __name__ == "__main__":
    app.run(main)
