"""Tables: tidy CSV files, one row of them a frozen dataclass.

The same rows give the same bytes, and every float reads back as the float it was.
"""

import csv
import dataclasses
import io
import math
import numbers
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from etils import epath

from tflottery.core import files, paths
from tflottery.core.recipes import LABELS

if TYPE_CHECKING:
    import pandas


# Columns of hexadecimal digits, which may look like a number: 01234567, or 12e45678.
_HASHES = ("config", "ticket_config")
# Columns without a default that tables of earlier versions lack, and what these hold.
LATER = {"network": None, "network_a": None, "network_b": None, "mask": None}
LATER |= {"final_network": None, "task": LABELS, "precision": "float32"}


def write(
    rows: Sequence[object], path: str | os.PathLike, *, row_type: type | None = None
) -> None:
    """Writes rows as CSV; a reader never sees half a table.

    The columns are the fields of the rows' dataclass, in order. Floats are written as
    Python's repr, None as nothing, booleans as true and false.

    Args:
      rows: dataclasses of one type.
      path: the file; replaced if it exists.
      row_type: the rows' type; only needed so that a table without rows gets a header.

    Raises:
      TypeError: rows of several types, or a value that is no number, text or None.
    """
    files.write(path, _text(rows, row_type).encode())


def read(path: str | os.PathLike) -> "pandas.DataFrame":
    """Returns a table as a DataFrame; empty cells are missing values (NaN).

    Raises:
      ValueError: the file is not such a table.
    """
    import pandas

    try:
        text = epath.Path(paths.expanded(path)).read_bytes().decode()
        if not text:
            return pandas.DataFrame()
        _validate_text(text)
        # Only nothing and NaN are missing values: a dataset may well be called "NA".
        return pandas.read_csv(
            io.StringIO(text),
            keep_default_na=False,
            na_values=["", "nan"],
            dtype=dict.fromkeys(_HASHES, str),
            **_exact_floats(pandas.__version__),
        )
    except ValueError as error:
        is_text = not isinstance(error, UnicodeDecodeError)
        why = error if is_text else f"it is not text ({error})"
        raise ValueError(
            f"{os.fspath(path)!r} is not a table: {why}. Expected a CSV file with a "
            "line of column names and lines of as many values, with commas between "
            "them."
        ) from error


def filled(table: "pandas.DataFrame", names: Sequence[str]) -> "pandas.DataFrame":
    """Returns a table with all of some columns, of which an earlier version had fewer.

    Args:
      table: a DataFrame with columns.
      names: the columns that newer tables have; those that this one lacks are missing
        values, but for what was not said because there was one choice: see `LATER`.
    """
    lacking = [name for name in names if name not in table.columns]
    return table.assign(**{name: LATER.get(name, math.nan) for name in lacking})


def _validate_text(text: str) -> None:
    """Raises ValueError unless every line has as many values as there are columns.

    pandas would fill short lines with nothing, and take a line without commas, such as
    one of a conflict that git left behind, for a single value.
    """
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(lines)
        _validate_header(header)
        for values in lines:
            if values and len(values) != len(header):
                count = f"{len(values)} value{'s' if len(values) > 1 else ''}"
                raise ValueError(
                    f"line {lines.line_num} has {count}, not {len(header)}: "
                    f"{','.join(values)[:80]!r}"
                )
    except csv.Error as error:
        # Quotes that are opened and not closed, most of all.
        raise ValueError(f"its last line has no end ({error})") from error
    if not text.endswith("\n"):
        raise ValueError("its last line has no end, so that some of it may be lost")


def _validate_header(names: Sequence[str]) -> None:
    """Raises ValueError unless these can be the names of columns."""
    if not names:
        raise ValueError("line 1 names no columns")
    for name in names:
        if not name.isidentifier():
            raise ValueError(f"line 1 names a column {name[:80]!r}")
        if names.count(name) > 1:
            raise ValueError(f"line 1 names {name!r} twice")


def _exact_floats(version: str) -> dict[str, str]:
    """Returns the option with which this pandas reads floats exactly."""
    major, minor = map(int, version.split(".")[:2])
    # From 3.1 on that is the default, and asking for it warns.
    return {} if (major, minor) >= (3, 1) else {"float_precision": "round_trip"}


def _text(rows: Sequence[object], row_type: type | None) -> str:
    """Returns a table as CSV text."""
    types = {type(row) for row in rows} | ({row_type} if row_type else set())
    if len(types) > 1:
        names = sorted(kind.__name__ for kind in types)
        raise TypeError(f"A table holds rows of one type, got {', '.join(names)}.")
    if not types:
        return ""
    columns = [field.name for field in dataclasses.fields(types.pop())]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(getattr(row, name), name) for name in columns])
    return buffer.getvalue()


def _cell(value: object, column: str) -> str:
    """Returns the text of one value."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    # numpy's booleans and numbers are none of Python's; repr names their type.
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    raise TypeError(
        f"{value!r} of type {type(value).__name__} in column {column!r} cannot be "
        "written: a cell holds a number, text, true, false or nothing."
    )
