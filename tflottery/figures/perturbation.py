"""The figures of perturbed tickets (EP Figures 4 to 7, and A4 to A7).

One block for each setting in the table, and in it a panel for each k at which tickets
were perturbed: accuracy against density of the ticket of k, of that of iteration 0, and
of every perturbation, beside the band of the unpruned network. Where there is one
density, they stand beside one another by name instead. Lines are means and bars one
standard deviation over replicates.
"""

import functools
from collections.abc import Iterator, Mapping

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tflottery.figures import densities, lines, panels
from tflottery.figures.densities import PANEL_INCHES, SETTING
from tflottery.figures.timescales import iteration_name

# Told apart by colour-blind readers; red is the unpruned network's.
_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#7a5195")
_MAGNITUDES = {"init": "init:0", "k": "init:k", "fresh": "random init"}
_SIGNS = {"init": "signs:0", "k": "signs:k", "fresh": "random signs"}


def draw(accuracy: pandas.DataFrame) -> Figure:
    """Returns the figure of the table of an experiment on perturbations.

    Args:
      accuracy: a row a network, as in accuracy.csv.

    Raises:
      ValueError: the table has no rows.
    """
    accuracy = densities.with_accuracy(accuracy, name="accuracy")
    accuracy = with_conditions(accuracy)
    looks = _looks(accuracy)
    blocks = []
    for _, own in accuracy.groupby(SETTING, sort=False):
        # On an axis of densities all would stand at its end, one above the other.
        is_alone = own[own["level"] > 0]["axis_density"].nunique() == 1
        draw_panel = _draw_one_density if is_alone else _draw_densities
        row = [
            functools.partial(draw_panel, networks=own, k=k, looks=looks)
            for k in _perturbed_iterations(own)
        ]
        title = densities.title(own, num_replicates=own["replicate"].nunique())
        blocks.append(panels.Block(title, [row], has_legend=not is_alone))
    return panels.drawn(blocks, inches=PANEL_INCHES)


def with_conditions(table: pandas.DataFrame) -> pandas.DataFrame:
    """Returns a table with "" for the empty conditions of unchanged networks."""
    condition = table["condition"].astype(object).fillna("")
    return table.assign(condition=condition)


def label(perturbation: str, condition: str) -> str:
    """Returns a perturbation with its options as the paper's legends put it.

    Args:
      perturbation: as in a row's column; "none" is the ticket as it is.
      condition: likewise, such as "scope=layers keep_signs=true"; those of a
        perturbation that the paper does not have stay as they are.
    """
    options = dict(part.partition("=")[::2] for part in condition.split())
    match perturbation:
        case "none":
            return "rewind to k"
        case "sign_magnitude":
            magnitudes, _, signs = options["mixes"].partition(":")
            return f"{_MAGNITUDES[magnitudes]}, {_SIGNS[signs]}"
        case "gaussian_noise":
            return f"noise {options['noise_scales']} sigma"
        case "shuffle":
            kept = options.get("keep_signs") == "true"
            initial = options.get("initial_signs") == "true"
            signs = ", signs kept" if kept else ", initial signs" if initial else ""
            return f"shuffle {options['scope']}{signs}"
    return condition or perturbation


def _perturbed_iterations(networks: pandas.DataFrame) -> list[int]:
    """Returns the k at which tickets were perturbed, or, if none were, all but 0."""
    perturbed = networks[networks["perturbation"] != "none"]
    later = networks[networks["rewind_iteration"] > 0]
    for found in (perturbed, later, networks):
        if len(found):
            break
    return sorted(set(found["rewind_iteration"].astype(int)))


def _looks(networks: pandas.DataFrame) -> dict[tuple[str, str], dict[str, str]]:
    """Returns how `densities.draw` draws each perturbation, the same in all panels."""
    perturbed = networks[networks["perturbation"] != "none"]
    conditions = perturbed[["perturbation", "condition"]].drop_duplicates()
    looks = {}
    for index, key in enumerate(conditions.itertuples(index=False, name=None)):
        turn, place = divmod(index, len(_COLORS))
        style = lines.style_of(turn - 1) if turn else "-"
        looks[key] = {"color": _COLORS[place], "label": label(*key), "style": style}
    return looks


def _draw_densities(
    axes: Axes,
    *,
    networks: pandas.DataFrame,
    k: int,
    looks: Mapping[tuple[str, str], Mapping[str, str]],
) -> None:
    """Draws what was rewound to one k, and to 0, against density."""
    densities.draw_unpruned(axes, networks)
    for own, look in _tickets(networks, k=k, looks=looks):
        densities.draw(axes, own, **look)
    densities.finish(axes, networks, title=f"k = {iteration_name(k)}")


def _draw_one_density(
    axes: Axes,
    *,
    networks: pandas.DataFrame,
    k: int,
    looks: Mapping[tuple[str, str], Mapping[str, str]],
) -> None:
    """Draws the same side by side, where all tickets are of one density."""
    densities.draw_unpruned(axes, networks)
    dense = networks[networks["subnetwork"] == "dense"]
    unpruned = {"color": lines.UNPRUNED_COLOR, "label": lines.UNPRUNED, "style": "-"}
    shown = [(dense, unpruned), *_tickets(networks, k=k, looks=looks)]
    for place, (own, look) in enumerate(shown):
        table = lines.summary(own, by="axis_density", value="accuracy")
        # None, where all diverged.
        places = [place] * len(table)
        lines.draw_bars(axes, places, table["mean"], table["std"], **look)
    [density] = networks[networks["level"] > 0]["axis_density"].unique()
    panels.tidy(
        axes,
        title=f"k = {iteration_name(k)}",
        x=f"{densities.percent(density)}% of the weights",
        y="test accuracy (%)",
    )
    names = [look["label"] for _, look in shown]
    axes.set_xticks(range(len(shown)), names, rotation=35, ha="right")
    axes.set_xlim(-0.5, len(shown) - 0.5)


def _tickets(
    networks: pandas.DataFrame,
    *,
    k: int,
    looks: Mapping[tuple[str, str], Mapping[str, str]],
) -> Iterator[tuple[pandas.DataFrame, dict[str, str]]]:
    """Yields tickets of 0 and of k, unchanged and perturbed, and how to draw them."""
    sparse = networks[networks["subnetwork"] != "dense"]
    unchanged = sparse[sparse["perturbation"] == "none"]
    for start, style in {0: "--", k: "-"}.items():
        own = unchanged[unchanged["rewind_iteration"] == start]
        if len(own):
            name = label("none", "") if start else "rewind to 0"
            yield own, {"color": "black", "label": name, "style": style}
    here = sparse[sparse["rewind_iteration"] == k]
    for (name, condition), look in looks.items():
        same = (here["perturbation"] == name) & (here["condition"] == condition)
        if same.any():
            yield here[same], {"marker": "s", **look}
