"""The claims of *Linear Mode Connectivity and the Lottery Ticket Hypothesis* (LMC).

This file has those on dense networks (Figures 2 to 4, Appendix D), and
`linear_mode_connectivity_tickets` those on sparse ones (Figures 5 to 8, Appendix E).

Instability is in points of error, the mean over the pairs of a replicate, with batch
norm statistics interpolated. "Stable" is below two points of it, a proposal of ours:
the paper says "about 0".

No claims, for what they say is arithmetic or not in numbers: the percentages of
training that its k are, and that the distance of dense copies falls without a
threshold (Appendix D). That Lenet's dense network is stable at k = 0 (Figure 3) is
LMC-F2.1.
"""

import functools
from typing import TYPE_CHECKING

from tflottery.claims import selecting
from tflottery.claims.judging import PaperNetwork, above, below, between
from tflottery.claims.selecting import PERCENT, K, Lacking, select
from tflottery.core.registry import CLAIMS
from tflottery.figures import facts

if TYPE_CHECKING:
    import pandas

LENET = PaperNetwork("lenet", "standard", "mnist", 24_000)
RESNET20, RESNET20_LOW, RESNET20_WARMUP = (
    PaperNetwork("resnet20", variant, "cifar10", 63_000)
    for variant in ("standard", "low", "warmup")
)
VGG16, VGG16_LOW, VGG16_WARMUP = (
    PaperNetwork("vgg16", variant, "cifar10", 63_000)
    for variant in ("standard", "low", "warmup")
)
RESNET50 = PaperNetwork("resnet50", "standard", "imagenet2012", 112_603)
INCEPTION = PaperNetwork("inception_v3", "standard", "imagenet2012", 213_945)

# Those that are unstable at initialization, and all.
UNSTABLE = (RESNET20, VGG16, RESNET50, INCEPTION)
DENSE = (LENET, *UNSTABLE)
# The paper has none of Inception-v3 on train images.
UNSTABLE_TRAIN = (RESNET20, VGG16, RESNET50)

# In points. The highest error on a line is "near chance" down to so much below it.
STABLE, NEAR_CHANCE = 2.0, 10.0

_of_pairs = functools.partial(CLAIMS.register, table="instability", unit="points")
_of_lines = functools.partial(CLAIMS.register, table="interpolation", unit="points")
_of_epochs = functools.partial(
    CLAIMS.register,
    table="throughout",
    source="Figure 4, Section 3",
    networks=(RESNET20, VGG16),
    command="instability --throughout",
)


def instability(pairs: "pandas.DataFrame") -> "pandas.Series":
    """Returns the instability of pairs on test images by replicate, in points."""
    return PERCENT * selecting.mean(pairs, "test_instability")


def with_ends(pairs: "pandas.DataFrame") -> "pandas.DataFrame":
    """Returns pairs with the mean test error of their two networks as a column more."""
    selecting.refuse_lacking(pairs, ["test_error_a", "test_error_b"])
    return pairs.assign(test_error=(pairs["test_error_a"] + pairs["test_error_b"]) / 2)


def _chance(table: "pandas.DataFrame") -> float:
    """Returns the error of guessing, in [0, 1]; raises Lacking if it is unknown."""
    chance = facts.chance_error(table)
    if chance is None:
        raise Lacking("chance is unknown: no config.json says how many classes")
    return chance


def above_chance(points: "pandas.DataFrame", *, split: str) -> "pandas.Series":
    """Returns how far the highest error on the lines lies above chance, in points."""
    line = ["replicate", "data_order_a", "data_order_b", "subnetwork"]
    highest = points.groupby(line)[f"{split}_error"].max().reset_index()
    return PERCENT * (selecting.mean(highest, f"{split}_error") - _chance(points))


