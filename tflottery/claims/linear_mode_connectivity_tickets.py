"""The claims of *Linear Mode Connectivity* (LMC) on sparse networks.

Figures 5 to 8, Appendices A and E, at the density that the paper studies in each
network, unless a claim says otherwise; see `linear_mode_connectivity` for the rest. A
ticket matches whose accuracy is within one standard deviation of the dense mean.

Left out, since it says what 0 cannot: that the distance of stable tickets is not zero
(Appendix E).
"""

import functools
from collections.abc import Collection
from typing import TYPE_CHECKING

from tflottery.claims import selecting
from tflottery.claims.judging import above, at_least, below, between
from tflottery.claims.linear_mode_connectivity import (
    LENET,
    NEAR_CHANCE,
    RESNET20,
    RESNET20_LOW,
    RESNET20_WARMUP,
    RESNET50,
    STABLE,
    UNSTABLE,
    VGG16,
    VGG16_LOW,
    VGG16_WARMUP,
    above_chance,
    instability,
    stable_at,
    with_ends,
)
from tflottery.claims.selecting import PERCENT, K, Lacking, NotAsked, select, studied
from tflottery.core.registry import CLAIMS

if TYPE_CHECKING:
    import pandas

# Those whose tickets are stable from initialization on, and all.
STABLE_TICKETS = (LENET, RESNET20_LOW, RESNET20_WARMUP, VGG16_LOW, VGG16_WARMUP)
ALL = (*STABLE_TICKETS, *UNSTABLE)
# The paper has no distances of those of ImageNet.
SMALL = (*STABLE_TICKETS, RESNET20, VGG16)
NOT_LENET = tuple(network for network in ALL if network is not LENET)
RANDOM = ("random_pruning", "random_reinit")
# In points: accuracies of random subnetworks that the paper calls the same.
ALIKE = 1.0
_A_LITTLE = between(0.0, STABLE)

_EVERY_KIND = "instability --subnetworks=dense,imp,random_pruning,random_reinit"
_of_networks = functools.partial(
    CLAIMS.register,
    table="accuracy",
    unit="points",
    source="Figure 5, Section 4.1",
    command="lottery --rewind_iterations=0",
)
_of_pairs = functools.partial(
    CLAIMS.register,
    table="instability",
    unit="points",
    source="Figure 7, Section 4.2",
    command=_EVERY_KIND,
)


def _of_kind(networks: "pandas.DataFrame", kind: str) -> "pandas.Series":
    """Returns the accuracy of subnetworks of k = 0 at the studied density."""
    return selecting.accuracy(studied(networks), subnetwork=kind, rewind_iteration=0)


