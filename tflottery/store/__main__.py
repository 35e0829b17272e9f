"""Removes from a store what nobody needs any more.

    python -m tflottery.store clean [--store=FOLDER] [--yes]

Damaged artifacts that were set aside, partial results of what is done by now, and
checkpoints of runs that have a newer state to go on from. Without --yes it only says
what there is. What a living process is at stays.
"""

import sys
from collections.abc import Sequence

from absl import app, flags
from etils import epath

from tflottery.core import command_line
from tflottery.store import leftovers
from tflottery.store.errors import StoreError
from tflottery.store.store import Store


def main() -> None:
    """Runs the tool as a program: defines its flags, parses them, exits."""
    flags.DEFINE_string(
        "store",
        None,
        "folder or URL that keeps what was trained; None: $TFLOTTERY_STORE, else "
        "~/.cache/tflottery/store",
    )
    flags.DEFINE_bool("yes", False, "remove it; without, only say what there is")
    app.run(_main, flags_parser=command_line.parsed)


def clean(store: Store, *, really: bool) -> str:
    """Removes what nobody needs any more; returns what there is to say about it.

    Args:
      store: which one.
      really: whether to remove it, and not only to say what there is.
    """
    found = leftovers.find(store)
    removed = [one for one in found if really and leftovers.remove(store, one)]
    if really:
        store.sweep()
    lines = [f"Store {store.root}"]
    for kind in leftovers.KINDS:
        sizes = [one.num_bytes for one in found if one.kind == kind]
        lines.append(f"  {kind:20} {len(sizes):8,} {sum(sizes) / 1e6:12,.1f} MB")
    if not really:
        lines.append("Nothing was removed; --yes does it." if found else "All needed.")
        return "\n".join(lines)
    lines.append(f"Removed {len(removed):,} of {len(found):,}.")
    if len(removed) < len(found):
        lines.append("Living processes are at the others, or need them by now.")
    return "\n".join(lines)


def _main(arguments: Sequence[str]) -> int:
    """Does what the command line says; returns the exit code."""
    try:
        if list(arguments[1:]) != ["clean"]:
            raise ValueError(
                f"{' '.join(arguments[1:])!r} is nothing that can be done with a "
                "store. Known: clean. See --help."
            )
        store = Store(flags.FLAGS["store"].value)
        if not epath.Path(store.root).is_dir():
            raise ValueError(
                f"There is no store in {store.root!r}. Name another with --store."
            )
        print(clean(store, really=flags.FLAGS["yes"].value))
    except (ValueError, StoreError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return command_line.WRONG_INPUT
    return 0


if __name__ == "__main__":
    main()