@_of_pairs(
    "LMC-F2.1",
    says="the dense network is stable from initialization on",
    source="Figure 2, Section 3",
    networks=(LENET,),
    effect="instability at k = 0, test",
    claimed=below(1.0),
    reported="a small fraction of a point",
    command="instability --rewind_iterations=0",
)
def dense_is_stable_from_initialization(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 2 and Section 3, on Lenet."""
    return instability(select(pairs, subnetwork="dense", rewind_iteration=0))


def _dense_line(points: "pandas.DataFrame", *, split: str) -> "pandas.Series":
    """LMC, Figure 2, on the networks of CIFAR-10 and ImageNet."""
    dense = select(points, subnetwork="dense", rewind_iteration=0)
    return above_chance(dense, split=split)


for _number, _split, _networks in ((2, "test", UNSTABLE), (3, "train", UNSTABLE_TRAIN)):
    _of_lines(
        f"LMC-F2.{_number}",
        says=f"copies of k = 0 are near chance between their ends ({_split})",
        source="Figure 2, Section 3",
        networks=_networks,
        effect=f"highest {_split} error on the line at k = 0, above chance",
        claimed=above(-NEAR_CHANCE),
        reported="chance",
        command=f"instability{' --splits=train,test' * (_split == 'train')} "
        "--rewind_iterations=0",
    )(functools.partial(_dense_line, split=_split))


@_of_pairs(
    "LMC-F3.1",
    says="the instability of the dense network falls as k grows",
    source="Figure 3, Section 3",
    networks=DENSE,
    effect="rank correlation of instability with k, test",
    unit="correlation",
    claimed=below(0.0),
    reported="falls",
    command="instability",
)
def instability_falls_with_k(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 3."""
    dense = select(pairs, subnetwork="dense")
    return selecting.rank_correlation(dense, "test_instability", along=K)


def stable_at(
    pairs: "pandas.DataFrame", *, fraction: float, kind: str
) -> "pandas.Series":
    """LMC, Figures 3 and 7: the last k up to a fraction of the training."""
    own = select(pairs, subnetwork=kind)
    own = own if kind == "dense" else selecting.studied(own)
    k = selecting.k_within(own, fraction)
    return instability(select(own, rewind_iteration=k))


# What stands in the text: iteration 2,000 of 63,000, and epoch 18 of 90.
for _number, _networks, _part, _k in (
    (2, (RESNET20, VGG16), 0.032, "k = 2,000"),
    (3, (RESNET50,), 0.2, "epoch 18"),
):
    _of_pairs(
        f"LMC-F3.{_number}",
        says=f"the dense network is stable from {_part:.1%} of the training on",
        source="Figure 3, Section 3",
        networks=_networks,
        effect="instability at that k, test",
        claimed=below(STABLE),
        reported=f"stable from {_k} on",
        command=f"instability --rewind_iterations=0,{_part:.1%}",
    )(functools.partial(stable_at, fraction=_part, kind="dense"))


@_of_pairs(
    "LMC-F3.4",
    says="the instability of dense networks is alike on train and test images",
    source="Figure 3, Section 3",
    networks=(LENET, *UNSTABLE_TRAIN),
    effect="train minus test instability, mean over k",
    claimed=between(-STABLE, STABLE),
    command="instability --splits=train,test",
)
def train_instability_is_like_test(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 3."""
    dense = select(pairs, subnetwork="dense")
    selecting.refuse_lacking(dense, ["train_instability", "test_instability"])
    difference = dense["train_instability"] - dense["test_instability"]
    return PERCENT * selecting.mean(
        dense.assign(train_instability=difference), "train_instability"
    )


@_of_pairs(
    "LMC-F3.5",
    says="the instability of the dense network is higher on train images",
    source="Figure 3, Section 3",
    networks=(RESNET50,),
    effect="train minus test instability, mean over k",
    claimed=above(0.0),
    command="instability --splits=train,test",
)
def train_instability_is_higher(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 3, on ResNet-50."""
    return train_instability_is_like_test(pairs)


@_of_epochs(
    "LMC-F4.1",
    says="the instability of k = 0 rises along the training",
    effect="rank correlation of instability with the iteration, test",
    unit="correlation",
    claimed=above(0.0),
    reported="rises",
)
def instability_rises_along_training(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 4."""
    own = select(pairs, subnetwork="dense", rewind_iteration=0)
    return selecting.rank_correlation(own, "test_instability", along="iteration")


@_of_epochs(
    "LMC-F4.2",
    says="the instability of k = 0 follows what networks gain over chance",
    effect="correlation of instability with chance minus test error, over epochs",
    unit="correlation",
    claimed=above(0.0),
    reported="tracks",
)
def instability_follows_the_gain(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 4: no line can rise above chance."""
    own = with_ends(select(pairs, subnetwork="dense", rewind_iteration=0))
    selecting.refuse_lacking(own, ["test_instability"])
    own = own.assign(gain=_chance(own) - own["test_error"])
    columns = ["test_instability", "gain"]
    epochs = own.groupby(["replicate", "iteration"])[columns].mean().dropna()
    # Two epochs are always on a line.
    epochs = epochs.groupby("replicate").filter(lambda one: len(one) > 2)
    if not len(epochs):
        raise Lacking("a correlation takes at least 3 epochs")
    return epochs.groupby("replicate").corr().xs("gain", level=1).iloc[:, 0]


@_of_epochs(
    "LMC-F4.3",
    says="the larger k, the slower the instability rises",
    effect="rank correlation with k of instability, mean over epochs",
    unit="correlation",
    claimed=below(0.0),
    reported="rises more slowly",
)
def instability_rises_slower(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 4: over the epochs that all k have, those after the latest."""
    dense = select(pairs, subnetwork="dense")
    shared = set.intersection(
        *(set(own["iteration"]) for _, own in dense.groupby("rewind_iteration"))
    )
    if not shared:
        raise Lacking("no epoch that all k have")
    return instability_falls_with_k(select(dense, iteration=tuple(shared)))


@_of_epochs(
    "LMC-F4.4",
    says="from 3.2% of the training on, copies are stable at every epoch",
    effect="highest instability of any epoch, test",
    unit="points",
    claimed=below(STABLE),
    reported="stable at every epoch for k = 2,000",
)
def stable_throughout(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 4 and Section 3."""
    dense = select(pairs, subnetwork="dense")
    own = select(dense, rewind_iteration=selecting.k_within(dense, 0.032))
    epochs = own.groupby(["replicate", "iteration"])["test_instability"].mean()
    return PERCENT * epochs.groupby("replicate").max()


@_of_epochs(
    "LMC-F4.5",
    says="no line rises above chance at any epoch",
    effect="highest test error on any line, above chance",
    unit="points",
    claimed=below(STABLE),
)
def never_above_chance(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 4."""
    own = with_ends(select(pairs, subnetwork="dense"))
    gain = own["test_instability"] + own["test_error"] - _chance(own)
    return PERCENT * gain.groupby(own["replicate"]).max()


@_of_pairs(
    "LMC-D.1",
    says="the distance of dense copies falls as k grows",
    source="Appendix D",
    networks=(LENET, RESNET20, VGG16),
    effect="rank correlation of L2 distance with k",
    unit="correlation",
    claimed=below(0.0),
    reported="falls",
    command="instability",
)
def distance_falls_with_k(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Appendix D."""
    dense = select(pairs, subnetwork="dense")
    return selecting.rank_correlation(dense, "l2_distance", along=K)
