"""What Finding Winning Tickets prints of a ticket: Tables 2 to 8, by how it was found.

Only tickets that are rewound as in the paper have a number: to 3,840,000 examples of
ImageNet or Places365, or to an epoch of CIFAR-10. Tables 6 and 7 repeat the tickets of
all labels, and the random ones, of Table 4.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tflottery.core import subsets
from tflottery.core.recipes import LABELS
from tflottery.figures import reported

if TYPE_CHECKING:
    import pandas

# What is not found by a search, by kind of subnetwork.
_KINDS = {
    "dense": "labels",
    "random_pruning": "random",
    "adjusted_random": "random_adjusted",
}
_TASKS = {"rotation": "rotnet", "exemplar": "exemplar"}
_OTHER_DATASETS = {
    "cifar10": "transfer_from_cifar10",
    "places365_small": "transfer_from_places365",
}
_REWIND_EXAMPLES = {
    "imagenet2012": 3_840_000,
    "places365_small": 3_840_000,
    "cifar10": 50_000,
}
# The levels of the tables, which print densities with three decimals.
_LEVELS = (*range(7), *range(9, 31, 3))
_TOLERANCE = 0.01


def number(row: "Mapping[str, object] | pandas.Series") -> reported.Number | None:
    """Returns the paper's accuracy (%) of a network and its standard error.

    Args:
      row: columns as of accuracy.csv, of a network trained on labels.

    Returns:
      The number; None where the paper prints none.
    """
    density, method = _printed(row["density"]), _method(row)
    if density is None or method is None or row["variant"] != "limited_supervision":
        return None
    return reported.number(
        "top1_accuracy_pct",
        paper="limited_supervision",
        model=row["model"],
        dataset=reported.learned(row),
        method=method,
        density=density,
    )


def _method(row: "Mapping[str, object] | pandas.Series") -> str | None:
    """Returns what the paper's tables call a network; None where they lack it."""
    if _known(row, "first_convolutions") is not None:
        return None
    if _known(row, "search") is None:
        return _KINDS.get(row["subnetwork"])
    if row["subnetwork"] != "imp" or not _is_rewound_as_printed(row):
        return None
    task, dataset = row["ticket_task"], row["ticket_dataset"]
    subset = subsets.parse(_known(row, "ticket_subset") or "images:1")
    if dataset != row["dataset"]:
        is_whole = task == LABELS and subset is None
        return _OTHER_DATASETS.get(dataset) if is_whole else None
    if subset is None:
        return LABELS if task == LABELS else _TASKS.get(task)
    percent = f"{100 * subset.fraction:.6g}pct"
    if task == LABELS:
        return f"labels_{percent}_{subset.kind}"
    # Of its subset the labels are seen.
    is_semi_supervised = task == "semi_supervised" and subset.kind == subsets.IMAGES
    return f"semi_supervised_{percent}_labels" if is_semi_supervised else None


def _is_rewound_as_printed(row: "Mapping[str, object] | pandas.Series") -> bool:
    """Returns whether a ticket is rewound to the paper's iteration of its search."""
    examples = _REWIND_EXAMPLES.get(row["ticket_dataset"])
    if examples is None or not _known(row, "search_iterations"):
        return False
    batch_size = int(row["search_examples"]) // int(row["search_iterations"])
    return int(row["rewind_iteration"]) == math.ceil(examples / batch_size)


def _printed(density: float) -> float | None:
    """Returns a density as the tables print it; None for a level they lack."""
    level = round(math.log(density, 0.8))
    is_close = abs(density / 0.8**level - 1) < _TOLERANCE
    return round(0.8**level, 3) if level in _LEVELS and is_close else None


def _known(row: "Mapping[str, object] | pandas.Series", name: str) -> object | None:
    """Returns the value of a column; None where it is missing."""
    value = row[name]
    # A missing value of a table that was read is not equal to itself.
    return value if value is not None and value == value else None
