"""Which network somebody means: a file, an address of a store, or a row of a table.

Nothing is opened that takes long, so that wrong input is refused at once.
"""

import csv
import dataclasses
import os
from collections.abc import Sequence

from etils import epath

from tflottery.components.runs import MASK_FILE
from tflottery.core import paths
from tflottery.store import manifests, roots
from tflottery.store.origins import RUNS, Origins, Reference
from tflottery.store.store import Store

KERAS, BUNDLE = "keras", "bundle"
# What an exported network of a store takes: what its data set gives, or what it is
# trained on.
PIXELS, NORMALIZED = "pixels", "normalized"
# What is in every bundle, and tells a folder as one.
BUNDLE_FILE = "bundle.json"
_NETWORK = "network"
_OWN_STATES = "own_states"
# Columns of what was found, or where: no row is named by them.
_NO_KEYS = frozenset({_NETWORK, "mask", "matching", "diverged_iteration"})
_MEASURED = ("_error", "_loss")
_MOST_NAMED = 5
_KEY_DIGITS = 8
_EXPECTED = (
    "Expected a .keras file of a masked model, a bundle (a folder or .zip), an address "
    "as `python -m tflottery.store ls` prints it, or a table of results with --row."
)


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A file that holds a network.

    Attributes:
      path: where it is.
      kind: `KERAS` or `BUNDLE`.
    """

    path: str
    kind: str


@dataclasses.dataclass(frozen=True)
class StoredNetwork:
    """A network of a store.

    Attributes:
      origins: of the store.
      address: of its state.
      columns: of the row that names it, as text; {} where none does.
    """

    origins: Origins
    address: str
    columns: dict[str, str] = dataclasses.field(default_factory=dict)


def resolve(
    ticket: str, *, row: str | None = None, store: str | None = None
) -> ModelFile | StoredNetwork:
    """Returns the network that is meant.

    Args:
      ticket: a file, an address of a store, or a table of results.
      row: of the table: its number, from 1, or columns and their values that one row
        alone has, as "level=8,replicate=1".
      store: folder or URL; None: the user's.

    Raises:
      ValueError: there is no such network; says what there is.
    """
    path = paths.expanded(ticket)
    if path.endswith(".csv"):
        columns = _row(path, row)
        address = _named(columns, path)
        return StoredNetwork(*_stored(address, store, exact=True), columns)
    if row is not None:
        raise ValueError(
            f"--row={row!r} is of a table, and {ticket!r} is none: name a CSV file, as "
            "results/lottery/lenet/accuracy.csv, or leave --row out."
        )
    if os.path.exists(path):
        return ModelFile(path, _kind_of(path))
    if os.path.splitext(path)[1] or path.startswith(("/", ".", "~")):
        raise ValueError(f"There is no file {ticket!r}. {_EXPECTED}")
    return StoredNetwork(*_stored(ticket, store))


def _kind_of(path: str) -> str:
    """Returns what kind of file there is; raises ValueError if it is of none."""
    if os.path.isdir(path):
        if os.path.exists(os.path.join(path, BUNDLE_FILE)):
            return BUNDLE
        raise ValueError(
            f"The folder {path!r} is no bundle: it has no {BUNDLE_FILE}. "
            f"{_instead_of_folder(path)}"
        )
    ending = os.path.splitext(path)[1]
    if ending == ".zip":
        return BUNDLE
    if ending == ".keras":
        return KERAS
    if ending == ".safetensors":
        raise ValueError(
            f"{path!r} holds arrays and not the network that they belong to. Restore "
            "them into the model (tickets.restore), and give that, saved as .keras."
        )
    raise ValueError(f"{path!r} holds no network that is known here. {_EXPECTED}")


def _instead_of_folder(path: str) -> str:
    """Returns what to name in place of a folder that is no bundle."""
    files = sorted(os.listdir(path))
    tables = [one for one in files if one.endswith(".csv")]
    if tables:
        return f"Name a table in it with a --row: {', '.join(tables)}."
    if manifests.FILE_NAME in files:
        return (
            "It lies in a store: give its address there, as runs/KEY/00002000, and the "
            "folder of the store as --store."
        )
    return _EXPECTED


def _row(path: str, row: str | None) -> dict[str, str]:
    """Returns a row of a table by column; raises ValueError unless one is meant."""
    if not epath.Path(path).exists():
        raise ValueError(f"There is no table {path!r}. {_EXPECTED}")
    lines = csv.DictReader(epath.Path(path).read_text().splitlines())
    rows = [{name: one[name] or "" for name in lines.fieldnames} for one in lines]
    if not rows:
        raise ValueError(f"The table {path!r} has no rows.")
    if row is None:
        if len(rows) > 1:
            raise ValueError(
                f"{path!r} has {len(rows)} rows: say which by --row, as its number "
                f"from 1 or by columns, as in --row={_example(rows[-1])}."
            )
        return rows[0]
    if row.isdigit():
        if not 1 <= int(row) <= len(rows):
            raise ValueError(
                f"--row={row}: {path!r} has rows 1 to {len(rows)}. Give one of these, "
                f"or columns, as in --row={_example(rows[-1])}."
            )
        return rows[int(row) - 1]
    return _chosen(rows, row, path)


def _chosen(rows: Sequence[dict[str, str]], row: str, path: str) -> dict[str, str]:
    """Returns the one row that has the values asked for."""
    found = list(rows)
    for part in row.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name not in rows[0]:
            raise ValueError(
                f"--row={row!r}: {part!r} is no column and its value. Columns of "
                f"{path!r}: {', '.join(rows[0])}."
            )
        before, found = found, [one for one in found if _is_same(one[name], value)]
        if not found:
            values = list(dict.fromkeys(one[name] for one in before))
            told = ", ".join(values[: 4 * _MOST_NAMED])
            raise ValueError(
                f"--row={row!r}: no row of {path!r} has {name}={value}; there is {told}"
                f"{', ...' if len(values) > 4 * _MOST_NAMED else ''}."
            )
    if len(found) > 1:
        telling = [name for name in rows[0] if len({one[name] for one in found}) > 1]
        kept = [
            name
            for name in telling
            if name not in _NO_KEYS and not name.endswith(_MEASURED)
        ]
        named = ", ".join(kept[:_MOST_NAMED]) or "nothing"
        raise ValueError(
            f"--row={row!r} is {len(found)} rows of {path!r}, which differ in {named}: "
            "say more of these."
        )
    return found[0]


def _is_same(cell: str, value: str) -> bool:
    """Returns whether a cell holds a value, as text or as a number."""
    try:
        return float(cell) == float(value)
    except ValueError:
        return cell == value


def _example(row: dict[str, str]) -> str:
    """Returns how a row can be named."""
    names = ("subnetwork", "level", "replicate", "rewind_iteration")
    told = [f"{name}={row[name]}" for name in names if name in row]
    return ",".join(told) or "COLUMN=VALUE"


def _named(columns: dict[str, str], path: str) -> str:
    """Returns the address of a row's network; raises ValueError if it names none."""
    if columns.get("diverged_iteration"):
        raise ValueError(
            f"The training of this row of {path!r} diverged at iteration "
            f"{columns['diverged_iteration']}: there is no network. Name another row."
        )
    if columns.get(_NETWORK):
        return columns[_NETWORK]
    others = {n: v for n, v in columns.items() if v.startswith(f"{RUNS}/")}
    if others:
        told = ", ".join(f"{name} is {value}" for name, value in others.items())
        raise ValueError(
            f"A row of {path!r} names several networks: {told}. Give the address of "
            "one in place of the table."
        )
    raise ValueError(
        f"This row of {path!r} names no network: expected an address in the column "
        f"{_NETWORK!r}, as accuracy.csv has it. Tables of earlier versions lack it; "
        "the same command writes it, and trains nothing again with the same store."
    )


