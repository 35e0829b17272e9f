"""The claims of *Finding Winning Tickets with Limited (or No) Supervision* (LS).

Accuracies are of tickets trained on the labels of all data, in points. A search with
several k counts with its latest, the paper's; only where Figures 2 and 8 are asked do
tickets count of which the first convolutions alone were pruned. "At 6.9%" is the level
nearest to that density, "over all densities" the mean over those that both sides have.

"Alike" is within half a point, "similar" within five, "far" more than five: proposals
of ours, as the paper puts none of it in numbers. Claims that the paper's own tables do
not bear out are asked as its text has them.
"""

import functools
from typing import TYPE_CHECKING

from tflottery.claims import selecting
from tflottery.claims.judging import (
    PaperNetwork,
    above,
    at_least,
    below,
    between,
)
from tflottery.claims.selecting import PERCENT, K, Lacking, NotAsked, select
from tflottery.core.percentages import percent
from tflottery.core.recipes import LABELS
from tflottery.core.registry import CLAIMS
from tflottery.core.subsets import CLASSES
from tflottery.figures import facts

if TYPE_CHECKING:
    import pandas

_VARIANT = "limited_supervision"
VGG19, RESNET18 = (
    PaperNetwork(model, _VARIANT, "cifar10", 15_625) for model in ("vgg19", "resnet18")
)
RESNET50 = PaperNetwork("resnet50", _VARIANT, "imagenet2012", 75_069)
ALEXNET = PaperNetwork("alexnet", _VARIANT, "imagenet2012", 28_151)
CIFAR10, IMAGENET = (VGG19, RESNET18), (RESNET50, ALEXNET)
ALIKE, SIMILAR = 0.5, 5.0
_ALIKE, _SIMILAR = between(-ALIKE, ALIKE), between(-SIMILAR, SIMILAR)
REINITIALIZED = ", reinitialized"
# Kinds of subnetworks that no search found, by what they are called here.
_UNSEARCHED = {
    "dense": "dense",
    "random": "random_pruning",
    "adjusted random": "adjusted_random",
}
ALL = (0.0, 1.0)
# Densities between which the paper speaks of moderate pruning, and below which of 90%.
MODERATE, SPARSE = (0.13, 1.0), (0.0, 0.105)

of_tickets = functools.partial(CLAIMS.register, table="tickets", unit="points")


def accuracies(tickets: "pandas.DataFrame", search: str) -> "pandas.DataFrame":
    """Returns test accuracies (%), a row a replicate and a column a density.

    Args:
      tickets: rows of one setting, in which all that the recipe prunes was pruned.
      search: a task, a part of the data such as images:0.1, or another data set, with
        ", reinitialized" behind where weights are drawn afresh; or one of those that
        no search found.

    Raises:
      Lacking, NotAsked: as `of_search`.
    """
    if search in _UNSEARCHED:
        own = select(tickets, subnetwork=_UNSEARCHED[search])
    else:
        kind = "random_reinit" if search.endswith(REINITIALIZED) else "imp"
        found = of_search(tickets, search.removesuffix(REINITIALIZED))
        own = latest(select(found, subnetwork=kind))
    selecting.refuse_lacking(own, ["test_error"])
    errors = own.groupby(["replicate", "density"])["test_error"].mean().unstack()
    return PERCENT * (1 - errors.dropna(axis="columns", how="all"))


