"""Where tables lie: the CSV files that a user's files, folders and patterns mean."""

import glob
import os
from collections.abc import Iterator, Sequence

from etils import epath

from tflottery.core import paths


def find(sources: Sequence[object], *, table: str | None = None) -> list[str]:
    """Returns the CSV files that sources stand for, each once, in their order.

    Args:
      sources: CSV files, folders (every table in them and below), patterns of either,
        or lists of these. What exists under the very name is no pattern.
      table: which table, such as "instability", where there are several.

    Raises:
      FileNotFoundError: a source holds no CSV file (of that table).
      ValueError: there is no source.
    """
    files: dict[str, None] = {}
    for source in _flat(sources):
        files.update(dict.fromkeys(_files(source, table)))
    if not files:
        raise ValueError("No source was given: name CSV files, folders or patterns.")
    return list(files)


def table_name(path: str) -> str:
    """Returns which table a file holds: its name without .csv."""
    return os.path.basename(path).removesuffix(".csv")


def _flat(sources: Sequence[object]) -> list[str]:
    """Returns sources, and those in lists, as text."""
    flat = []
    for source in sources:
        if isinstance(source, str | os.PathLike):
            flat.append(paths.expanded(source))
        else:
            flat += _flat(source)
    return flat


def _files(source: str, table: str | None) -> list[str]:
    """Returns the CSV files that a source stands for, sorted."""
    matches = _matches(source)
    files = [str(path) for match in matches for path in _below(epath.Path(match))]
    wanted = [path for path in files if table is None or table_name(path) == table]
    if wanted:
        return wanted
    if not matches:
        reason = "there is nothing of that name"
    elif not files:
        reason = "there is no CSV file in it"
    else:
        known = sorted({table_name(path) for path in files})
        reason = f"it has no table {table!r}, only {', '.join(known)}"
    raise FileNotFoundError(
        f"No results in {source!r}: {reason}. Looked from {os.getcwd()!r}; expected a "
        "CSV file, a folder, or a pattern such as 'results/*/*/instability.csv'."
    )


def _below(path: epath.Path) -> Iterator[epath.Path]:
    """Yields a file itself, or every CSV file in a folder and below, sorted."""
    if not path.is_dir():
        yield path
        return
    for one in sorted(path.iterdir()):
        # Hidden ones are drafts, or the system's.
        if one.name.startswith("."):
            continue
        if one.is_dir():
            yield from () if _is_above(one, path) else _below(one)
        elif one.suffix == ".csv":
            yield one


def _is_above(one: epath.Path, path: epath.Path) -> bool:
    """Returns whether what is in a folder is a link to it, or to one that it is in."""
    if not os.path.islink(one):
        return False
    target = os.path.realpath(one)
    return os.path.commonpath([target, os.path.realpath(path)]) == target


def _matches(source: str) -> list[str]:
    """Returns the files and folders of that name or pattern, sorted."""
    if epath.Path(source).exists():
        return [source]
    if not glob.has_magic(source):
        return []
    root, pattern = _literal_start(source)
    if "://" in source:
        return sorted(map(str, epath.Path(glob.escape(root)).glob(pattern)))
    return sorted(glob.glob(os.path.join(glob.escape(root), pattern), recursive=True))


def _literal_start(source: str) -> tuple[str, str]:
    """Returns the longest start of a pattern that exists as it is, and the rest."""
    parts = source.split("/")
    shortest = 3 if "://" in source else 1
    for length in range(len(parts) - 1, shortest - 1, -1):
        start = "/".join(parts[:length]) or "/"
        if epath.Path(start).exists():
            return start, "/".join(parts[length:])
    return "", source
