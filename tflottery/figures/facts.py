"""What tables do not say of their data, from the config.json beside them, as columns.

`num_classes` says what chance is, `epoch_iterations` how long an epoch is. A figure is
drawn without them too: then it shows no chance, and no axis in epochs.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from etils import epath

if TYPE_CHECKING:
    import pandas


COLUMNS = ("num_classes", "epoch_iterations")
# What config.json says has parts, each with names.
_PARTS = ("decisions", "recipe", "data")


def beside(folder: str) -> dict[str, object]:
    """Returns what the config.json of a command says; {} where a folder has none."""
    try:
        said = json.loads(epath.Path(folder or ".", "config.json").read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(said, dict):
        return {}
    are_named = all(isinstance(said.get(part) or {}, dict) for part in _PARTS)
    return said if are_named else {}


def with_facts(
    table: "pandas.DataFrame", said: Mapping[str, object]
) -> "pandas.DataFrame":
    """Returns a table with the columns of this module, as far as they are known.

    Args:
      table: of one study.
      said: what its config.json says.
    """
    data, recipe = said.get("data") or {}, said.get("recipe") or {}
    known: dict[str, float] = {}
    # A pretext has classes of its own.
    if data.get("num_classes") and not data.get("pretext"):
        known["num_classes"] = data["num_classes"]
    if data.get("num_train") and recipe.get("batch_size"):
        known["epoch_iterations"] = data["num_train"] / recipe["batch_size"]
    return table.assign(**known)


def chance_error(table: "pandas.DataFrame") -> float | None:
    """Returns the error of guessing, in [0, 1]; None where it is not known."""
    if "num_classes" not in table:
        return None
    known = table["num_classes"].dropna()
    return 1 - 1 / known.iloc[0] if len(known) else None
