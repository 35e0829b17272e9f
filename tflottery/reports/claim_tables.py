"""The tables of commands as the papers' claims are asked of them.

Tables of the same name come from different experiments, and are asked by these names:
`instability` and `interpolation` (pairs at the end of training), `throughout` (at every
epoch), `accuracy` (networks neither perturbed nor pre-trained), `perturbed` and
`pretrained` (with those that were, and what they are compared with), `tickets` (found
in different ways), and every other table by its own.

Commands that have networks in common have the same numbers of them, unless they were
made anew with other bits, as on another kind of processor. Then each making is asked by
itself: `making` numbers them, and `folder` says where a row was read, the first of the
folders that have it.
"""

import dataclasses
import os
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence

import pandas

from tflottery.core import table_files, tables
from tflottery.core.registry import CLAIMS
from tflottery.figures import facts, merging
from tflottery.figures.densities import SETTING
from tflottery.reports import command_tables, recipe_changes

# What claims compare with all of its command is worked out from the rows themselves.
_NO_KEYS = (*merging.UNTELLING, "diverged_iteration", "changes", "flags", "folder")
# Columns by which a table of some experiment is known, and its name here.
_KINDS = {"search": "tickets", "perturbation": "perturbed", "pretext": "pretrained"}

Tables = dict[str, pandas.DataFrame]


@dataclasses.dataclass
class _Making:
    """Tables of commands that agree; grows as they are read.

    Attributes:
      tables: those of a name, in their order.
      by_setting: their rows that several commands may have, by table and setting.
    """

    tables: dict[str, list[pandas.DataFrame]] = dataclasses.field(default_factory=dict)
    by_setting: dict[Hashable, list[pandas.DataFrame]] = dataclasses.field(
        default_factory=dict
    )


def load(sources: Sequence[str]) -> tuple[Tables, dict[str, str]]:
    """Returns the rows of tables by the names that claims have for them, each once.

    And what is wrong with tables that are left out, by path.

    Args:
      sources: CSV files, folders (all below them) or patterns of either.

    Raises:
      FileNotFoundError: a source holds no table.
      ValueError: none was named, or all are damaged.
    """
    by_folder, damaged = _by_folder(sources)
    if not by_folder and damaged:
        raise ValueError(" ".join(damaged.values()))
    if not by_folder:
        raise ValueError(
            "No claim is about these tables: name those of experiments, as these call "
            "them, such as instability.csv; they have rows, and columns "
            f"{', '.join(SETTING)}."
        )
    makings: list[_Making] = []
    for folder, own in by_folder.items():
        parts = _parts_by_setting(own)
        making = next((one for one in makings if _agree(one, parts)), None)
        if making is None:
            making = _Making()
            makings.append(making)
        if makings[0] is not making:
            # By identity, since tables that are compared are tables.
            number = next(n for n, one in enumerate(makings, 1) if one is making)
            print(_told(folder, number), file=sys.stderr)
        for name, table in own.items():
            making.tables.setdefault(name, []).append(table)
        for key, part in parts.items():
            making.by_setting.setdefault(key, []).append(part)
    found: dict[str, list[pandas.DataFrame]] = {}
    for number, making in enumerate(makings, start=1):
        for name, several in making.tables.items():
            united = _once(several).assign(making=number)
            found.setdefault(name, []).append(united)
    whole = {name: pandas.concat(own, ignore_index=True) for name, own in found.items()}
    return whole, damaged


def _told(folder: str, number: int) -> str:
    return (
        f"{folder} has some of the same networks as folders before it, with other "
        "numbers, as from another kind of processor. Claims ask it apart from those, "
        f"as making {number}."
    )


def _by_folder(sources: Sequence[str]) -> tuple[dict[str, Tables], dict[str, str]]:
    """Returns the tables that claims ask, by folder and name, those with rows.

    A folder is named by its path below what all have in common. And what is wrong with
    damaged tables, by path.
    """
    wanted = {CLAIMS[name]["table"] for name in CLAIMS.names()}
    found: dict[str, Tables] = {}
    damaged: dict[str, str] = {}
    files = table_files.find(sources)
    whole = {path: os.path.dirname(os.path.abspath(path)) for path in files}
    common = os.path.commonpath([os.path.dirname(one) for one in whole.values()])
    for path in files:
        # Others, such as weights one by one, may be large.
        if table_files.table_name(path) not in {*wanted, "instability", "accuracy"}:
            continue
        said = facts.beside(os.path.dirname(path))
        folder = os.path.relpath(whole[path], common)
        try:
            parts = _parts(path, said, folder=folder)
        except ValueError as error:
            damaged[path] = str(error)
            continue
        if parts and not said.get("complete", True) and folder not in found:
            print(
                f"{folder} is incomplete: its command has not ended.", file=sys.stderr
            )
        found.setdefault(folder, {}).update(
            {name: part for name, part in parts.items() if name in wanted}
        )
    return {folder: own for folder, own in found.items() if own}, damaged


def _parts(path: str, said: Mapping[str, object], *, folder: str) -> Tables:
    """Returns a command's table in the parts that claims have names for.

    None of a table without rows, or of one's own: it has no settings, and no claim is
    about it.

    Raises:
      ValueError: it is damaged.
    """
    table = command_tables.read(path, command_tables.row_types(path, said))
    table = tables.filled(table, ["task"])
    if not len(table) or not set(SETTING) <= set(table.columns):
        return {}
    table = facts.with_facts(table, said)
    table = _with_changes(table, said).assign(folder=folder)
    parts = dict(named(table_files.table_name(path), table))
    for name, part in parts.items():
        _refuse_contradicting(part, name=name, path=path)
    return parts


