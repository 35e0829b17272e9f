"""What of a store the results that are kept need, and what they do not.

Rows of results name their networks and masks by address. Needed are these, all they
come from, and what was measured of nothing else: so the commands that made the results
train nothing again.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from tflottery.core import paths
from tflottery.store.errors import StoreError
from tflottery.store.origins import CHECKPOINTS, PARTIAL, RUNS, Origins

# Of a run that ended without a network, and of what cannot be made: some bytes each.
_MARKERS = ("diverged",)
# Trainings of models that no command knows, and lines between them.
_OWN, _OWN_LINES = "own_", "own_lines/"
# What stands between the cells of tables, and is in no address.
_BETWEEN = re.compile(r"[^\w./-]+")
_TABLE = ".csv"
# What an experiment writes beside its tables, and whether these are whole.
_CONFIG_FILE, _IS_WHOLE = "config.json", "complete"
_MOST_NAMED = 3


def named_in(folders: Sequence[str], origins: Origins) -> set[str]:
    """Returns the addresses of a store that tables of results name.

    Args:
      folders: of results, or such as have these below them.
      origins: of the store.

    Raises:
      ValueError: a folder names nothing that is in the store.
      OSError: a folder or a table cannot be read.
    """
    found: set[str] = set()
    for folder in folders:
        own = {
            named
            for path in _files(folder)
            if path.lower().endswith(_TABLE)
            for named in _named(path, origins)
        }
        if not own:
            raise ValueError(
                f"No table in {folder!r} names anything that is in the store "
                f"{origins.store.root!r}: give folders of results that were made with "
                "this store."
            )
        found |= own
    return found


def needed(origins: Origins, named: Iterable[str]) -> set[str]:
    """Returns what of a store is needed by those who need some of it.

    Args:
      origins: of the store.
      named: addresses of what is needed in any case.

    Raises:
      StoreError: some of it is damaged, so that what it was made from is not known.
    """
    found: set[str] = set()
    for address in named:
        if address not in found:
            found |= origins.ancestors(address)
    damaged = sorted(one for one in found if not origins.manifest(one))
    if damaged:
        more = ", ..." if len(damaged) > _MOST_NAMED else ""
        raise StoreError(
            f"{len(damaged):,} artifacts that are needed are damaged, and what they "
            f"were made from is not known: {', '.join(damaged[:_MOST_NAMED])}{more}. "
            "Set them aside first: `python -m tflottery.store verify --yes`."
        )
    runs = {address.split("/")[1] for address in found if address.startswith(RUNS)}
    found |= {
        address
        for address in origins.listing
        if address.split("/")[-1] in _MARKERS
        or (address.startswith(CHECKPOINTS) and address.split("/")[1] in runs)
    }
    # What was measured of these, and of what was measured.
    others = [
        address
        for address in sorted(origins.listing)
        if address.partition("/")[0] not in (RUNS, CHECKPOINTS, PARTIAL)
    ]
    before = -1
    while len(found) > before:
        before = len(found)
        for address in others:
            made_from = origins.inputs(address)
            if made_from and all(one.address in found for one in made_from):
                found.add(address)
    return found


def unneeded(origins: Origins, folders: Sequence[str]) -> list[str]:
    """Returns the addresses of what no results in some folders need, sorted.

    Of models of the user's own only where results name some of these, and never lines
    between copies, with what these come from, since no results name them.

    Raises:
      ValueError: as `named_in`, as is OSError.
      StoreError: as `needed`.
    """
    kept = needed(origins, named_in(folders, origins))
    # What was begun is looked at by those who look for leftovers.
    others = {one for one in origins.listing if not one.startswith(f"{PARTIAL}/")}
    others -= kept
    if not any(one.startswith(_OWN) for one in kept):
        # Who tried a model in a notebook may have saved no table of it.
        others = {one for one in others if not _comes_from_own(one, origins)}
    else:
        # Tables of instability, which may have been saved, hold no addresses.
        for line in [one for one in others if one.startswith(_OWN_LINES)]:
            others -= origins.ancestors(line)
    return sorted(others)


def _comes_from_own(address: str, origins: Origins) -> bool:
    """Returns whether an artifact is of a model of the user's own."""
    return any(one.startswith(_OWN) for one in origins.ancestors(address))


def unfinished(folders: Sequence[str]) -> list[str]:
    """Returns the folders of results whose commands have not made all of them yet.

    What these made after their tables were last written no table names.

    Args:
      folders: as of `named_in`.
    """
    found = []
    for folder in folders:
        for path in _files(folder):
            if os.path.basename(path) == _CONFIG_FILE and not _is_whole(path):
                found.append(os.path.dirname(path))
    return list(dict.fromkeys(found))


def _is_whole(path: str) -> bool:
    """Returns whether a config.json does not say that its tables lack something."""
    with open(path, encoding="utf-8", errors="replace") as file:
        try:
            said = json.load(file)
        except ValueError:
            return True
    return not isinstance(said, dict) or said.get(_IS_WHOLE, True)


def _files(folder: str) -> Iterator[str]:
    """Yields the paths of the files at or below a folder, through links too.

    Raises:
      OSError: a folder below it cannot be read.
    """
    seen = set()

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    walk = os.walk(paths.expanded(folder), onerror=refuse, followlinks=True)
    for parent, folders, names in walk:
        # A link may lead to where it is.
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (os.path.join(parent, one) for one in sorted(names))


def _named(path: str, origins: Origins) -> set[str]:
    """Returns what of a store a table names."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return {
            one
            for line in file
            for one in _BETWEEN.split(line)
            if one in origins.listing
        }
