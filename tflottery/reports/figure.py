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
import importlib
import os
import pkgutil
import sys
import types
import typing
from collections.abc import Sequence

from absl import flags
from etils import epath

from tflottery import experiments
from tflottery.core import table_files, tables
from tflottery.figures import facts, merging, style
from tflottery.reports import saving

if typing.TYPE_CHECKING:
    import pandas


def kinds() -> dict[str, types.ModuleType]:
    """Returns the experiments that have a figure, by name."""
    names = [module.name for module in pkgutil.iter_modules(experiments.__path__)]
    modules = {
        name: importlib.import_module(f"{experiments.__name__}.{name}")
        for name in names
    }
    return {
        name: module for name, module in modules.items() if hasattr(module, "figure")
    }


def load(
    experiment: types.ModuleType, sources: Sequence[str]
) -> dict[str, "pandas.DataFrame"]:
    """Returns the tables of commands of one experiment as one of each name.

    Args:
      experiment: whose tables they are.
      sources: CSV files, folders (all below them) or patterns of either. A single file
        of another name than the experiment's tables counts as its first table.

    Raises:
      FileNotFoundError: a source holds no table of the experiment.
      ValueError: a file is not such a table, or none was named.
    """
    first = next(iter(experiment.TABLES))
    commands: dict[str, dict[str, pandas.DataFrame]] = {}
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
            files = {
                name: os.path.join(folder, f"{name}.csv") for name in experiment.TABLES
            }
            commands[folder] = _command(experiment, files)
        if not known:
            commands[found[0]] = _command(experiment, {first: found[0]})
    if not commands:
        raise ValueError("No tables were named: name CSV files, folders or patterns.")
    named = {_command_name(path): tables for path, tables in commands.items()}
    if len(named) < len(commands):
        # Folders of one name are told apart by their whole paths.
        named = commands
    return merging.merged(named, first=first)


def _command_name(path: str) -> str:
    """Returns how legends name a command, by its folder or its file."""
    return table_files.table_name(os.path.abspath(path))


def _command(
    experiment: types.ModuleType, files: dict[str, str]
) -> dict[str, "pandas.DataFrame"]:
    """Returns the tables of a command; of one that is not there, its columns alone."""
    found = {}
    for name, row_type in experiment.TABLES.items():
        path = files.get(name)
        if path is None or not epath.Path(path).exists():
            found[name] = _whole(None, row_type)
            continue
        table = _whole(tables.read(path), row_type, path=path)
        said = facts.beside(os.path.dirname(path))
        found[name] = facts.with_facts(table, said)
        if not said.get("complete", True):
            print(f"{path} is incomplete: its command has not ended.", file=sys.stderr)
    return found


def _whole(
    table: "pandas.DataFrame | None", row_type: type, *, path: str = ""
) -> "pandas.DataFrame":
    """Returns a table with all columns of its rows' type, empty where it has none.

    Raises:
      ValueError: it lacks columns that such a table has had from the first.
    """
    import pandas

    fields = dataclasses.fields(row_type)
    names = [field.name for field in fields]
    if table is None or not len(table.columns):
        return pandas.DataFrame(columns=names)
    needed = [one.name for one in fields if one.default is dataclasses.MISSING]
    missing = sorted(set(needed) - set(tables.LATER) - set(table.columns))
    if missing:
        raise ValueError(
            f"{path!r} is not a table of this experiment: it lacks the columns "
            f"{', '.join(missing)}."
        )
    return tables.filled(table, names)


def save(kind: str, sources: Sequence[str], *, output: str) -> None:
    """Draws one figure of the tables of several commands.

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
    found = load(known[kind], sources)
    first = next(iter(found))
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


def _name(experiment: types.ModuleType) -> str:
    return experiment.__name__.rpartition(".")[2]


def main() -> None:
    """Runs the report as a program: defines its flags, parses them, exits."""
    flags.DEFINE_string("output", "figure.png", "file to save to, a PNG")
    saving.run(_saved)


def _saved(arguments: Sequence[str]) -> str:
    """Saves the figure that the arguments ask for; says where."""
    output = flags.FLAGS["output"].value
    _, *named = arguments
    if len(named) < 2:
        raise ValueError(
            f"Name a figure and its tables: {' | '.join(kinds())}, then CSV files or "
            "folders."
        )
    save(named[0], named[1:], output=output)
    return f"The figure is in {output}"


if __name__ == "__main__":
    main()
