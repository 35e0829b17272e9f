"""Results of commands, read back into pandas.

from tflottery import results
table = results.load("results/instability", table="instability")
print(results.summary(table, of=["test_instability"]))
"""

import json
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from etils import epath

from tflottery.core import table_files, tables

if TYPE_CHECKING:
    import pandas

# What tells a repetition of a setting from another.
_REPEATS = ("replicate", "data_order", "data_order_a", "data_order_b")
# Of columns that are not numbers with a fraction, those that are no options: where a
# network lies, and what was found of it.
_NO_SETTINGS = ("network", "network_a", "network_b", "mask")
_NO_SETTINGS += ("matching", "studied", "diverged_iteration", "num_survivors")
# Numbers with a fraction, or that may be missing, that are options and not measured.
_FRACTIONS = ("density", "axis_density", "alpha", "learning_rate", "quantile")
_FRACTIONS += ("first_convolutions",)


def load(
    *sources: str | os.PathLike | Sequence[str | os.PathLike],
    table: str | None = None,
) -> "pandas.DataFrame":
    """Returns the rows of one table from one or more places, one after the other.

    Columns that only newer tables have are filled as missing in the rows of older ones.

    Args:
      *sources: CSV files, folders (every table in them and below), patterns of either
        such as "results/*/lenet*", or lists of these. What exists under the very name
        is no pattern, so brackets are fine in a name. A file named twice is read once.
        Warns of tables that are incomplete, as their config.json says.
      table: which table, such as "instability", where there are several.

    Raises:
      FileNotFoundError: a source holds no CSV file (of that table).
      ValueError: the files are of different tables, each has columns that the other
        lacks, or one is not a table.
    """
    import pandas

    files = table_files.find(sources, table=table)
    _validate_one_table(files)
    _warn_of_incomplete(files)
    read = {path: tables.read(path) for path in files}
    # A table without rows adds nothing; where all are so, it is their columns.
    frames = {path: frame for path, frame in read.items() if len(frame)}
    frames = frames or {
        path: frame for path, frame in read.items() if len(frame.columns)
    }
    if not frames:
        return pandas.DataFrame()
    newest = _newest(frames)
    whole = [tables.filled(frame, list(newest)) for frame in frames.values()]
    joined = pandas.concat(whole, ignore_index=True)[list(newest)]
    # Beside missing values whole numbers stay what they are: options, not fractions.
    counts = [
        name
        for name, column in newest.items()
        if column.dtype.kind in "iu"
        and not all(name in frame for frame in frames.values())
    ]
    return joined.astype(dict.fromkeys(counts, "Int64"))


def _warn_of_incomplete(files: Sequence[str]) -> None:
    """Warns of tables that a command has not finished, or could not."""
    for folder in dict.fromkeys(os.path.dirname(file) for file in files):
        try:
            text = epath.Path(folder or ".", "config.json").read_text()
            said = json.loads(text)
            if said.get("complete", True):
                continue
            extent = said.get("artifacts") or {}
        except (OSError, ValueError, AttributeError):
            # A table of one's own has none.
            continue
        known = "a part of its artifacts"
        if extent:
            known = f"{extent.get('made')} of {extent.get('wanted')} artifacts"
        warnings.warn(
            f"The tables in {folder!r} are incomplete, made from {known}: their "
            "command has not finished. The same command makes the rest.",
            stacklevel=3,
        )


def summary(
    table: "pandas.DataFrame", *, of: str | Sequence[str]
) -> "pandas.DataFrame":
    """Returns mean, standard deviation and count over the repetitions of each setting.

    A setting is whatever tells rows apart but replicate and data orders: model, config,
    subnetwork, level, rewind iteration and so on. Rows that several commands share
    count once.

    Args:
      table: rows as `load` returns them, or some of them.
      of: names of columns of numbers.

    Returns:
      A row a setting, in the table's order, with the columns in which settings differ
      (all of them where there is one setting only) and, of each name, NAME_mean,
      NAME_std (of the sample; NaN for one value) and NAME_count: values that are there,
      without those of trainings that diverged.

    Raises:
      ValueError: a name is no column of numbers, or one repetition of a setting has
        several values.
    """
    names = [of] if isinstance(of, str) else list(of)
    values = table.assign(**{name: _numbers(table, name) for name in names})
    settings = [name for name in table if name not in names and _sets(table[name])]
    repeats = [name for name in _REPEATS if name in table]
    rows = values[[*settings, *repeats, *names]].drop_duplicates()
    _validate_repeats(rows, [*settings, *repeats], names)
    telling = [name for name in settings if rows[name].nunique(dropna=False) > 1]
    # Without any column of settings all rows are one.
    by = telling or settings or (lambda row: 0)
    groups = rows.groupby(by, sort=False, dropna=False)
    found = groups.agg(
        **{
            f"{name}_{statistic}": (name, statistic)
            for name in names
            for statistic in ("mean", "std", "count")
        }
    )
    return found.reset_index(drop=not settings)


def _numbers(table: "pandas.DataFrame", name: str) -> "pandas.Series":
    """Returns a column as float64; true and false are 1 and 0."""
    if name not in table:
        raise ValueError(
            f"The table has no column {name!r}, only {', '.join(map(str, table))}."
        )
    try:
        return table[name].astype("float64")
    except (ValueError, TypeError) as error:
        raise ValueError(f"Column {name!r} is not one of numbers: {error}.") from error


def _sets(column: "pandas.Series") -> bool:
    """Returns whether a column says what was asked for: no repetition, no finding."""
    if column.name in (*_REPEATS, *_NO_SETTINGS):
        return False
    return column.name in _FRACTIONS or column.dtype.kind != "f"


def _validate_repeats(
    rows: "pandas.DataFrame", keys: Sequence[str], names: Sequence[str]
) -> None:
    """Raises ValueError if rows that the keys do not tell apart have several values."""
    twice = rows.duplicated(list(keys), keep=False)
    if twice.any():
        several = rows[twice]
        first = several.iloc[0]
        told = ", ".join(f"{key}={first[key]}" for key in keys)
        raise ValueError(
            f"There are several rows of {told} and they differ in {', '.join(names)}: "
            f"{several[list(names)].head(2).to_dict('records')}. A column that tells "
            "them apart is missing, or has fractions; summarize its values one by one."
        )


def _validate_one_table(files: Sequence[str]) -> None:
    names: dict[str, str] = {}
    for path in files:
        names.setdefault(table_files.table_name(path), path)
    if len(names) > 1:
        examples = "; ".join(f"{name}: {path}" for name, path in sorted(names.items()))
        raise ValueError(
            f"These are {len(names)} different tables ({examples}). Load one at a "
            f"time: table={min(names)!r}, or name its files."
        )


def _newest(frames: dict[str, "pandas.DataFrame"]) -> "pandas.DataFrame":
    """Returns the table with the most columns, which are those of all others and more.

    Raises:
      ValueError: another has columns that it lacks.
    """
    newest = max(frames, key=lambda path: len(frames[path].columns))
    expected = list(frames[newest].columns)
    for path, frame in frames.items():
        extra = [name for name in frame.columns if name not in expected]
        if extra:
            missing = [name for name in expected if name not in frame.columns]
            raise ValueError(
                f"{path!r} and {newest!r} have different columns: the former lacks "
                f"{missing} and adds {extra}. Were they written by different versions? "
                "Load them apart."
            )
    return frames[newest]
