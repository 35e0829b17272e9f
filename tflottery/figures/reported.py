"""What the papers report: their numbers, as printed, to draw beside one's own.

`reported.csv` holds one number a row: paper, source (table, figure or section),
network, dataset, method, density, metric, value, error, error_kind (std or stderr),
note.
"""

import dataclasses
import functools
import importlib.resources
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tflottery.core.recipes import LABELS

if TYPE_CHECKING:
    import pandas

# How the papers write what users type.
NETWORKS = {
    "alexnet": "AlexNet",
    "inception_v3": "Inception-v3",
    "lenet": "Lenet",
    "resnet18": "ResNet-18",
    "resnet20": "ResNet-20",
    "resnet50": "ResNet-50",
    "resnet56": "ResNet-56",
    "vgg11": "VGG-11",
    "vgg13": "VGG-13",
    "vgg16": "VGG-16",
    "vgg19": "VGG-19",
    "wrn16_8": "WRN-16-8",
}
# How a number of a paper is marked in a panel, as a diamond.
LOOK = {"color": "black", "markerfacecolor": "white", "markersize": 5}
LOOK |= {"zorder": 5, "clip_on": False, "label": "in the paper"}
DATASETS = {
    "cifar10": "CIFAR-10",
    "imagenet2012": "ImageNet",
    "mnist": "MNIST",
    "places365_small": "Places365",
}


@dataclasses.dataclass(frozen=True)
class Number:
    """A number as a paper prints it.

    Attributes:
      value: in the unit that the metric's name ends with.
      error: its error, None if not given; std or stderr, see `load`.
      source: where it is printed.
    """

    value: float
    error: float | None
    source: str


def load() -> "pandas.DataFrame":
    """Returns all numbers, a copy of one's own."""
    return _table().copy()


def learned(setting: "Mapping[str, object] | pandas.Series") -> str:
    """Returns what is learned as the papers write it: "CIFAR-10", "MNIST, rotation".

    Args:
      setting: columns of a row; one without the column task is about labels.
    """
    dataset, task = setting["dataset"], setting.get("task", LABELS)
    name = DATASETS.get(dataset, dataset)
    return name if task == LABELS else f"{name}, {task}"


def number(
    metric: str,
    *,
    paper: str,
    model: str,
    dataset: str,
    method: str,
    density: float | None = None,
    source: str | None = None,
) -> Number | None:
    """Returns the one number of that description, None if the paper gives none.

    Args:
      metric: such as "top1_accuracy_pct".
      paper: "early_phase", "linear_mode_connectivity" or "limited_supervision".
      model: as users type it ("resnet20") or as the paper writes it.
      dataset: likewise, or what `learned` returns.
      method: as in the table, such as "standard" or "full network".
      density: as printed; None: whatever it is.
      source: where it is printed, such as "Figure 6"; None: anywhere.

    Raises:
      ValueError: the paper gives several that differ.
    """
    wanted = {
        "metric": metric,
        "paper": paper,
        "network": NETWORKS.get(model, model),
        "dataset": DATASETS.get(dataset, dataset),
        "method": method,
    }
    if density is not None:
        wanted["density"] = density
    if source is not None:
        wanted["source"] = source
    table = _table()
    for column, value in wanted.items():
        table = table[table[column] == value]
    if not len(table):
        return None
    if table["value"].nunique() > 1:
        raise ValueError(
            f"The papers give {len(table)} different numbers for {wanted}: "
            f"{sorted(table['value'])}. Choose among `load()`'s rows."
        )
    first = table.iloc[0]
    error = None if math.isnan(first["error"]) else float(first["error"])
    return Number(float(first["value"]), error, first["source"])


def natural_sparsity(model: str, *, dataset: str, optimizer: str) -> Number | None:
    """Returns the weights below machine precision after training, in percent.

    Args:
      model: as of `number`.
      dataset: as of `number`.
      optimizer: the paper's is Adam, for the networks that it gives numbers of.
    """
    if optimizer != "adam":
        return None
    return number(
        "natural_sparsity_pct",
        paper="limited_supervision",
        model=model,
        dataset=dataset,
        method="trained dense",
        source="Figure 6",
    )


@functools.cache
def _table() -> "pandas.DataFrame":
    import pandas

    path = importlib.resources.files("tflottery.figures") / "reported.csv"
    with path.open(encoding="utf-8") as file:
        return pandas.read_csv(file)