def _with_changes(
    table: pandas.DataFrame, said: Mapping[str, object]
) -> pandas.DataFrame:
    """Returns a table with how its command departs from the recipe it names.

    As columns `changes` and `flags`.
    """
    keys = ["variant", "config"]
    found = {
        (variant, config): recipe_changes.of(said, variant=variant, config=config)
        for variant, config in table[keys]
        .drop_duplicates()
        .itertuples(index=False, name=None)
    }
    own = [found[key] for key in table[keys].itertuples(index=False, name=None)]
    names = [
        # Where it is a column, rows of all kinds stand side by side.
        ", ".join(
            name
            for name in one.names
            if name != "first_convolutions" or name not in table
        )
        for one in own
    ]
    return table.assign(changes=names, flags=[one.flags for one in own])


def named(name: str, table: pandas.DataFrame) -> Iterator[tuple[str, pandas.DataFrame]]:
    """Yields the parts of an experiment's table under the names that claims have."""
    if name in ("instability", "interpolation") and "iteration" in table:
        at_end = table["iteration"] == table["training_iterations"]
        yield name, table[at_end]
        if name == "instability" and not at_end.all():
            yield "throughout", table
    elif name == "accuracy":
        kinds = [kind for column, kind in _KINDS.items() if column in table]
        for kind in kinds:
            yield kind, table
        plain = _plain(table)
        if len(plain) and "tickets" not in kinds:
            yield name, plain
    else:
        yield name, table


def _plain(networks: pandas.DataFrame) -> pandas.DataFrame:
    """Returns the networks that were neither perturbed nor pre-trained."""
    plain = networks
    if "perturbation" in plain:
        plain = plain[plain["perturbation"] == "none"]
        plain = plain.drop(columns=["perturbation", "condition"])
        plain = plain[[name for name in plain if not name.startswith("effective_")]]
    if "pretext" in plain:
        plain = plain[plain["pretext"].isna()]
        new = ["pretext", "pretraining_epochs", "sparse_pretraining"]
        plain = plain.drop(columns=new)
    return plain


def _parts_by_setting(own: Tables) -> dict[Hashable, pandas.DataFrame]:
    """Returns the rows of a command that others may have too, by table and setting."""
    # Means over replicates are others where more were measured.
    return {
        (name, *setting): part
        for name, table in own.items()
        if "replicate" in table
        for setting, part in table.groupby(SETTING, sort=False, dropna=False)
    }


def _agree(making: _Making, parts: Mapping[Hashable, pandas.DataFrame]) -> bool:
    """Returns whether a command has the numbers of a making, where both have rows."""
    # With all others each time, hundreds of commands would take minutes.
    return all(
        _difference([*making.by_setting[key], part]) is None
        for key, part in parts.items()
        if key in making.by_setting
    )


def _refuse_contradicting(table: pandas.DataFrame, *, name: str, path: str) -> None:
    """Raises ValueError if rows that nothing tells apart differ in one table."""
    difference = _difference([table])
    if difference is None:
        return
    keys, columns = difference
    told = ", ".join(f"{key} = {value}" for key, value in keys.items())
    lacking = [key for key in ("replicate", "rewind_iteration") if key not in table]
    why = (
        f"it has no column {' and '.join(lacking)}, which told them apart"
        if lacking and name != "telemetry"
        else "it was put together from several commands' tables; name their own folders"
    )
    raise ValueError(
        f"{path!r} has several rows of {told} that differ in {', '.join(columns)}: "
        f"{why}."
    )


def _keys(table: pandas.DataFrame) -> list[str]:
    """Returns the columns that tell the rows of a table apart."""
    keys = (*SETTING, *merging.NAMES, "alpha", "final_iteration")
    return [key for key in keys if key in table]


def _difference(
    parts: Sequence[pandas.DataFrame],
) -> tuple[dict[str, object], list[str]] | None:
    """Returns rows that nothing tells apart, and in what they differ, if they do."""
    table = pandas.concat(parts, ignore_index=True)
    keys = _keys(table)
    several = table.duplicated(keys, keep=False)
    if not several.any():
        return None
    measured = [one for one in table if one not in (*keys, *_NO_KEYS)]
    numbers = table[several].groupby(keys, dropna=False, sort=False)[measured].nunique()
    differing = numbers[(numbers > 1).any(axis="columns")]
    if not len(differing):
        return None
    told = dict(zip(keys, differing.index[0], strict=True))
    return told, [one for one in measured if (differing[one] > 1).any()]


def _once(parts: Sequence[pandas.DataFrame]) -> pandas.DataFrame:
    """Returns the rows of tables that agree, those that several have once."""
    table = pandas.concat(parts, ignore_index=True)
    if "num_replicates" in table:
        # Means over the most replicates count.
        table = table.sort_values("num_replicates", ascending=False, kind="stable")
    keys = _keys(table)
    several = table.duplicated(keys, keep=False)
    if not several.any():
        return table
    groups = table[several].groupby(keys, dropna=False, sort=False)
    once = groups.first().reset_index()
    return pandas.concat([table[~several], once], ignore_index=True)