def _stored(
    address: str, root: str | None, *, exact: bool = False
) -> tuple[Origins, str]:
    """Returns the origins of a store, and the address of the state that is meant."""
    store = Store(root)
    if not roots.is_there(store.root):
        raise ValueError(
            f"There is no store in {store.root!r}, and {address!r} is no file. Name "
            f"another store with --store. {_EXPECTED}"
        )
    origins = Origins(store)
    if exact and address.strip("/") not in origins.listing:
        raise ValueError(
            f"The row's network {address!r} is not in the store {store.root!r}. Name "
            "the store that its command used with --store, or run that again."
        )
    found = origins.named(address)
    store.refuse_damaged(found)
    folder = found.partition("/")[0]
    if folder == RUNS and found.rpartition("/")[2].isdigit():
        return origins, found
    if MASK_FILE in origins.manifest(found).get("files", {}):
        return origins, _trained_with(origins, found)
    if folder == _OWN_STATES:
        raise ValueError(
            f"{found!r} is a training of your own model, which only your program can "
            'build. Save what `find_ticket` found, `found.model().save("ticket.keras")'
            "`, and give that file."
        )
    inputs = [one.address for one in origins.inputs(found) if one.address]
    instead = f"It was made from {', '.join(inputs[:_MOST_NAMED])}." if inputs else ""
    raise ValueError(
        f"{found!r} is no network: expected the address of a state, as "
        f"{RUNS}/KEY/00002000, or of a mask. {instead}".strip()
    )


def _trained_with(origins: Origins, mask: str) -> str:
    """Returns the last state of the run that was trained with a mask."""
    runs: dict[str, str] = {}
    for address in sorted(origins.listing):
        run, _, iteration = address.rpartition("/")
        if run.startswith(f"{RUNS}/") and iteration.isdigit():
            runs[run] = address
    found = [one for one in runs.values() if _address(origins, one, "mask") == mask]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(
            f"No network in {origins.store.root!r} was trained with the mask {mask!r}: "
            "a mask alone is no network. Give the address of a state."
        )
    told = ", ".join(found[:_MOST_NAMED])
    raise ValueError(
        f"{len(found)} networks were trained with the mask {mask!r}: give the address "
        f"of one of {told}{', ...' if len(found) > _MOST_NAMED else ''}."
    )


def _address(origins: Origins, state: str, field: str) -> str | None:
    """Returns where an artifact lies that a state was made from; None: nowhere."""
    found = origins.fields(state).get(field)
    return found.address if isinstance(found, Reference) else None


def name_of(found: ModelFile | StoredNetwork) -> str:
    """Returns a name for the files of a network, without ending."""
    if isinstance(found, ModelFile):
        return os.path.splitext(os.path.basename(os.path.normpath(found.path)))[0]
    model = found.origins.fields(found.address)["network.model"]
    return f"{model}_{found.address.split('/')[1][:_KEY_DIGITS]}"
