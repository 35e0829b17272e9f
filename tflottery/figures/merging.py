"""Tables of several commands as one, so that one figure shows them."""

from collections.abc import Mapping

import pandas

from tflottery.figures import facts
from tflottery.figures.densities import SETTING

Tables = Mapping[str, pandas.DataFrame]

# Where a network lies, how it compares with all of its command, what is known of its
# data, and which options found it, says nothing of what it is.
UNTELLING = ("network", "network_a", "network_b", "mask", "matching", *facts.COLUMNS)
UNTELLING += ("ticket_config",)
# What tells a row of one setting from its others, as far as a table has it.
NAMES = ("subnetwork", "level", "density", "replicate", "rewind_iteration")
NAMES += ("data_order", "data_order_a", "data_order_b", "iteration")
NAMES += ("earlier_iteration", "later_iteration")
NAMES += ("perturbation", "condition")
NAMES += ("pretext", "pretraining_epochs", "sparse_pretraining")
NAMES += ("search", "ticket_task", "ticket_dataset", "ticket_subset")
NAMES += ("first_convolutions",)


def merged(
    commands: Mapping[str, Tables], *, first: str
) -> dict[str, pandas.DataFrame]:
    """Returns the tables of several commands of one experiment as one of each name.

    Commands on the same network, recipe, data set, length and precision are drawn into
    the same panels, whatever else their `config` stands for; rows that they have in
    common count once, and so do searches for tickets that found the same, by the name
    of the first command. Random subnetworks that are there already with other values,
    such as those of other counts per layer, are told apart by the name of their
    command; a command of which any other network is there with other values keeps
    panels of its own.

    Args:
      commands: the tables of each by name, by a name of the command; the same tables
        in all, at least one command.
      first: the table whose rows decide that.
    """
    found: dict[str, pandas.DataFrame] = {}
    for command, tables in commands.items():
        if not found:
            found = dict(tables)
            continue
        known = found[first]
        tables = _with_searches_of(known, tables, first=first)
        alike = {name: _with_config_of(known, table) for name, table in tables.items()}
        joined = _joined(found, alike)
        other = _contradicting(joined[first])
        if other & {"dense", "imp", None}:
            joined = _joined(found, tables)
        elif other:
            new_names = {kind: f"{kind} ({command})" for kind in other}
            joined = _joined(found, _renamed(alike, new_names))
        found = joined
    return found


def _with_config_of(
    known: pandas.DataFrame, table: pandas.DataFrame
) -> pandas.DataFrame:
    """Returns a table with the config that another has for the same setting."""
    of_setting = [name for name in SETTING if name != "config"]
    if "precision" in known and "precision" in table:
        of_setting.append("precision")
    firsts = known.drop_duplicates(of_setting).set_index(of_setting)["config"]
    configs = dict(firsts.items())
    settings = table[of_setting].itertuples(index=False, name=None)
    replaced = [
        configs.get(setting, config)
        for setting, config in zip(settings, table["config"], strict=True)
    ]
    return table.assign(config=replaced)


def _with_searches_of(known: pandas.DataFrame, tables: Tables, *, first: str) -> Tables:
    """Returns tables that call searches for tickets as another table does.

    The searches are the same where what they found was trained to the same networks.
    """
    if "search" not in known:
        return tables
    trained = known.dropna(subset=["network"])
    theirs = dict(zip(trained["network"], trained["search"], strict=True))
    names: dict[str, str] = {}
    for search, own in tables[first].groupby("search"):
        found = own["network"].map(theirs).dropna().unique()
        # One network may be that of several searches, this one among them.
        if len(found) == 1 and search not in set(known["search"]):
            names[search] = found[0]
    return {
        name: table.assign(search=table["search"].map(lambda one: names.get(one, one)))
        if "search" in table
        else table
        for name, table in tables.items()
    }


def _joined(one: Tables, other: Tables) -> dict[str, pandas.DataFrame]:
    """Returns the rows of both, those that are in both once."""
    joined = {}
    for name, table in one.items():
        filled = [part for part in (table, other[name]) if len(part)]
        both = pandas.concat(filled or [table], ignore_index=True)
        telling = [column for column in both if column not in UNTELLING]
        joined[name] = both.drop_duplicates(telling, ignore_index=True)
    return joined


def _contradicting(table: pandas.DataFrame) -> set[str | None]:
    """Returns the kinds of network of which two rows differ in what was measured.

    In a table that says nothing of kinds that is None.
    """
    names = [name for name in (*SETTING, *NAMES) if name in table]
    several = table[table.duplicated(names)]
    if "subnetwork" not in table:
        return {None} if len(several) else set()
    return set(several["subnetwork"])


def _renamed(tables: Tables, names: Mapping[str, str]) -> Tables:
    """Returns tables with other names of kinds of network."""
    return {
        name: table.assign(subnetwork=table["subnetwork"].replace(dict(names)))
        if "subnetwork" in table
        else table
        for name, table in tables.items()
    }