def of_search(tickets: "pandas.DataFrame", search: str) -> "pandas.DataFrame":
    """Returns the rows of tickets that were found on a task, part or data set.

    Raises:
      Lacking: there are none.
      NotAsked: the part is of less than two classes.
    """
    selecting.refuse_lacking(tickets, ("ticket_task", "ticket_subset"))
    is_own = tickets["ticket_dataset"] == tickets["dataset"]
    is_whole = tickets["ticket_subset"].isna()
    is_labels = tickets["ticket_task"] == LABELS
    if ":" in search:
        found = tickets[is_own & is_labels & (tickets["ticket_subset"] == search)]
    elif search == "semi_supervised":
        # Whichever part has labels.
        found = tickets[is_own & (tickets["ticket_task"] == search)]
    elif search in set(tickets["ticket_dataset"]) - set(tickets["dataset"]):
        is_other = tickets["ticket_dataset"] == search
        found = tickets[is_other & is_labels & is_whole]
    else:
        found = tickets[is_own & is_whole & (tickets["ticket_task"] == search)]
    if not len(found):
        _refuse_too_few_classes(tickets, search)
        experiment = f"low_shot --subsets={search}" if ":" in search else None
        raise Lacking(f"no tickets of {search}", experiment=experiment)
    return found


def _refuse_too_few_classes(tickets: "pandas.DataFrame", search: str) -> None:
    """Raises NotAsked if a part of a data set has not two classes to tell apart."""
    kind, _, part = search.partition(":")
    chance = facts.chance_error(tickets)
    if kind != CLASSES or chance is None:
        return
    num_classes = round(1 / (1 - chance))
    if float(part) * num_classes < 2:
        raise NotAsked(f"the data set has {num_classes} classes, too few for {search}")


def latest(tickets: "pandas.DataFrame") -> "pandas.DataFrame":
    """Returns the rows of the latest k."""
    return tickets[tickets[K] == tickets[K].max()]


def whole(tickets: "pandas.DataFrame") -> "pandas.DataFrame":
    """Returns the rows of networks in which all that the recipe prunes was pruned."""
    selecting.refuse_lacking(tickets, ("first_convolutions",))
    return tickets[tickets["first_convolutions"].isna()]


def compared(
    one: "pandas.DataFrame",
    other: "pandas.DataFrame",
    *,
    densities: tuple[float, float] = ALL,
) -> "pandas.DataFrame":
    """Returns accuracies less others, at the densities that both have in a range.

    In every replicate that has both at all: means are over the same densities in each.
    Dense networks are compared with all.

    Raises:
      Lacking: there is no such density, or no replicate in both.
    """
    low, high = densities
    if list(other.columns) == [1.0]:
        differences = one.sub(other[1.0], axis="index")
    else:
        differences = one - other
    kept = [at for at in differences.columns if low <= at <= high]
    differences = differences[kept].dropna(axis="columns", how="all")
    differences = differences.dropna(how="all").dropna(axis="columns")
    if not differences.size:
        told = f"of {low:g}" if low == high else f"from {low:g} to {high:g}"
        raise Lacking(f"no replicate has both at a density {told}")
    return differences


def _near(
    density: float, tickets: "pandas.DataFrame", *frames: "pandas.DataFrame"
) -> tuple[float, float]:
    """Returns the density of all tables that is nearest to one, as a range.

    Args:
      density: the one.
      tickets: rows of one setting.
      *frames: tables, a column a density.

    Raises:
      Lacking: none is near.
      NotAsked: none of the levels can be.
    """
    common = set.intersection(*(set(frame.columns) for frame in frames))
    nearest = selecting.nearest(density, sorted(common))
    if nearest is not None:
        return nearest, nearest
    raise selecting.without_level(density, tickets[tickets["level"] > 0])


def difference(
    tickets: "pandas.DataFrame",
    *,
    searches: tuple[str, str],
    densities: tuple[float, float] | float = ALL,
) -> "pandas.Series":
    """LS: accuracy of tickets of one search less those of another, by replicate.

    `densities`: a range over which the mean is taken, or one density.
    """
    one, other = (accuracies(whole(tickets), search) for search in searches)
    if isinstance(densities, float):
        densities = _near(densities, tickets, one, other)
    return compared(one, other, densities=densities).mean(axis="columns")


def _trend(
    tickets: "pandas.DataFrame", *, searches: tuple[str, str]
) -> "pandas.Series":
    """LS: rank correlation of such a difference with sparsity, by replicate."""
    one, other = (accuracies(whole(tickets), search) for search in searches)
    long = compared(one, other).stack().rename("difference").reset_index()
    long["sparsity"] = 1 - long["density"]
    return selecting.rank_correlation(long, "difference", along="sparsity")


