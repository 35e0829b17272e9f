"""The claims of *Linear Mode Connectivity and the Lottery Ticket Hypothesis* (LMC).

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
from tflottery.claims.judging import PaperNetwork, above, below
from tflottery.claims.selecting import PERCENT, select
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

DENSE = (LENET, RESNET20, VGG16, RESNET50, INCEPTION)
STABLE = 2.0
# The highest error on a line "near chance" may lie below it by so much, in points.
NEAR_CHANCE = 10.0


def instability(pairs: "pandas.DataFrame", *, split: str = "test") -> "pandas.Series":
    """Returns the instability of pairs by replicate, in points."""
    return PERCENT * selecting.mean(pairs, f"{split}_instability")


@CLAIMS.register(
    "LMC-F2.1",
    says="the dense network is stable from initialization on",
    source="Figure 2, Section 3",
    networks=(LENET,),
    table="instability",
    effect="instability at k = 0, test",
    unit="points",
    claimed=below(1.0),
    reported="a small fraction of a point",
    command="instability --rewind_iterations=0",
)
def dense_is_stable_from_initialization(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 2 and Section 3, on Lenet."""
    return instability(select(pairs, subnetwork="dense", rewind_iteration=0))


def _above_chance(points: "pandas.DataFrame", split: str) -> "pandas.Series":
    """Returns how far the highest error on the lines lies above chance, in points."""
    chance = facts.chance_error(points)
    if chance is None:
        raise selecting.Lacking("chance is unknown: no config.json says the classes")
    line = ["replicate", "data_order_a", "data_order_b", "subnetwork"]
    highest = points.groupby(line)[f"{split}_error"].max().reset_index()
    return PERCENT * (selecting.mean(highest, f"{split}_error") - chance)


def _highest_error(points: "pandas.DataFrame", *, split: str) -> "pandas.Series":
    """LMC, Figure 2, on the networks of CIFAR-10 and ImageNet."""
    dense = select(points, subnetwork="dense", rewind_iteration=0)
    return _above_chance(dense, split)


for _number, _split in ((2, "test"), (3, "train")):
    CLAIMS.register(
        f"LMC-F2.{_number}",
        says=f"copies of k = 0 are near chance between their ends ({_split})",
        source="Figure 2, Section 3",
        networks=(RESNET20, VGG16, RESNET50, INCEPTION),
        table="interpolation",
        effect=f"highest {_split} error on the line at k = 0, above chance",
        unit="points",
        claimed=above(-NEAR_CHANCE),
        reported="chance",
        command="instability --rewind_iterations=0",
    )(functools.partial(_highest_error, split=_split))


@CLAIMS.register(
    "LMC-F3.1",
    says="the instability of the dense network falls as k grows",
    source="Figure 3, Section 3",
    networks=DENSE,
    table="instability",
    effect="rank correlation of instability with k, test",
    unit="correlation",
    claimed=below(0.0),
    reported="falls",
    command="instability",
)
def instability_falls_with_k(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 3."""
    return selecting.rank_correlation(
        select(pairs, subnetwork="dense"), "test_instability", along="rewind_iteration"
    )
