"""What sharing saves: a paper's figures of a network as one plan, and one by one.

    python -m benchmarks.sharing [--model=lenet]
    python -m benchmarks.sharing --paper=limited_supervision --model=resnet50

LMC: Figures 2, 3, 5 to 8 and Appendices B to E: instability of the dense network, the
lottery, and instability of three kinds of subnetworks at the studied density, all at
every k of the paper. Separate scripts make one figure at one k at a time and keep
nothing for the next.

LS: the commands configs/*/MODEL*_paper.flags on how tickets are found and on natural
sparsity, which are Figures 1 to 11 as far as the paper has the network in them.
Separate scripts make a figure at a time; within one nothing is made twice.

Data sets are of the papers' sizes. Nothing is trained here. Whole papers as one plan
are `python -m tflottery.plan`.
"""

import dataclasses
import importlib
import pathlib
import shlex
import tempfile
import types
from collections.abc import Iterator, Sequence

from absl import app, flags

from benchmarks import costs
from tflottery.components.component import Artifact
from tflottery.core import hardware
from tflottery.execution import estimate
from tflottery.execution.plan import Plan, plan_of
from tflottery.experiments import instability, lottery
from tflottery.store.store import Store
from tflottery.studies import program
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import (
    DENSE,
    IMP,
    RANDOM_PRUNING,
    RANDOM_REINIT,
)
from tflottery.training import process
from tflottery.training.distribution import Placement

_LMC, _LS = "linear_mode_connectivity", "limited_supervision"
_PAPER = flags.DEFINE_enum("paper", _LMC, (_LMC, _LS), "whose figures")
_MODEL = flags.DEFINE_string("model", "lenet", "network")
_VARIANT = flags.DEFINE_string("variant", None, "recipe; None: the model's first (LMC)")
_CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
# In the order of their figures.
_EXPERIMENTS_OF_LS = (
    *("label_agnostic", "layerwise", "low_shot", "permuted_labels", "semi_supervised"),
    *("transfer", "natural_sparsity", "late_resetting", "reinitialization"),
)


def main(arguments: list[str]) -> None:
    """Prints the iterations of both ways and the estimated time of the first."""
    del arguments
    process.configure()
    figures = _figures_of_ls if _PAPER.value == _LS else _figures_of_lmc
    together, apart, networks = [], 0, {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)

        def planned(goals: Sequence[Artifact]) -> Plan:
            return plan_of(goals, store, facts=networks)

        for name, module, studies, scripts in figures():
            networks |= costs.networks_of(studies)
            alone = sum(
                planned(_goals(module, script)).num_iterations for script in scripts
            )
            print(f"{alone:16,} iterations: {name}", flush=True)
            together += _goals(module, studies)
            apart += alone
        column = planned(together)
    cores = hardware.visible_cores()
    duration = estimate.seconds(
        column, num_workers=cores, placement=Placement(), learned={}
    )
    print(
        f"{_MODEL.value}: {column.num_iterations:,} iterations in {column.num_runs:,} "
        f"runs, {duration} on {cores} cores; as separate "
        f"scripts {apart:,}: {apart / column.num_iterations:.2f} times as many"
    )


# A command: its name, experiment and studies, and the studies of each script in its
# place.
_Figures = Iterator[tuple[str, types.ModuleType, list[Study], list[list[Study]]]]


def _goals(module: types.ModuleType, studies: Sequence[Study]) -> list[Artifact]:
    """Returns what an experiment makes of some studies."""
    return [goal for study in studies for goal in module.plan(study)]


def _figures_of_lmc() -> _Figures:
    """Yields each experiment of the column, and one script for each k."""
    named = {"model": _MODEL.value, "variant": _VARIANT.value}
    commands = [("lottery", lottery, lottery.Config(**named))]
    for kind in (DENSE, IMP, RANDOM_PRUNING, RANDOM_REINIT):
        config = instability.Config(**named, subnetworks=(kind,))
        commands.append((f"instability, {kind}", instability, config))
    for name, module, config in commands:
        (study,) = costs.studies_of(module, config)
        scripts = [
            [dataclasses.replace(study, rewind_iterations=(k,))]
            for k in study.rewind_iterations
        ]
        yield name, module, [study], scripts


def _figures_of_ls() -> _Figures:
    """Yields what each of the paper's flag files asks for, a script each."""
    for experiment in _EXPERIMENTS_OF_LS:
        module = importlib.import_module(f"tflottery.experiments.{experiment}")
        for path in sorted((_CONFIGS / experiment).glob("*_paper.flags")):
            given = shlex.split(path.read_text(), comments=True)
            config, _ = program.options_of(module, given)
            if config.model == _MODEL.value:
                studies = costs.studies_of(module, config)
                yield f"{experiment}/{path.name}", module, studies, [studies]


if __name__ == "__main__":
    app.run(main)
