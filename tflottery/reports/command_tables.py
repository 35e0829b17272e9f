"""Tables of commands as reports read them: whole, or refused with what is wrong.

A damaged table stops no report on others. It is left out, the report says of which file
and why, and its program exits with 1 (`saving.run_on_tables`).
"""

import dataclasses
import functools
import importlib
import pkgutil
import types
import typing
from collections.abc import Iterable, Mapping

from tflottery import experiments
from tflottery.core import table_files, tables
from tflottery.figures.densities import SETTING

if typing.TYPE_CHECKING:
    import pandas


@functools.cache
def known_experiments() -> dict[str, types.ModuleType]:
    """Returns the experiments by name."""
    names = [module.name for module in pkgutil.iter_modules(experiments.__path__)]
    return {
        name: importlib.import_module(f"{experiments.__name__}.{name}")
        for name in names
    }


def row_types(path: str, said: Mapping[str, object]) -> list[type]:
    """Returns what the rows of a table may be: of one experiment, if that is known.

    Args:
      path: the table's; its name is that of a table of some experiment.
      said: what the config.json beside it says; {} where there is none.
    """
    name, experiment = table_files.table_name(path), said.get("experiment")
    every = known_experiments()
    if isinstance(experiment, str) and name in getattr(
        every.get(experiment), "TABLES", {}
    ):
        return [every[experiment].TABLES[name]]
    return [one.TABLES[name] for one in every.values() if name in one.TABLES]


def read(path: str, rows: Iterable[type]) -> "pandas.DataFrame":
    """Returns a table of a command as it is there.

    Args:
      path: the file.
      rows: what its rows may be, as of `row_types`.

    Raises:
      ValueError: it cannot be read, is no table, lacks columns that rows of its only
        type have had from the first, or holds something else where numbers belong.
    """
    try:
        table = tables.read(path)
    except OSError as error:
        raise ValueError(
            f"{path!r} cannot be read: {error.strerror or error}."
        ) from error
    if not len(table.columns):
        raise ValueError(
            f"{path!r} is not a table: it is empty, without the line of column names "
            "that a table without rows has."
        )
    rows = list(rows)
    if len(rows) == 1:
        _refuse_missing_columns(table, rows[0], path=path)
    for name, column in table.items():
        if column.dtype.kind in "iuf" and not column.hasnans:
            # As most are: nothing to find in hundreds of tables.
            continue
        kinds = [kind for one in rows for kind in _kinds(one, name)]
        if kinds and len(table):
            _refuse_other_values(column, set(kinds), path=path)
    return table


def _refuse_missing_columns(
    table: "pandas.DataFrame", row_type: type, *, path: str
) -> None:
    """Raises ValueError if columns lack that such a table has had from the first."""
    fields = dataclasses.fields(row_type)
    # What later versions added is None where it is not known.
    needed = [one.name for one in fields if one.default is not None]
    missing = sorted(set(needed) - set(tables.LATER) - set(table.columns))
    if missing:
        raise ValueError(
            f"{path!r} is not a table of this experiment: it lacks the columns "
            f"{', '.join(missing)}."
        )


def _kinds(row_type: type, name: str) -> list[type]:
    """Returns what the values of a column may be; none where rows have no such."""
    found = [one.type for one in dataclasses.fields(row_type) if one.name == name]
    return [kind for one in found for kind in typing.get_args(one) or (one,)]


def _refuse_other_values(
    column: "pandas.Series", kinds: set[type], *, path: str
) -> None:
    """Raises ValueError if a column holds what its kind does not allow.

    Text is text whatever it says. Numbers with a fraction may be missing, as those of a
    training that diverged; whole ones and settings only where the rows say so.
    """
    import pandas

    is_there = column.notna()
    expected = "numbers"
    if kinds - {types.NoneType} == {bool}:
        # Beside other texts they are texts too.
        is_right = column.astype(str).str.lower().isin(["true", "false"])
        expected = "true or false"
    elif kinds <= {int, float, types.NoneType}:
        is_right = pandas.to_numeric(column, errors="coerce").notna()
    else:
        is_right, expected = is_there, "text"
    is_optional = types.NoneType in kinds or not (
        kinds == {int} or column.name in SETTING
    )
    is_wrong = ~is_right & is_there if is_optional else ~is_right
    if is_wrong.any():
        at = column.index[is_wrong][0]
        found = repr(column[at]) if is_there[at] else "nothing"
        raise ValueError(
            f"{path!r} has {found} in column {column.name}, line {at + 2}: expected "
            f"{expected}."
        )
