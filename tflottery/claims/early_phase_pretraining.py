"""The claims of *The Early Phase of Neural Network Training* (EP) on pre-training.

Figures 9 and 10, and A9 to A12 for the other networks. "40 epochs", a quarter of the
training, is the longest pre-training that was measured, if it is about that long, "up
to 10" are all others, and k = 500 is the first k at which the network's recipe perturbs
tickets, or else the k that stands for it (`early_phase_perturbations.k_of_others`).
"""

import functools
from typing import TYPE_CHECKING

from tflottery.claims import selecting
from tflottery.claims.early_phase import (
    ALIKE,
    FIRST,
    NETWORKS,
    RESNET20,
    VGG13,
    refuse_without_gain,
    tickets,
)
from tflottery.claims.early_phase_perturbations import k_of_others
from tflottery.claims.judging import above, below, between
from tflottery.claims.selecting import PERCENT, K, Lacking, select, studied
from tflottery.core.registry import CLAIMS

if TYPE_CHECKING:
    import pandas

LENGTHS = {
    "shorter": "up to 10 epochs",
    "longest": "40 epochs",
    "any": "any length",
    "best": "the best length",
}
# Part of the training from which on a pre-training counts as one of the paper's 40
# epochs of 160; its next shorter one is a sixteenth.
_LONG = 0.15
_of_pretraining = functools.partial(
    CLAIMS.register, table="pretrained", unit="points", networks=NETWORKS
)


def _pretrained(
    networks: "pandas.DataFrame", pretext: str, *, sparse: bool = False
) -> "pandas.DataFrame":
    """Returns subnetworks of the studied density after pre-training on a pretext.

    Raises:
      Lacking: there are none.
    """
    return select(studied(networks), pretext=pretext, sparse_pretraining=sparse)


def _ordinary(networks: "pandas.DataFrame", *, first: bool) -> "pandas.Series":
    """Returns the accuracy of ordinary tickets: of k = 0, or the first k after it."""
    own = tickets(networks[networks["pretext"].isna()])
    return selecting.accuracy(own, rewind_iteration=_first_k(own) if first else 0)


def _first_k(own: "pandas.DataFrame") -> int:
    """Returns the k that the paper's 500 stands for among these networks.

    Raises:
      Lacking: there is none after 0.
    """
    known = selecting.perturbed_k(own, 0)
    grid = f"0,{FIRST:.1%}"
    return known or k_of_others(own[own[K] > 0], 0, grid=grid)


def _pretraining_gain(
    networks: "pandas.DataFrame", *, pretext: str, epochs: str, first: bool
) -> "pandas.Series":
    """EP, Figure 9: accuracy of pre-trained tickets minus that of ordinary ones.

    `epochs`: of the longest pre-training, of all shorter ones, of any, in the mean, or
    of the length that does best.
    """
    own = select(_pretrained(networks, pretext), subnetwork="imp")
    lengths = own["pretraining_epochs"]
    is_longest = (lengths == lengths.max()) & _is_long(own)
    match epochs:
        case "longest" if not is_longest.any():
            raise Lacking(
                f"the longest pre-training on {pretext} has {lengths.max()} epochs, "
                "the paper's takes a quarter of the training: see --pretraining_epochs"
            )
        case "longest":
            own = own[is_longest]
        case "shorter":
            own = own[~is_longest]
        case "best":
            own = own[lengths == selecting.best(own, by="pretraining_epochs")]
    if not len(own):
        raise Lacking(f"one length of pre-training on {pretext}")
    if first:
        early, late = (_ordinary(networks, first=later) for later in (False, True))
        refuse_without_gain((late - early).dropna())
    errors = selecting.at_every(own, "test_error", along="pretraining_epochs")
    accuracy = PERCENT * (1 - errors.mean(axis="columns"))
    return (accuracy - _ordinary(networks, first=first)).dropna()


