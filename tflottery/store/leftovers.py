"""What lies in a store and nobody needs any more.

Damaged artifacts that were set aside, partial results of components that are done by
now, checkpoints of runs that have a newer state to go on from, and what the results
that are kept do not need.
"""

import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence

from etils import epath

from tflottery.store import addresses, needs
from tflottery.store.errors import StoreError
from tflottery.store.origins import Origins, of_run
from tflottery.store.store import Store
from tflottery.training.checkpoints import SLOTS_FILE

DAMAGED, PARTIAL, CHECKPOINT = "damaged artifacts", "partial results", "checkpoints"
UNNEEDED = "not of these results"
KINDS = (DAMAGED, PARTIAL, CHECKPOINT, UNNEEDED)


@dataclasses.dataclass(frozen=True)
class Leftover:
    """Something that can be removed.

    Attributes:
      kind: one of `KINDS`.
      address: its folder, relative to the store's root.
      lock: name of the job that may be at it, and of its lock; None: no job is.
      num_bytes: what it takes on disk.
    """

    kind: str
    address: str
    lock: str | None
    num_bytes: int


def find(store: Store, results: Sequence[str] = ()) -> list[Leftover]:
    """Returns what can be removed from a store, in order of kind and address.

    Args:
      store: which one.
      results: folders of the results that are kept; if any are given, also what of the
        store they do not need.

    Raises:
      ValueError: as `needs.named_in`.
    """
    listing = store.listing()
    found = [
        (DAMAGED, address, None)
        for address in _set_aside(store.root, addresses.DAMAGED)
    ]
    found += [(PARTIAL, address, of) for address, of in _done(listing).items()]
    runs = {one.split("/")[1] for one in listing if one.startswith("checkpoints/")}
    for run in sorted(runs):
        found += [(CHECKPOINT, one, f"runs/{run}") for one in superseded(store, run)]
    if results:
        known = {address for _, address, _ in found}
        found += [
            (UNNEEDED, one, _lock_of(one))
            for one in needs.unneeded(Origins(store), results)
            if one not in known
        ]
    return [
        Leftover(kind, address, lock, _num_bytes(epath.Path(store.root) / address))
        for kind, address, lock in found
    ]


def refuse_at_work(store: Store) -> None:
    """Raises StoreError if somebody works who may need what no results name yet."""
    found = _at_work(store)
    if found:
        raise StoreError(
            f"Somebody is at work in {store.root!r} ({', '.join(found)}) and may need "
            "what no results name yet. Wait for its end, or stop it."
        )


def remove(store: Store, leftover: Leftover) -> bool:
    """Removes something found; not if a living process is at it or needs it by now.

    Returns:
      Whether it was removed.
    """
    if leftover.lock is None:
        # Another process may be removing it too.
        with contextlib.suppress(FileNotFoundError):
            epath.Path(store.root, leftover.address).rmtree(missing_ok=True)
        if "://" not in store.root:
            _remove_empty(store.root, os.path.dirname(leftover.address))
        return True
    lock = store.lock(leftover.lock)
    if lock is None:
        return False
    with lock:
        needless = _is_needless(store, leftover)
        if needless:
            store.remove(leftover.address)
    return needless


def superseded(store: Store, run: str) -> list[str]:
    """Returns the addresses of checkpoints that nothing goes on from any more.

    The newest state with slots is what a longer training goes on from; a checkpoint
    only where it is newer, as that of a longer job which was interrupted.

    Args:
      store: where they are.
      run: key of the run.
    """
    kept = addresses.by_iteration(store.listing(f"checkpoints/{run}"))
    if not kept or store.has(f"runs/{run}/diverged"):
        return list(kept.values())
    states = addresses.by_iteration(store.listing(f"runs/{run}"))
    with_slots = (
        iteration
        for iteration in sorted(states, reverse=True)
        if store.has(states[iteration], (SLOTS_FILE,))
    )
    if max(kept) > next(with_slots, -1):
        del kept[max(kept)]
    return list(kept.values())


def _is_needless(store: Store, leftover: Leftover) -> bool:
    """Returns whether nobody needs something found, as it is now."""
    if leftover.kind == UNNEEDED:
        # Who has begun since may need it.
        return not _at_work(store)
    if leftover.kind == PARTIAL:
        return store.has(leftover.lock)
    return leftover.address in superseded(store, leftover.address.split("/")[1])


def _at_work(store: Store) -> list[str]:
    """Returns which other processes make something for a store."""
    at_work = [*store.jobs_at_work().values(), *store.commands_at_work()]
    others = (one.holder for one in at_work if one.pid != os.getpid())
    return list(dict.fromkeys(others))


def _lock_of(address: str) -> str:
    """Returns the name of the job that makes what lies at an address."""
    if address.startswith("checkpoints/"):
        return f"runs/{address.split('/')[1]}"
    return of_run(address) or address


def _done(listing: Mapping[str, object]) -> dict[str, str]:
    """Returns the partial results of components that are done, and their artifacts."""
    by_key = {}
    for address in listing:
        folder, _, key = address.partition("/")
        if folder != "partial":
            by_key[key] = address
    return {
        address: by_key[address.partition("/")[2]]
        for address in sorted(listing)
        if address.startswith("partial/") and address.partition("/")[2] in by_key
    }


def _set_aside(root: str, address: str) -> list[str]:
    """Returns the folders at or below an address that hold files, the uppermost."""
    folder = epath.Path(root, address)
    if not folder.is_dir():
        return []
    below = []
    # It may be gone by now.
    with contextlib.suppress(FileNotFoundError):
        below = sorted(folder.iterdir())
    if any(not path.is_dir() for path in below):
        return [address]
    return [one for path in below for one in _set_aside(root, f"{address}/{path.name}")]


def _num_bytes(path: epath.Path) -> int:
    """Returns what the files at or below a path take."""
    # It may be gone by now.
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir():
            return sum(map(_num_bytes, path.iterdir()))
        return path.stat().length
    return 0


def _remove_empty(root: str, address: str) -> None:
    """Removes a folder and those above it, up to the root, as far as they are empty."""
    with contextlib.suppress(OSError):
        while address:
            os.rmdir(os.path.join(root, address))
            address = os.path.dirname(address)
