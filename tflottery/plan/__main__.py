"""What whole papers cost: many commands planned as one, which share all they can.

    python -m tflottery.plan --paper=all
    python -m tflottery.plan configs/lottery/*_paper.flags
    python -m tflottery.plan my.commands
    python -m tflottery.plan my.commands --execute --store=STORE --output_dir=FOLDER

Of each command its runs, updates, disk and hours by itself; then of all of them as one
plan, which is what they take with one store, whatever their order. From an empty
store, and by the published sizes of the data sets, which need not be there: nothing is
read, and nothing trained. What it takes on this machine, with what its store holds, a
command tells by itself with --dry_run.

With --execute they are carried out as one (`joint_session`): what several want is made
once, and each command has its own folder of results.

A list of commands is a text file with a command a line, as it is typed behind `python
-m tflottery.experiments.`; configs/ has one of each paper.
"""

import concurrent.futures
import itertools
import multiprocessing
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence

from absl import app, flags

from tflottery.components.metadata import Facts
from tflottery.core import command_line, environment, registry
from tflottery.core.recipes import Setting
from tflottery.execution.plan import plan_of
from tflottery.plan import commands, joint_session, known_data, step_costs
from tflottery.plan.commands import Command
from tflottery.plan.step_costs import Costs
from tflottery.store.store import Store
from tflottery.studies import program, session
from tflottery.studies.machine import Machine

ALL = "all"
_RATES = """\
Times are of one core, of one core that decodes images, of one GPU and of one chip of a
TPU v5e.
Measured: a core's rates with LeNet, ResNet-20 and VGG-16, and of decoding; a GPU's with
these and ResNet-50 (docs/scaling.md). Not measured: larger networks on a core, other
ones on a GPU, which are put at the rates of those. Of TPUs nothing was measured: a chip
is put at the fraction of its peak that a GPU reaches, and at as long for each layer."""


def facts_of(asked: Iterable[Command]) -> dict[tuple[str, Setting], Facts]:
    """Returns the facts of all networks of some commands.

    From a process of its own, which takes TensorFlow along when it ends.
    """
    asked = list(asked)
    settings = sorted({one for each in asked for one in each.settings()}, key=repr)
    for _, setting in settings:
        known_data.refuse_unknown(setting)
    plugins = dict.fromkeys(name for each in asked for name in each.plugins)
    spawning = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        1, spawning, initializer=known_data.begin, initargs=(tuple(plugins),)
    ) as other:
        found = other.map(known_data.facts_of, *zip(*settings, strict=True))
        return dict(zip(settings, found, strict=True))


def told(
    groups: dict[str, Sequence[Command]],
    facts: dict[tuple[str, Setting], Facts],
) -> Iterator[str]:
    """Yields lines on what groups of commands cost: each, each group, and all.

    Args:
      groups: commands by what they make together.
      facts: of all networks that take part.
    """
    networks = {one.network: one for one in facts.values()}
    everything: Costs = {}
    apart_of_all = 0
    yield step_costs.HEAD
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for name, asked in groups.items():
            together: Costs = {}
            apart = 0
            for one in asked:
                goals = one.goals(one.studies(facts))
                plan = plan_of(goals, store, facts=networks)
                alone = step_costs.costs_of(plan, networks)
                cost = step_costs.total(alone.values())
                yield f"{cost.line}  {one.text}"
                step_costs.add(alone, to=together)
                apart += cost.num_iterations
            yield from _as_one(together, name=name, apart=apart)
            step_costs.add(together, to=everything)
            apart_of_all += apart
    if len(groups) > 1:
        yield from _as_one(everything, name=ALL, apart=apart_of_all)


def _as_one(together: Costs, *, name: str, apart: int) -> Iterator[str]:
    """Yields what commands cost as one plan, and what that saves.

    Args:
      together: what their steps cost.
      name: what they make.
      apart: updates of the commands one by one, each from an empty store.
    """
    cost = step_costs.total(together.values())
    yield f"{cost.line}  {name}, as one plan"
    yield (
        f"{'':8} {apart:14,} as commands that share no store: "
        f"{apart / cost.num_iterations:.2f} times as many"
    )
    yield ""


def _groups(names: Sequence[str], *, paper: str | None) -> dict[str, list[Command]]:
    """Returns the commands asked for, by what they make together.

    Args:
      names: of lists of commands and flag files.
      paper: or which one, or all.

    Raises:
      ValueError: neither or both were named, or what `commands` raises.
      FileNotFoundError: as `commands` raises.
    """
    if (paper is None) == (not names):
        raise ValueError(
            f"Name a paper (--paper={ALL}, or one of {', '.join(commands.PAPERS)}), "
            "or flag files and lists of commands"
            + (f": came --paper={paper} and {' '.join(names)}." if names else ".")
        )
    if paper is None:
        return {"these": [one for name in names for one in commands.of_file(name)]}
    papers = commands.PAPERS if paper == ALL else [paper]
    return {one: commands.of_paper(one) for one in papers}


def _execute(arguments: Sequence[str], values: flags.FlagValues) -> int:
    """Tells what commands cost, or carries them out; returns the exit code."""
    is_executed = values["execute"].value
    said = program.given(Machine, values)
    if said and not is_executed:
        raise ValueError(
            f"--{min(said)} says where and how commands are carried out: it goes with "
            "--execute."
        )
    machine = program.from_flags(Machine, values)
    # Lines may ask for what they register.
    registry.load_plugins(machine.plugins, named_by="--plugins")
    groups = _groups(arguments[1:], paper=values["paper"].value)
    asked = [one for group in groups.values() for one in group]
    if is_executed:
        return joint_session.execute(
            asked, machine, said=said, command=session.own_command()
        )
    last = f"{_RATES}\nThe same with --execute carries them out, as one plan."
    for line in itertools.chain(told(groups, facts_of(asked)), [last]):
        if not command_line.tell(line):
            # A reader such as `head` has left: no more is asked for.
            break
    return 0


def _run() -> None:
    """Defines flags, parses them, executes, exits."""
    # First, because libraries read it while they are imported.
    set_aside = environment.fix()
    _define_flags(flags.FLAGS, program_name=sys.argv[0])
    app.run(
        lambda arguments: program.exit_code_of(
            lambda: _execute(arguments, flags.FLAGS), set_aside=set_aside
        ),
        flags_parser=command_line.parsed,
    )


def _define_flags(values: flags.FlagValues, *, program_name: str) -> None:
    """Defines the flags of this program. Changes: `values`."""
    papers = [*commands.PAPERS, ALL]
    flags.DEFINE_enum("paper", None, papers, "whose commands", flag_values=values)
    flags.DEFINE_bool(
        "execute",
        False,
        "carry them out as one; the flags below say where and how",
        flag_values=values,
    )
    program.define_flags(Machine, values, program=program_name)


def main() -> None:
    """Runs the tool as a program: defines its flags, parses them, exits."""
    program.stoppable(_run)


if __name__ == "__main__":
    main()