def _at(densities: tuple[float, float] | float) -> str:
    """Returns in words which densities are meant."""
    if isinstance(densities, float):
        return f"at {percent(densities)}"
    low, high = densities
    if not low:
        return "over all densities" if high == 1 else f"below {100 * high:.0f}%"
    return f"from {100 * low:.0f}% on"


_FIGURE_1 = (
    "Figure 1, Section 4.1",
    "label_agnostic --ticket_tasks=labels,rotation,exemplar",
)
_IMAGES = ("Figure 3, Section 4.2", "low_shot")
_CLASSES = (_IMAGES[0], "low_shot --subsets=classes:0.3,classes:0.1,classes:0.01")
_SEMI = ("Figure 5 (a), Section 4.3", "semi_supervised")
_PERMUTED = ("Figure 4, Section 4.4", "permuted_labels")
_OF_CIFAR10 = ("Figure 10, Appendix F", "low_shot")
_REINIT = ("Figure 11, Appendix G", "reinitialization")
_NOT_ALEXNET, _RESNET50 = (*CIFAR10, RESNET50), (RESNET50,)
_FRESH = f"{LABELS}{REINITIALIZED}"
# What the text says in numbers, or Tables 2 to 8 where it says none.
_REPORTED = {
    "P1": "92.68 and 92.68 (VGG-19), 86.44 and 86.96 (ResNet-18)",
    "P2.1": "0.7 at 80% to 29 at 0.2% (ResNet-50)",
    "P2.3": "-0.7 (ResNet-50)",
    "P3.1": "-4.3 (ResNet-50)",
    "P4.1": "-13.9",
    "P4.2": "-19.2",
    "P6": "1 to 4 points",
    "P7.3": "25.6 +- 10.5 beside 52.1 at 0.5%",
    "P10": "-0.1 at 80%, then 0.2 to 7.9",
    "P11.1": "above from 64% to 6.9%, below from 3.5% on",
    "P19": "0.3 to 0.8 (ResNet-50)",
}
# An ID, the claim, the accuracy of what less that of what, where it has to lie, at
# which densities, of which networks, and where the paper says it and what measures it.
for _id, _says, _one, _other, _claimed, _densities, _networks, (_source, _command) in (
    ("P1", "tickets of rotation are as good as those of labels at 6.9%", "rotation")
    + (LABELS, _ALIKE, 0.069, CIFAR10, _FIGURE_1),
    ("P2.1", "tickets of rotation are better than random ones", "rotation")
    + ("random", above(0.0), ALL, _NOT_ALEXNET, _FIGURE_1),
    ("P2.2", "tickets of exemplar are better than random ones", "exemplar")
    + ("random", above(0.0), ALL, _NOT_ALEXNET, _FIGURE_1),
    ("P2.3", "where little is pruned tickets of exemplar beat random ones", "exemplar")
    + ("random", above(0.0), 0.8, _NOT_ALEXNET, _FIGURE_1),
    ("P3.1", "tickets of rotation come near labels at very low density", "rotation")
    + (LABELS, at_least(-SIMILAR), 0.005, _NOT_ALEXNET, _FIGURE_1),
    ("P3.2", "tickets of exemplar come near labels at very low density", "exemplar")
    + (LABELS, at_least(-SIMILAR), 0.005, _NOT_ALEXNET, _FIGURE_1),
    ("P4.1", "tickets of rotation are far below those of labels", "rotation")
    + (LABELS, below(-SIMILAR), 0.018, (ALEXNET,), _FIGURE_1),
    ("P4.2", "tickets of exemplar are far below those of labels", "exemplar")
    + (LABELS, below(-SIMILAR), 0.018, (ALEXNET,), _FIGURE_1),
    ("P6", "with moderate pruning a tenth of the images costs 1 to 4 points", LABELS)
    + ("images:0.1", between(1.0, 4.0), MODERATE, _RESNET50, _IMAGES),
    ("P7.1", "beyond 90% pruned 30% of the images do as all", "images:0.3")
    + (LABELS, _SIMILAR, SPARSE, _RESNET50, _IMAGES),
    ("P7.2", "beyond 90% pruned 10% of the images do as all", "images:0.1")
    + (LABELS, _SIMILAR, SPARSE, _RESNET50, _IMAGES),
    ("P7.3", "beyond 90% pruned 1% of the images do as all", "images:0.01")
    + (LABELS, _SIMILAR, SPARSE, _RESNET50, _IMAGES),
    ("P8", "the number of classes has little effect", "classes:0.01")
    + ("classes:0.3", _SIMILAR, ALL, _RESNET50, _CLASSES),
    ("P10", "a tenth of the labels is better than none", "images:0.1")
    + ("rotation", above(0.0), ALL, _RESNET50, _SEMI),
    ("P11.1", "semi-supervised tickets beat those of a tenth", "semi_supervised")
    + ("images:0.1", above(0.0), ALL, _RESNET50, _SEMI),
    ("P11.2", "semi-supervised tickets beat those of no labels", "semi_supervised")
    + ("rotation", above(0.0), ALL, _RESNET50, _SEMI),
    ("P14", "permuted labels do as adjusted random pruning", "permuted_labels")
    + ("adjusted random", _ALIKE, ALL, CIFAR10, _PERMUTED),
    ("P16.1", "tickets of labels lose much by reinitialization", LABELS)
    + (_FRESH, above(1.0), ALL, IMAGENET, _REINIT),
    ("P16.2", "tickets of rotation lose nothing by reinitialization", "rotation")
    + (f"rotation{REINITIALIZED}", _ALIKE, ALL, IMAGENET, _REINIT),
    ("P16.3", "labels and rotation are alike, reinitialized", _FRESH)
    + (f"rotation{REINITIALIZED}", _ALIKE, ALL, IMAGENET, _REINIT),
    ("P16.4", "down to the natural sparsity reinitialization costs nothing", LABELS)
    + (_FRESH, _ALIKE, (0.2, 1.0), CIFAR10, _REINIT),
    ("P16.5", "below the natural sparsity reinitialization costs", LABELS)
    + (_FRESH, above(0.0), SPARSE, CIFAR10, _REINIT),
    ("P17.1", "a tenth of the images still finds reasonable tickets", "images:0.1")
    + (LABELS, above(-SIMILAR), ALL, (VGG19,), _OF_CIFAR10),
    ("P17.2", "a tenth of the images finds tickets as random ones", "images:0.1")
    + ("random", _ALIKE, ALL, (RESNET18,), _OF_CIFAR10),
    ("P19", "with moderate pruning tickets of labels match the dense network", LABELS)
    + ("dense", at_least(-ALIKE), (0.25, 1.0), (*CIFAR10, *IMAGENET), _FIGURE_1),
):
    of_tickets(
        f"LS-{_id}",
        says=_says,
        source=_source,
        networks=_networks,
        effect=f"accuracy of {_one} less {_other}, {_at(_densities)}",
        claimed=_claimed,
        command=_command,
        reported=_REPORTED.get(_id, ""),
    )(functools.partial(difference, searches=(_one, _other), densities=_densities))

for _id, _task in (("P2.4", "rotation"), ("P2.5", "exemplar")):
    of_tickets(
        f"LS-{_id}",
        says=f"the more is pruned, the more tickets of {_task} beat random ones",
        source=_FIGURE_1[0],
        networks=_NOT_ALEXNET,
        effect=f"rank correlation of accuracy of {_task} less random with sparsity",
        claimed=above(0.0),
        command=_FIGURE_1[1],
        unit="correlation",
    )(functools.partial(_trend, searches=(_task, "random")))
