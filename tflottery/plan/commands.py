"""Which commands make a paper, and what each asks for.

A list of commands is a text file: a command a line, as it is typed behind `python -m
tflottery.experiments.`, with comments from # on. `configs/` has one of each paper. A
flag file by itself is the command of the experiment that its folder is named after.
"""

import dataclasses
import pathlib
import shlex
import types
from collections.abc import Mapping, Sequence

import tflottery
from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts
from tflottery.core import command_line, registry
from tflottery.core.recipes import Setting
from tflottery.studies import program
from tflottery.studies.config import Config, validated_members
from tflottery.studies.machine import Machine
from tflottery.studies.study import Study, study_of
from tflottery.training import distribution
from tflottery.training.distribution import Placement

# The package has configs/ as well, which an installed one comes with.
_ROOT = pathlib.Path(tflottery.__file__).parent
PAPERS = ("linear_mode_connectivity", "early_phase", "limited_supervision")
_LIST, _FLAG_FILE = ".commands", ".flags"
_FLAGFILE_FLAG = "--flagfile="
# Ways to distribute under which a command makes the same runs with any devices.
_ALIKE_EVERYWHERE = ("none", distribution.AUTO)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of an experiment.

    Attributes:
      text: as it is typed behind `python -m tflottery.experiments.`.
      module: the experiment.
      configs: of its studies.
      placement: where it trains, as far as that decides what is trained.
      plugins: modules that register what takes part.
      machine: all that its line says of where and how.
      said: names of the options of the machine that its line gives, be it at their
        defaults.
    """

    text: str
    module: types.ModuleType
    configs: tuple[Config, ...]
    placement: Placement = Placement()
    plugins: tuple[str, ...] = ()
    machine: Machine = Machine()
    said: frozenset[str] = frozenset()

    def settings(self) -> set[tuple[str, Setting]]:
        """Returns the networks that take part, each with what it learns."""
        parts = [*self.configs]
        for config in self.configs:
            parts += config.related().values()
        return {(one.model, one.setting) for one in parts}

    def studies(self, facts: Mapping[tuple[str, Setting], Facts]) -> list[Study]:
        """Returns its studies, given the facts of its settings."""
        return [
            study_of(config, lambda *setting: facts[setting], self.placement)
            for config in self.configs
        ]

    def goals(self, studies: Sequence[Study]) -> list[Artifact]:
        """Returns the artifacts that the tables of its studies are read from."""
        return [goal for study in studies for goal in self.module.plan(study)]


def of_paper(paper: str) -> list[Command]:
    """Returns the commands that make all figures and tables of a paper."""
    path = _ROOT / "configs" / f"{paper}{_LIST}"
    return _listed(path, folder=_ROOT)


def of_file(name: str) -> list[Command]:
    """Returns the commands of a list, or the one of a flag file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is neither, or names no experiment.
    """
    path = pathlib.Path(command_line.own_file(name))
    if path.suffix not in (_LIST, _FLAG_FILE):
        raise ValueError(
            f"{name!r} is no list of commands (*{_LIST}) and no flag file (*"
            f"{_FLAG_FILE})."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {name!r}.")
    if path.suffix == _LIST:
        return _listed(path, folder=pathlib.Path())
    experiment = path.absolute().parent.name
    return [parsed(f"{experiment} {_FLAGFILE_FLAG}{shlex.quote(name)}")]


def parsed(text: str, *, folder: pathlib.Path = pathlib.Path()) -> Command:
    """Returns a command.

    Args:
      text: as it is typed behind `python -m tflottery.experiments.`.
      folder: from which paths of flag files count.

    Changes: what the command's plugins register is there from now on.

    Raises:
      ValueError: there is no such experiment, an option makes no sense, or batches are
        spread over devices that nothing says the number of; names the command.
    """
    try:
        return _parsed(text, folder)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error


def _parsed(text: str, folder: pathlib.Path) -> Command:
    """Returns a command, as `parsed`."""
    name, *arguments = shlex.split(text, comments=True)
    module = program.experiment(name)
    arguments = [
        f"{_FLAGFILE_FLAG}{folder / one.removeprefix(_FLAGFILE_FLAG)}"
        if one.startswith(_FLAGFILE_FLAG)
        else one
        for one in arguments
    ]
    values = program.flags_of(module, arguments)
    config, machine = (
        program.from_flags(options, values) for options in (module.Config, Machine)
    )
    # Data are where the command is to run.
    dataclasses.replace(machine, data_dir=None).validate()
    if machine.distribute not in _ALIKE_EVERYWHERE:
        raise ValueError(
            f"What --distribute={machine.distribute} trains depends on how "
            "many devices there are, which is not known here. Leave it out: parts of a "
            "batch are said by --replica_batch_size."
        )
    registry.load_plugins(machine.plugins, named_by="--plugins")
    return Command(
        text,
        module,
        tuple(validated_members(module, config)),
        placement=Placement(threads=machine.threads),
        plugins=machine.plugins,
        machine=machine,
        said=program.given(Machine, values),
    )


def _listed(path: pathlib.Path, *, folder: pathlib.Path) -> list[Command]:
    """Returns the commands of a list.

    Raises:
      ValueError: it has none, or is no text; or as `parsed`.
    """
    try:
        # Editors of Windows begin a text with a mark.
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is no text in UTF-8 ({error.reason}). Save it as such."
        ) from error
    lines = (line.strip() for line in text.splitlines())
    found = [
        parsed(line, folder=folder)
        for line in lines
        if line and not line.startswith("#")
    ]
    if not found:
        raise ValueError(f"{str(path)!r} holds no command.")
    return found
