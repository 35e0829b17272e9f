"""Results of commands, read back into pandas.

from tflottery import results
frame = results.load("results/instability/*/instability.csv")
"""

import glob
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from etils import epath

from tflottery.core import tables

if TYPE_CHECKING:
    import pandas


def load(
    *sources: str | os.PathLike | Sequence[str | os.PathLike],
    table: str | None = None,
) -> "pandas.DataFrame":
    """Returns the rows of one table from one or more places, one after the other.

    Args:
      *sources: CSV files, globs of files or folders ("**" crosses folders), output
        folders, or lists of these. A file named twice is read once.
      table: which table, such as "instability", where a folder holds several.

    Raises:
      FileNotFoundError: a source holds no CSV file (of that table).
      ValueError: the files are of different tables, or their columns differ.
    """
    import pandas

    paths: dict[str, None] = {}
    for source in _flat(sources):
        paths.update(dict.fromkeys(_files(source, table)))
    if not paths:
        raise ValueError("No source was given: name CSV files, globs or folders.")
    _check_one_table(list(paths))
    frames = {path: tables.read(path) for path in paths}
    # A table without rows has no columns to compare, and adds nothing.
    filled = {path: frame for path, frame in frames.items() if len(frame.columns)}
    if not filled:
        return pandas.DataFrame()
    _check_columns(filled)
    return pandas.concat(filled.values(), ignore_index=True)


def _flat(sources: Sequence[object]) -> list[str]:
    """Returns sources, and those in lists, as text."""
    flat = []
    for source in sources:
        if isinstance(source, str | os.PathLike):
            flat.append(os.path.expanduser(os.fspath(source)))
        else:
            flat += _flat(source)
    return flat


def _files(source: str, table: str | None) -> list[str]:
    """Returns the CSV files that a source stands for, sorted."""
    matches = _matches(source)
    files = []
    for match in matches:
        folder = epath.Path(match)
        found = sorted(folder.glob("*.csv")) if folder.is_dir() else [folder]
        files += [str(path) for path in found]
    wanted = [path for path in files if table is None or _table(path) == table]
    if wanted:
        return wanted
    if not matches:
        reason = "there is nothing of that name"
    elif not files:
        reason = "there is no CSV file in it"
    else:
        known = sorted({_table(path) for path in files})
        reason = f"it has no table {table!r}, only {', '.join(known)}"
    raise FileNotFoundError(
        f"No results in {source!r}: {reason}. Looked from {os.getcwd()!r}; expected a "
        "CSV file, a glob such as 'results/*/*/instability.csv', or an --output_dir."
    )


def _matches(source: str) -> list[str]:
    """Returns the files and folders of that name or glob, sorted."""
    path = epath.Path(source)
    if path.exists():
        return [source]
    if "://" in source:
        root, pattern = source.split("*", 1)[0].rpartition("/")[0], source
        return sorted(
            str(found) for found in epath.Path(root).glob(pattern[len(root) + 1 :])
        )
    return sorted(glob.glob(source, recursive=True))


def _check_one_table(paths: Sequence[str]) -> None:
    names: dict[str, str] = {}
    for path in paths:
        names.setdefault(_table(path), path)
    if len(names) > 1:
        examples = "; ".join(f"{name}: {path}" for name, path in sorted(names.items()))
        raise ValueError(
            f"These are {len(names)} different tables ({examples}). Load one at a "
            f"time: table={min(names)!r}, or name its files."
        )


def _check_columns(frames: dict[str, "pandas.DataFrame"]) -> None:
    first = next(iter(frames))
    expected = list(frames[first].columns)
    for path, frame in frames.items():
        columns = list(frame.columns)
        if columns != expected:
            missing = [name for name in expected if name not in columns]
            extra = [name for name in columns if name not in expected]
            raise ValueError(
                f"{path!r} and {first!r} have different columns: the former lacks "
                f"{missing} and adds {extra}. Were they written by different versions? "
                "Load them apart."
            )


def _table(path: str) -> str:
    """Returns which table a file holds: its name without .csv."""
    return os.path.basename(path).removesuffix(".csv")