for _id, _pretext, _epochs, _first, _says, _claimed in (
    ("F9.1", "random_labels", "shorter", False, "is no gain", below(ALIKE)),
    ("F9.2", "random_labels", "longest", False, "hurts", below(0.0)),
    ("F9.3", "rotation", "longest", True, "does as k = 500", between(-ALIKE, ALIKE)),
    ("F9.4", "blur", "longest", True, "does as k = 500", between(-ALIKE, ALIKE)),
    ("F9.5", "blur_rotation", "any", False, "does as k = 0", between(-ALIKE, ALIKE)),
    ("A12.1", "blur_rotation", "best", False, "is a gain", above(0.0)),
):
    _length = LENGTHS[_epochs]
    _ordinary_k = "the first k" if _first else "0"
    _several = ", mean over lengths" if _epochs in ("shorter", "any") else ""
    _of_pretraining(
        f"EP-{_id}",
        says=f"pre-training on {_pretext.replace('_', ' ')} ({_length}) {_says}",
        source="Figure A12" if _id == "A12.1" else "Figure 9, Section 6",
        networks={"A12.1": (VGG13,), "F9.5": (RESNET20,)}.get(_id, NETWORKS),
        effect=f"difference in accuracy to tickets of {_ordinary_k}{_several}",
        claimed=_claimed,
        command=f"pretraining --pretext={_pretext}",
    )(
        functools.partial(
            _pretraining_gain, pretext=_pretext, epochs=_epochs, first=_first
        )
    )


def _is_long(networks: "pandas.DataFrame") -> "pandas.Series":
    """Returns of which networks the pre-training was about as long as the longest.

    Where no config.json says how long an epoch is, of all.
    """
    if "epoch_iterations" not in networks:
        return networks["pretraining_epochs"] > 0
    iterations = networks["pretraining_epochs"] * networks["epoch_iterations"]
    return iterations >= _LONG * networks["training_iterations"]


def _sparse_pretrained(
    networks: "pandas.DataFrame", *, kind: str
) -> "pandas.DataFrame":
    """Returns subnetworks after the longest pre-training on rotation when sparse."""
    own = select(_pretrained(networks, "rotation", sparse=True), subnetwork=kind)
    return own[own["pretraining_epochs"] == own["pretraining_epochs"].max()]


def _sparse_gain(networks: "pandas.DataFrame", *, kind: str) -> "pandas.Series":
    """EP, Figure 10: subnetworks of 0 pre-trained on rotation, beside tickets of 0."""
    own = _sparse_pretrained(networks, kind=kind)
    accuracy = selecting.accuracy(own, rewind_iteration=0)
    return (accuracy - _ordinary(networks, first=False)).dropna()


for _number, _kind in enumerate(("imp", "random_pruning", "random_reinit"), start=1):
    _of_pretraining(
        f"EP-F10.{_number}",
        says=f"{_kind.replace('_', ' ')}, pre-trained: no better than tickets of 0",
        source="Figure 10, Section 6.4",
        networks=(RESNET20,),
        effect="difference in accuracy to tickets of 0",
        claimed=below(ALIKE),
        command="pretraining --sparse --pretext=rotation",
    )(functools.partial(_sparse_gain, kind=_kind))


@_of_pretraining(
    "EP-F10.4",
    says="tickets of k = 500 lose by sparse pre-training",
    source="Figure 10, Section 6.4",
    networks=(RESNET20,),
    effect="difference in accuracy",
    claimed=below(0.0),
    command="pretraining --sparse --pretext=rotation",
)
def sparse_pretraining_hurts(networks: "pandas.DataFrame") -> "pandas.Series":
    """EP, Figure 10, at the first k after 0."""
    own = _sparse_pretrained(networks, kind="imp")
    k = _first_k(own)
    ordinary = tickets(networks[networks["pretext"].isna()])
    found = [selecting.accuracy(one, rewind_iteration=k) for one in (own, ordinary)]
    return (found[0] - found[1]).dropna()
