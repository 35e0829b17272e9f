"""What of a store the results that are kept need, and what they do not.

Rows of results name their networks and masks by address. Needed are these, all they
come from, and what was measured of nothing else: so the commands that made the results
train nothing again.
"""

import csv
import os
from collections.abc import Iterable, Sequence

from tflottery.store.origins import CHECKPOINTS, PARTIAL, RUNS, Origins

# Of a run that ended without a network, and of what cannot be made: some bytes each.
_MARKERS = ("diverged",)
# Trainings of models that no command knows, and lines between them.
_OWN = "own_"


def named_in(folders: Sequence[str], origins: Origins) -> set[str]:
    """Returns the addresses of a store that tables of results name.

    Args:
      folders: of results, or such as have these below them.
      origins: of the store.

    Raises:
      ValueError: a folder names nothing that is in the store.
    """
    found: set[str] = set()
    for folder in folders:
        own = {
            cell
            for path in _tables(folder)
            for cell in _cells(path)
            if cell in origins.listing
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
    """
    found: set[str] = set()
    for address in named:
        if address not in found:
            found |= origins.ancestors(address)
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

    Of models of the user's own only where results name some of these.

    Raises:
      ValueError: as `named_in`.
    """
    kept = needed(origins, named_in(folders, origins))
    # What was begun is looked at by those who look for leftovers.
    others = {one for one in origins.listing if not one.startswith(f"{PARTIAL}/")}
    others -= kept
    if not any(one.startswith(_OWN) for one in kept):
        # Who tried a model in a notebook may have saved no table of it.
        others = {one for one in others if not _comes_from_own(one, origins)}
    return sorted(others)


def _comes_from_own(address: str, origins: Origins) -> bool:
    """Returns whether an artifact is of a model of the user's own."""
    return any(one.startswith(_OWN) for one in origins.ancestors(address))


def _tables(folder: str) -> list[str]:
    """Returns the paths of the CSV files at or below a folder."""
    found = []
    for parent, folders, names in os.walk(os.path.expanduser(folder)):
        folders.sort()
        found += [os.path.join(parent, one) for one in sorted(names)]
    return [path for path in found if path.endswith(".csv")]


def _cells(path: str) -> set[str]:
    """Returns what stands in the cells of a CSV file and may be an address."""
    with open(path, newline="", encoding="utf-8") as file:
        return {cell for row in csv.reader(file) for cell in row if "/" in cell}
