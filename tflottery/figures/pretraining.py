"""The figures of pre-training (EP Figures 9 and 10, and A9 to A12).

One block for each setting in the table, and in it a panel for each pretext: accuracy
against density of tickets rewound to a pre-trained state, a line a length of
pre-training, beside tickets of ordinary training and the band of the unpruned network.
Where networks were pre-trained after they were pruned, the panel has a colour for each
kind of network and k, solid without pre-training and dashed with it. Lines are means
and bars one standard deviation over replicates.
"""

import functools
from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.figures import densities, lines, panels
from tflottery.figures.densities import PANEL_INCHES, SETTING
from tflottery.figures.timescales import iteration_name

_PRETEXTS = {
    "random_labels": "random labels",
    "rotation": "rotation",
    "blur": "4x blur",
    "blur_rotation": "4x blur and rotation",
}


def draw(accuracy: pandas.DataFrame) -> Figure:
    """Returns the figure of the table of the experiment on pre-training.

    Args:
      accuracy: a row a network, as in accuracy.csv.

    Raises:
      ValueError: the table has no rows.
    """
    accuracy = densities.with_accuracy(accuracy, name="accuracy")
    colors = _epoch_colors(accuracy)
    blocks = []
    for _, own in accuracy.groupby(SETTING, sort=False):
        row = [
            functools.partial(
                _draw_panel, networks=own, pretext=pretext, sparse=sparse, colors=colors
            )
            for pretext, sparse in _panels(own)
        ]
        title = densities.title(own, num_replicates=own["replicate"].nunique())
        blocks.append(panels.Block(title, [row]))
    return panels.drawn(blocks, inches=PANEL_INCHES)


def _draw_panel(
    axes: Axes,
    *,
    networks: pandas.DataFrame,
    pretext: str | None,
    sparse: bool,
    colors: Mapping[int, tuple],
) -> None:
    """Draws what was pre-trained on one pretext, beside what was not at all."""
    ordinary = networks["pretext"].isna()
    own = networks["pretext"] == pretext
    own &= networks["sparse_pretraining"] == sparse
    shown = networks[ordinary | own]
    densities.draw_unpruned(axes, networks[ordinary])
    if sparse:
        _draw_sparse(axes, shown)
    else:
        _draw_pretext(axes, shown, colors=colors)
    densities.finish(axes, shown, title=_title(pretext, sparse=sparse))


def _panels(networks: pandas.DataFrame) -> list[tuple[str | None, bool]]:
    """Returns the pretext of each panel, and whether pruned networks trained on it."""
    pretrained = networks[networks["pretext"].notna()]
    pairs = zip(pretrained["pretext"], pretrained["sparse_pretraining"], strict=True)
    # Nothing is pre-trained yet: the others as they are.
    return list(dict.fromkeys(pairs)) or [(None, True)]


def _title(pretext: str | None, *, sparse: bool) -> str:
    """Returns what a panel shows."""
    if pretext is None:
        return "no pre-training"
    name = _PRETEXTS.get(pretext, pretext)
    return f"sparse pre-training: {name}" if sparse else name


def _epoch_colors(networks: pandas.DataFrame) -> dict[int, tuple]:
    """Returns a shade for each length of pre-training, dark for the longest."""
    _, pretrained = _apart(networks)
    ordered = sorted(set(pretrained["pretraining_epochs"].astype(int)))
    shades = np.linspace(1.0, 0.35, len(ordered))[::-1]
    colors = map(tuple, matplotlib.colormaps["Blues"](shades))
    return dict(zip(ordered, colors, strict=True))


def _draw_pretext(
    axes: Axes, networks: pandas.DataFrame, *, colors: Mapping[int, tuple]
) -> None:
    """EP Figure 9: tickets of pre-trained states beside those of ordinary training."""
    ordinary, pretrained = _apart(networks)
    tickets = ordinary[ordinary["subnetwork"] == "imp"]
    for index, (k, own) in enumerate(tickets.groupby("rewind_iteration")):
        label = f"rewind to {iteration_name(int(k))}"
        style = lines.style_of(index)
        densities.draw(axes, own, color="black", label=label, style=style)
    for epochs, own in pretrained.groupby("pretraining_epochs"):
        color = colors[int(epochs)]
        densities.draw(axes, own, color=color, label=_length(int(epochs)), marker="s")


def _draw_sparse(axes: Axes, networks: pandas.DataFrame) -> None:
    """EP Figure 10: networks pre-trained after they were pruned, and not at all."""
    for both, look in densities.kinds(networks):
        ordinary, pretrained = _apart(both)
        densities.draw(axes, ordinary, **(look | {"style": "-"}))
        lengths = pretrained.groupby("pretraining_epochs")
        for index, (epochs, own) in enumerate(lengths):
            label = f"{look['label']}, {_length(int(epochs))}"
            style = lines.style_of(index)
            densities.draw(axes, own, **(look | {"label": label, "style": style}))


def _apart(networks: pandas.DataFrame) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Returns the networks without pre-training, and those with it."""
    ordinary = networks["pretext"].isna()
    return networks[ordinary], networks[~ordinary]


def _length(epochs: int) -> str:
    """Returns a length of pre-training as a label."""
    return f"pre-trained {epochs} epoch{'s' if epochs > 1 else ''}"
