"""What there is to say about a store, in lines of text: what it holds, and why."""

import collections
from collections.abc import Iterable, Mapping, Sequence

from tflottery.core.amounts import counted
from tflottery.core.files import readable_size
from tflottery.store import differences
from tflottery.store.differences import Difference
from tflottery.store.origins import CHECKPOINTS, PARTIAL, RUNS, Origins, Value, of_run

# What of a run's derivation tells it from most others, in a line.
_TELLING = ("network.model", "data.name", "data.pretext", "data.subset")
_MOST_DIFFERENCES = 12
# What stands where nothing tells how an artifact came about.
_DAMAGED = "damaged"


def contents(origins: Origins, prefix: str = "") -> str:
    """Returns what a store holds: a line a folder; below one, a line an artifact.

    Args:
      origins: of the store.
      prefix: the beginning of addresses; "" is all.

    Raises:
      ValueError: nothing begins like it.
    """
    found = origins.beginning(prefix)
    if prefix.strip("/"):
        lines = [_columns(_line(origins, one) for one in found)]
    else:
        sizes_in: dict[str, list[int]] = collections.defaultdict(list)
        for address in found:
            sizes_in[address.partition("/")[0]].append(_num_bytes(origins, address))
        lines = [
            _columns(
                (folder, f"{len(sizes):,}", readable_size(sum(sizes)))
                for folder, sizes in sizes_in.items()
            )
        ]
        lines += ["", *_networks(origins, found)]
    total = sum(_num_bytes(origins, one) for one in found)
    number = counted(len(found), "artifact")
    return "\n".join([*lines, "", f"{number}, {readable_size(total)}"]).strip("\n")


def origin(origins: Origins, text: str) -> str:
    """Returns how an artifact came about. Raises ValueError as `Origins.named`."""
    address = _sound(origins, text)
    manifest = origins.manifest(address)
    environment = manifest["environment"]
    ran = [f"tflottery {environment['tflottery']}"]
    ran += [f"{name} {one}" for name, one in environment["packages"].items()]
    told = {
        "written": manifest["written"],
        "seconds": manifest.get("work", manifest)["seconds"],
        "on": f"{environment['processor']}, {environment['instruction_set']}",
        "with": ", ".join(ran),
        "commit": environment["git_commit"],
    }
    files = {
        name: readable_size(one["bytes"]) for name, one in manifest["files"].items()
    }
    return "\n\n".join(
        f"{title}\n{_columns((f'  {name}', value) for name, value in part.items())}"
        for title, part in (
            (address, told),
            ("Files", files),
            ("Made from", origins.fields(address)),
        )
        if part
    )


def comparison(origins: Origins, one: str, other: str) -> str:
    """Returns in what two artifacts differ. Raises ValueError as `Origins.named`."""
    pair = _sound(origins, one), _sound(origins, other)
    kinds = {address.partition("/")[0] for address in pair}
    if len(kinds) > 1:
        raise ValueError(
            f"{pair[0]!r} and {pair[1]!r} are of two kinds: give two of one."
        )
    found = differences.between(origins, *pair)
    files = [origins.manifest(address).get("files", {}) for address in pair]
    same = files[0] == files[1]
    lines = _differences(pair[0], pair[1], found)
    if not found:
        lines.append("  came about in the same way")
    lines.append(f"  their files are {'the same' if same else 'not the same'} bytes")
    return "\n".join(lines)


def neighbours(origins: Origins, text: str) -> str:
    """Returns in what an artifact differs from those nearest to it in the store.

    That is why it was made, and none of these was taken. Raises ValueError as
    `Origins.named`.
    """
    address = _sound(origins, text)
    found = differences.nearest(origins, address)
    if not found:
        return f"{address} is the only one of its kind in {origins.store.root}"
    parts = ["\n".join(_differences(address, other, each)[1:]) for other, each in found]
    first = f"{address} differs from what else is there, the nearest first, from"
    return "\n\n".join([first, *parts])


def _sound(origins: Origins, text: str) -> str:
    """Returns the address that somebody means, of what tells how it came about.

    Raises:
      ValueError: as `Origins.named`; or it is damaged.
    """
    address = origins.named(text)
    if not origins.manifest(address):
        raise ValueError(
            f"{address!r} does not count: {origins.store.damage(address)}. It is set "
            "aside, and made again, by the command that needs it."
        )
    return address


def _differences(one: str, other: str, found: Sequence[Difference]) -> list[str]:
    """Returns lines that say in what two artifacts differ."""
    lines, pair = [f"{one}", f"{other}"], (one, other)
    for each in found[:_MOST_DIFFERENCES]:
        if (each.of, each.than) != pair:
            pair = each.of, each.than
            lines.append(f"  because {each.of} and {each.than} differ:")
        lines.append(f"  {each.field}: {_text(each.first)} | {_text(each.second)}")
    if len(found) > _MOST_DIFFERENCES:
        lines.append(f"  and {len(found) - _MOST_DIFFERENCES} more")
    return lines


def _networks(origins: Origins, found: Iterable[str]) -> list[str]:
    """Returns a line for each network and what it was trained on: how many runs."""
    runs: dict[str, list[str]] = collections.defaultdict(list)
    for address in found:
        if of_run(address):
            runs[of_run(address)].append(address)
    kinds: dict[str, list[int]] = collections.defaultdict(list)
    for states in runs.values():
        kinds[_told(origins, states[-1]) or _DAMAGED].append(len(states))
    rows = [
        (kind, counted(len(each), "run"), counted(sum(each), "state"))
        for kind, each in sorted(kinds.items())
    ]
    return [_columns(rows)] if rows else []


def _line(origins: Origins, address: str) -> tuple[str, ...]:
    """Returns what stands in the line of an artifact."""
    written = origins.manifest(address).get("written", _DAMAGED)[:16].replace("T", " ")
    size = readable_size(_num_bytes(origins, address))
    return address, size, written, _told(origins, address)


def _told(origins: Origins, address: str) -> str:
    """Returns in a few words what an artifact is of."""
    folder = address.partition("/")[0]
    if folder == PARTIAL:
        return f"of {origins.manifest(address).get('of')}"
    if folder not in (RUNS, CHECKPOINTS):
        return f"of {', '.join(map(str, origins.inputs(address)))}"
    fields = origins.fields(address)
    told = [str(fields[name]) for name in _TELLING if fields.get(name)]
    if fields.get("mask"):
        told.append("pruned")
    return " ".join(told)


def _num_bytes(origins: Origins, address: str) -> int:
    """Returns what the files of an artifact take, as its manifest has it."""
    files: Mapping = origins.manifest(address).get("files", {})
    return sum(one["bytes"] for one in files.values())


def _text(value: Value) -> str:
    """Returns a value of a derivation as text."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _columns(rows: Iterable[Sequence[object]]) -> str:
    """Returns rows of text in columns of equal width."""
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in texts
    )
