"""Looks into a store, and removes from it what nobody needs any more.

    python -m tflottery.store ls [ADDRESS]      what there is, and how large it is
    python -m tflottery.store show ADDRESS      how an artifact came about
    python -m tflottery.store why ADDRESS       in what it differs from those nearest
    python -m tflottery.store diff ONE OTHER    in what two differ
    python -m tflottery.store verify [ADDRESS]  whether every byte is as it was written
    python -m tflottery.store gc [RESULTS ...]  what nobody needs, or these results not

ADDRESS is what the columns network and mask of results hold, or its beginning; of a run
the last state is meant. gc finds damaged artifacts that were set aside, partial results
of what is done by now, and checkpoints of runs that have a newer state to go on from;
with folders of results also what these do not need. Without --yes it only says what
there is. What a living process is at stays. verify --yes sets aside what is damaged,
which then is made again by commands that need it, and removed by gc.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence

from absl import app, flags

from tflottery.core import command_line
from tflottery.store import leftovers, needs, roots, telling
from tflottery.store.errors import DamagedArtifact, MissingArtifact, StoreError
from tflottery.store.origins import Origins
from tflottery.store.store import Store

_FAULTY = 1
# What tells something of a store, with how many arguments at least and at most.
_TOLD: dict[str, tuple[Callable[..., str], tuple[int, int]]] = {
    "ls": (telling.contents, (0, 1)),
    "show": (telling.origin, (1, 1)),
    "why": (telling.neighbours, (1, 1)),
    "diff": (telling.comparison, (2, 2)),
}
_KNOWN = (*_TOLD, "verify", "gc")


def main() -> None:
    """Runs the tool as a program: defines its flags, parses them, exits."""
    flags.DEFINE_string(
        "store",
        None,
        "folder or URL that keeps what was trained; None: $TFLOTTERY_STORE, else "
        "~/.cache/tflottery/store",
    )
    flags.DEFINE_bool(
        "yes",
        False,
        "gc: remove it; verify: set aside what is damaged; without, only say so",
    )
    app.run(_main, flags_parser=command_line.parsed)


def verified(
    store: Store, prefix: str = "", *, really: bool = False
) -> tuple[str, bool]:
    """Returns what is damaged in a store, going by every byte, and whether nothing is.

    Args:
      store: which one.
      prefix: the beginning of addresses; "" is all.
      really: whether what is damaged is set aside, as a command that needs it does.

    Raises:
      ValueError: nothing begins like it.
      StoreError: somebody of another host is at work in it.
    """
    found = Origins(store).beginning(prefix)
    faults = {}
    for done, address in enumerate(found):
        if sys.stderr.isatty():
            print(f"\r{done:,} of {len(found):,}", end="\r", file=sys.stderr)
        fault = store.fault(address)
        if fault is not None:
            faults[address] = fault
    lines = [f"{address}: {fault}" for address, fault in faults.items()]
    lines.append(f"{len(found):,} artifacts, {len(faults):,} damaged")
    if really and faults:
        lines.append(f"Set aside {_set_aside(store, faults):,} of {len(faults):,}.")
    return "\n".join(lines), not faults


def collected(store: Store, results: Sequence[str] = (), *, really: bool) -> str:
    """Removes what nobody needs any more; returns what there is to say about it.

    Args:
      store: which one.
      results: folders of results, if what they do not need is to be removed too.
      really: whether to remove it, and not only to say what there is.

    Raises:
      ValueError: a folder's results name nothing in the store.
      StoreError: somebody is at work in it, who may need what no results name yet; or
        what is needed is damaged.
      OSError: results cannot be read.
    """
    with contextlib.ExitStack() as stack:
        if really:
            stack.enter_context(store.claimed(_note))
        if really and results:
            leftovers.refuse_at_work(store)
        found = leftovers.find(store, results)
        removed = [one for one in found if really and leftovers.remove(store, one)]
        if really:
            store.sweep()
    lines = [f"Store {store.root}"]
    for kind in leftovers.KINDS:
        sizes = [one.num_bytes for one in found if one.kind == kind]
        if results or kind != leftovers.UNNEEDED:
            lines.append(f"  {kind:20} {len(sizes):8,} {sum(sizes) / 1e6:12,.1f} MB")
    if unfinished := needs.unfinished(results):
        lines.append(
            "Not all was made of these results; what was made after their tables were "
            "last written counts as not needed:"
        )
        lines += [f"  {folder}" for folder in unfinished]
    if not really:
        lines.append("Nothing was removed; --yes does it." if found else "All needed.")
        return "\n".join(lines)
    lines.append(f"Removed {len(removed):,} of {len(found):,}.")
    if len(removed) < len(found):
        lines.append("Living processes are at the others, or need them by now.")
    return "\n".join(lines)


def _set_aside(store: Store, addresses: Iterable[str]) -> int:
    """Moves what is damaged out of the way; returns how many artifacts still were."""
    number = 0
    with store.claimed(_note):
        for address in addresses:
            try:
                store.open(address)
            except DamagedArtifact:
                number += 1
            except MissingArtifact:
                continue
    return number


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _main(arguments: Sequence[str]) -> int:
    """Does what the command line says; returns the exit code."""
    command, *values = arguments[1:] or [""]
    sound = True
    try:
        if command not in _KNOWN:
            raise ValueError(
                f"{command!r} is nothing that can be done with a store. Known: "
                f"{', '.join(_KNOWN)}. See --help."
            )
        store = Store(flags.FLAGS["store"].value)
        if not roots.is_there(store.root):
            raise ValueError(
                f"There is no store in {store.root!r}. Name another with --store."
            )
        really = flags.FLAGS["yes"].value
        if command == "gc":
            told = collected(store, values, really=really)
        elif command == "verify":
            _validate_count(command, values, (0, 1))
            told, sound = verified(store, *values, really=really)
        else:
            function, counts = _TOLD[command]
            _validate_count(command, values, counts)
            told = function(Origins(store), *values)
        command_line.tell(told)
    except (ValueError, StoreError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return command_line.WRONG_INPUT
    return 0 if sound else _FAULTY


def _validate_count(
    command: str, values: Sequence[str], counts: tuple[int, int]
) -> None:
    """Raises ValueError unless a command has as many arguments as it takes."""
    least, most = counts
    if not least <= len(values) <= most:
        expected = f"{least}" if least == most else f"{least} to {most}"
        raise ValueError(
            f"{command} takes {expected} arguments, got {len(values)}. See --help."
        )


if __name__ == "__main__":
    main()