def _margin_at_initialization(networks: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 5: how far tickets of k = 0 lie above the limit of matching."""
    dense = selecting.accuracy(networks, subnetwork="dense")
    return selecting.matching_margin(_of_kind(networks, "imp"), dense)


for _id, _says, _networks, _claimed in (
    ("F5.1", "tickets of k = 0 match", STABLE_TICKETS, at_least(0.0)),
    ("F5.4", "tickets of k = 0 do not match", UNSTABLE, below(0.0)),
):
    _of_networks(
        f"LMC-{_id}",
        says=_says,
        networks=_networks,
        effect="accuracy of IMP minus the lowest that matches",
        claimed=_claimed,
    )(_margin_at_initialization)


def _over_random(networks: "pandas.DataFrame", *, kind: str) -> "pandas.Series":
    """LMC, Figure 5: tickets of k = 0 beside random subnetworks, accuracy."""
    return (_of_kind(networks, "imp") - _of_kind(networks, kind)).dropna()


for _number, _kind in enumerate(RANDOM):
    for _id, _word, _networks, _claimed in (
        (f"F5.{2 + _number}", "better than", STABLE_TICKETS, above(0.0)),
        (f"F5.{5 + _number}", "about as good as", UNSTABLE, between(-ALIKE, ALIKE)),
    ):
        _of_networks(
            f"LMC-{_id}",
            says=f"tickets of k = 0 are {_word} {_kind.replace('_', ' ')}",
            networks=_networks,
            effect="difference in accuracy",
            claimed=_claimed,
        )(functools.partial(_over_random, kind=_kind))


def _at_initialization(pairs: "pandas.DataFrame", *, kind: str) -> "pandas.Series":
    """LMC, Figure 6: the instability of subnetworks of k = 0."""
    own = select(studied(pairs), subnetwork=kind, rewind_iteration=0)
    return instability(own)


for _id, _kind, _says, _networks, _claimed in (
    ("1", "imp", "tickets of k = 0 are stable", STABLE_TICKETS, below(STABLE)),
    ("2", "imp", "tickets of k = 0 are not stable", UNSTABLE, above(STABLE)),
    ("5", RANDOM[0], "random pruning rises a little", (LENET,), _A_LITTLE),
    ("6", RANDOM[1], "random reinit rises a little", (LENET,), _A_LITTLE),
):
    _of_pairs(
        f"LMC-F6.{_id}",
        says=_says,
        source="Figure 6, Section 4.2",
        networks=_networks,
        effect="instability at k = 0, test",
        claimed=_claimed,
        command=f"{_EVERY_KIND} --rewind_iterations=0",
    )(functools.partial(_at_initialization, kind=_kind))


def _random_line(points: "pandas.DataFrame", *, kind: str) -> "pandas.Series":
    """LMC, Figure 6: the highest error between random subnetworks of k = 0."""
    own = select(studied(points), subnetwork=kind, rewind_iteration=0)
    return above_chance(own, split="test")


for _number, _kind in enumerate(RANDOM):
    CLAIMS.register(
        f"LMC-F6.{3 + _number}",
        says=f"{_kind.replace('_', ' ')} of k = 0 is near chance on the line",
        source="Figure 6, Section 4.2",
        networks=NOT_LENET,
        table="interpolation",
        effect="highest test error on the line, above chance",
        unit="points",
        claimed=above(-NEAR_CHANCE),
        reported="near chance",
        command=f"{_EVERY_KIND} --rewind_iterations=0",
    )(functools.partial(_random_line, kind=_kind))

# What stands in the text: iterations 500 and 1,000 of 63,000, and epoch 4 of 90.
for _number, _network, _part, _k in (
    (1, RESNET20, 0.008, "k = 500"),
    (2, VGG16, 0.016, "k = 1,000"),
    (3, RESNET50, 0.044, "epoch 4"),
):
    _of_pairs(
        f"LMC-F7.{_number}",
        says=f"tickets are stable from {_part:.1%} of the training on",
        networks=(_network,),
        effect="instability at that k, test",
        claimed=below(STABLE),
        reported=f"stable from about {_k} on",
        command=f"instability --subnetworks=imp --rewind_iterations=0,{_part:.1%}",
    )(functools.partial(stable_at, fraction=_part, kind="imp"))


def _unstable_ks(pairs: "pandas.DataFrame", ks: Collection[int]) -> "pandas.Series":
    """Returns how many of these k there are up to the last unstable one, by replicate.

    Of replicates that were measured at all of them; a training that diverged was not.
    """
    by_k = pairs.groupby(["replicate", K])["test_instability"].mean().unstack()
    by_k = PERCENT * by_k.reindex(columns=sorted(ks)).dropna()
    unstable = (by_k >= STABLE).iloc[:, ::-1].cummax(axis="columns")
    return unstable.sum(axis="columns")


@_of_pairs(
    "LMC-F7.4",
    says="tickets become stable no later than the dense network",
    networks=ALL,
    effect="k of the grid by which tickets are earlier",
    unit="k",
    claimed=at_least(0.0),
)
def tickets_are_stable_no_later(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 7: counted in the k that both were measured at."""
    tickets = select(studied(pairs), subnetwork="imp")
    own = _unstable_ks(tickets, set(tickets[K]))
    if len(own) and not own.any():
        # None can be earlier than tickets that are stable at every k.
        return own
    dense = select(pairs, subnetwork="dense")
    shared = set(dense[K]) & set(tickets[K])
    dense, tickets = (_unstable_ks(one, shared) for one in (dense, tickets))
    # Where both are unstable up to the last k, nobody knows which is stable first.
    is_known = (dense < len(shared)) | (tickets < len(shared))
    earlier = (dense - tickets)[is_known].dropna()
    if not len(earlier):
        told = "no k at which tickets or dense networks are known to be stable"
        raise Lacking(f"{told}, later ones may be: see --rewind_iterations")
    return earlier


@_of_pairs(
    "LMC-F7.5",
    says="tickets that match are stable",
    networks=ALL,
    effect="highest instability of a pair that matches, any k",
    claimed=below(STABLE),
)
def matching_tickets_are_stable(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Section 4.2: no unstable ticket matches."""
    tickets = select(studied(pairs), subnetwork="imp")
    selecting.refuse_lacking(tickets, ["matching"])
    if not tickets["matching"].notna().any():
        raise Lacking("of no pair of tickets it is known whether it matches")
    if not tickets["matching"].eq(True).any():
        raise Lacking("no pair of tickets matches, those of other k may")
    own = select(tickets, matching=True)
    return PERCENT * own.groupby("replicate")["test_instability"].max()


def _margin(pairs: "pandas.DataFrame") -> "pandas.Series":
    """Returns how far trained pairs lie above the limit of matching, in points."""
    dense = PERCENT * (1 - selecting.mean(pairs, "dense_test_error"))
    own = PERCENT * (1 - selecting.mean(with_ends(pairs), "test_error"))
    return selecting.matching_margin(own, dense)


@_of_pairs(
    "LMC-F7.6",
    says="tickets match from the k on at which they become stable",
    networks=ALL,
    effect="accuracy at the first stable k minus the lowest that matches",
    claimed=at_least(0.0),
)
def tickets_match_once_stable(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 7: stable in the mean over replicates, there and at every later k."""
    tickets = select(studied(pairs), subnetwork="imp")
    by_k = PERCENT * tickets.groupby(K)["test_instability"].mean().dropna()
    if not len(by_k):
        raise Lacking("test_instability was not measured")
    unstable = by_k.index[by_k >= STABLE]
    stable = by_k.index[by_k.index > unstable.max()] if len(unstable) else by_k.index
    if not len(stable):
        told = f"tickets are unstable up to k = {by_k.index.max()}"
        raise Lacking(f"{told}, later ones may be stable: see --rewind_iterations")
    return _margin(select(tickets, rewind_iteration=int(stable.min())))


def _least_unstable(pairs: "pandas.DataFrame", *, kind: str) -> "pandas.Series":
    """LMC, Figure 7: the lowest instability of random subnetworks over all k."""
    own = select(studied(pairs), subnetwork=kind)
    selecting.refuse_one_k(own)
    return PERCENT * selecting.at_every(own, "test_instability").min(axis="columns")


def _best_margin(pairs: "pandas.DataFrame", *, kind: str) -> "pandas.Series":
    """LMC, Figure 7: the margin of random subnetworks at their best k, by replicate."""
    own = select(studied(pairs), subnetwork=kind)
    selecting.refuse_one_k(own)
    dense = PERCENT * (1 - selecting.mean(own, "dense_test_error"))
    errors = selecting.at_every(with_ends(own), "test_error")
    best = PERCENT * (1 - errors.min(axis="columns"))
    return selecting.matching_margin(best, dense)


for _number, _kind in enumerate(RANDOM):
    _words = _kind.replace("_", " ")
    _of_pairs(
        f"LMC-F7.{7 + _number}",
        says=f"{_words} is stable at no k",
        networks=NOT_LENET,
        effect="lowest instability of any k, test",
        claimed=above(STABLE),
    )(functools.partial(_least_unstable, kind=_kind))
    _of_pairs(
        f"LMC-F7.{9 + _number}",
        says=f"{_words} matches at no k",
        networks=NOT_LENET,
        effect="highest accuracy of any k minus the lowest that matches",
        claimed=below(0.0),
    )(functools.partial(_best_margin, kind=_kind))


@_of_pairs(
    "LMC-F7.11",
    says="tickets of the latest k are worse than those of k = 0",
    networks=(RESNET20_LOW, VGG16_LOW),
    effect="test error at the latest k minus that at k = 0",
    claimed=above(0.0),
)
def latest_rewinding_hurts(pairs: "pandas.DataFrame") -> "pandas.Series":
    """LMC, Figure 7, on the variants of a low rate."""
    own = with_ends(select(studied(pairs), subnetwork="imp"))
    latest = int(own[K].max())
    if not latest:
        raise Lacking("no tickets of a k above 0")
    errors = [
        PERCENT * selecting.mean(select(own, rewind_iteration=k), "test_error")
        for k in (0, latest)
    ]
    return (errors[1] - errors[0]).dropna()


def _best_k_margin(networks: "pandas.DataFrame", *, beyond: bool) -> "pandas.Series":
    """LMC, Figure 8 and Appendix A: tickets of the k that is best in the mean.

    That they match at none, or do not at some, takes more than one k.
    """
    tickets = select(networks, subnetwork="imp")
    level = studied(tickets)["level"].iloc[0]
    wanted = int(level) + beyond
    if beyond and wanted not in set(tickets["level"]):
        options = f"--levels={wanted - 1},{wanted}"
        raise Lacking(f"no tickets of level {wanted}", options=options)
    own = select(tickets, level=wanted)
    dense = selecting.accuracy(networks, subnetwork="dense")
    accuracy = selecting.accuracy(own, rewind_iteration=selecting.best(own, by=K))
    margin = selecting.matching_margin(accuracy, dense)
    if beyond or margin.mean() < 0:
        selecting.refuse_one_k(own)
    return margin


for _number, _says, _beyond, _claimed in (
    (1, "at the studied density tickets match at some k", False, at_least(0.0)),
    (2, "at the next sparser level they match at no k", True, below(0.0)),
):
    _of_networks(
        f"LMC-F8.{_number}",
        says=_says,
        source="Figure 8, Appendix A",
        networks=ALL,
        effect="accuracy at the best k minus the lowest that matches",
        claimed=_claimed,
        command="lottery",
    )(functools.partial(_best_k_margin, beyond=_beyond))


def _relative_distance(pairs: "pandas.DataFrame", *, latest: bool) -> "pandas.Series":
    """LMC, Appendix E: the distance of tickets, as a part of that of random reinit."""
    own = studied(pairs)
    k = int(select(own, subnetwork="imp")[K].max()) if latest else 0
    tickets = select(own, subnetwork="imp", rewind_iteration=k)
    if (instability(tickets).mean() < STABLE) != latest:
        if latest:
            raise Lacking(
                f"tickets of k = {k} are unstable, later ones may be stable: see "
                "--rewind_iterations"
            )
        raise NotAsked("tickets of k = 0 are stable: the claim is not about them")
    distances = [
        selecting.mean(select(own, subnetwork=kind, rewind_iteration=k), "l2_distance")
        for kind in ("imp", "random_reinit")
    ]
    return (distances[0] / distances[1]).dropna()


for _number, _says, _latest, _networks, _claimed in (
    (
        1,
        "unstable tickets end as far apart as random",
        False,
        (RESNET20, VGG16),
        between(0.9, 1.1),
    ),
    (2, "stable tickets end nearer than random", True, SMALL, below(0.9)),
):
    _of_pairs(
        f"LMC-E.{_number}",
        says=_says,
        source="Appendix E",
        networks=_networks,
        effect=f"L2 distance by random reinit's, {'last k' if _latest else 'k = 0'}",
        unit="ratio",
        claimed=_claimed,
    )(functools.partial(_relative_distance, latest=_latest))
