"""One figure of the tables of several commands.

    python -m tflottery.reports.figure instability results/dense results/imp

draws the tables of commands of one experiment as if one command had made them: networks
of one model, recipe, data set and length share their panels, so that LMC Figures 6 to 8
and EP Figures 6 and 10 overlay subnetworks and the unpruned network. Experiments on how
tickets are found have the same tables, and any of them draws those of all. A table
stands for those beside it; a folder for all below it. What config.json says beside a
table (what chance is, how long an epoch is) is drawn too, but none is needed.
"""

import dataclasses
import os
import sys
import types
import typing
from collections.abc import Mapping, Sequence

from absl import flags
from etils import epath

from tflottery.core import table_files, tables
from tflottery.figures import facts, merging, style
from tflottery.reports import command_tables, saving

if typing.TYPE_CHECKING:
    import pandas


def kinds() -> dict[str, types.ModuleType]:
    """Returns the experiments that have a figure, by name."""
    return {
        name: module
        for name, module in command_tables.known_experiments().items()
        if hasattr(module, "figure")
    }


def load(
    experiment: types.ModuleType, sources: Sequence[str]
) -> tuple[dict[str, "pandas.DataFrame"], dict[str, str]]:
    """Returns the tables of commands of one experiment as one of each name.

    Args:
      experiment: whose tables they are.
      sources: CSV files, folders (all below them) or patterns of either. A single file
        of another name than the experiment's tables counts as its first table.

    Returns:
      The tables, and what is wrong with those that are left out, by path.

    Raises:
      FileNotFoundError: a source holds no table of the experiment.
      ValueError: none was named.
    """
    first = next(iter(experiment.TABLES))
    commands: dict[str, dict[str, pandas.DataFrame]] = {}
    damaged: dict[str, str] = {}
    for source in sources:
        found = table_files.find([source])
        known = [
            file for file in found if table_files.table_name(file) in experiment.TABLES
        ]
        if not known and len(found) > 1:
            raise FileNotFoundError(
                f"No table of {_name(experiment)} in {source!r}: expected "
                f"{', '.join(f'{name}.csv' for name in experiment.TABLES)}."
            )
        for folder in dict.fromkeys(map(os.path.dirname, known)):
            commands[folder], wrong = of_command(experiment, folder)
            damaged |= wrong
        if not known:
            commands[found[0]], wrong = _command(experiment, {first: found[0]})
            damaged |= wrong
    if not commands:
        raise ValueError("No tables were named: name CSV files, folders or patterns.")
    named = {_command_name(path): tables for path, tables in commands.items()}
    if len(named) < len(commands):
        # Folders of one name are told apart by their whole paths.
        named = commands
    return merging.merged(named, first=first), damaged


def of_command(
    experiment: types.ModuleType, folder: str
) -> tuple[dict[str, "pandas.DataFrame"], dict[str, str]]:
    """Returns the tables in a folder, and what is wrong with the damaged ones, by path.

    Of one that is damaged, or not there, its columns alone.

    Args:
      experiment: whose tables they are.
      folder: of one command; what lies in folders below is no part of it.
    """
    paths = {name: os.path.join(folder, f"{name}.csv") for name in experiment.TABLES}
    files = {name: path for name, path in paths.items() if _is_file(path)}
    return _command(experiment, files)


def _is_file(path: str) -> bool:
    """Returns whether a file is there, or a link that leads to none."""
    return os.path.islink(path) or (
        epath.Path(path).exists() and not epath.Path(path).is_dir()
    )


def _command_name(path: str) -> str:
    """Returns how legends name a command, by its folder or its file."""
    return table_files.table_name(os.path.abspath(path))


def _command(
    experiment: types.ModuleType, files: Mapping[str, str]
) -> tuple[dict[str, "pandas.DataFrame"], dict[str, str]]:
    """Returns what `of_command` does, of files by the names of their tables."""
    import pandas

    found, damaged = {}, {}
    for name, row_type in experiment.TABLES.items():
        columns = [field.name for field in dataclasses.fields(row_type)]
        found[name] = pandas.DataFrame(columns=columns)
        path = files.get(name)
        if path is None:
            continue
        try:
            table = command_tables.read(path, [row_type])
        except ValueError as error:
            damaged[path] = str(error)
            continue
        said = facts.beside(os.path.dirname(path))
        found[name] = facts.with_facts(tables.filled(table, columns), said)
        if not said.get("complete", True):
            print(f"{path} is incomplete: its command has not ended.", file=sys.stderr)
    return found, damaged


def save(kind: str, sources: Sequence[str], *, output: str) -> dict[str, str]:
    """Draws one figure of the tables of several commands.

    Returns what is wrong with those that are left out, by path.

    Args:
      kind: name of an experiment that has a figure.
      sources: as for `load`.
      output: file to save to; ends in .png.

    Raises:
      FileNotFoundError: a source holds no table.
      ValueError: an argument is wrong, or the tables show nothing.

    Changes: writes `output`, and the folder it is in where there is none.
    """
    known = kinds()
    if kind not in known:
        raise ValueError(f"There is no figure {kind!r}. Known: {', '.join(known)}.")
    path = saving.path_of(output, endings=[".png"])
    found, damaged = load(known[kind], sources)
    first = next(iter(found))
    if not len(found[first]) and damaged:
        raise ValueError(" ".join(damaged.values()))
    if not len(found[first]):
        raise ValueError(
            f"There are no rows of {first}.csv in {', '.join(sources)}, of which "
            f"{kind} is drawn."
        )
    image = style.png(lambda: known[kind].figure(found))
    if image is None:
        raise ValueError(f"The table {first!r} shows nothing: all trainings diverged.")
    with saving.writing(path, output=output):
        path.write_bytes(image)
    return damaged


def _name(experiment: types.ModuleType) -> str:
    return experiment.__name__.rpartition(".")[2]


def main() -> None:
    """Runs the report as a program: defines its flags, parses them, exits."""
    flags.DEFINE_string("output", "figure.png", "file to save to, a PNG")
    saving.run_on_tables(_saved)


def _saved(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Saves the figure that the arguments ask for; says where, and what lacks."""
    output = flags.FLAGS["output"].value
    _, *named = arguments
    if len(named) < 2:
        raise ValueError(
            f"Name a figure and its tables: {' | '.join(kinds())}, then CSV files or "
            "folders."
        )
    damaged = save(named[0], named[1:], output=output)
    return f"The figure is in {output}", damaged


if __name__ == "__main__":
    main()
