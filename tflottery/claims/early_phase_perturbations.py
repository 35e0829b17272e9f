"""The claims of *The Early Phase of Neural Network Training* (EP) on perturbations.

Figures 4 to 8, and A4 to A8 for the other networks, of which the paper says that they
show the same: tickets at the density that is studied in each network, changed at the
first k at which it perturbs them (500 for ResNet-20) or the second (2,000); of networks
that perturb none by their recipe, at 0.8% and 3.2% of the training, as these are.

Left out: that the mean of a change is zero, which is true of any shuffle, and that
shuffles in layers are no larger than global ones (0.143 and 0.144), which no interval
tells apart. That shuffles with initial signs do as noise of like size is put as
EP-F6.5: they gain nothing.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

from tflottery.analysis import noise
from tflottery.claims import selecting
from tflottery.claims.early_phase import (
    ALIKE,
    FIRST,
    NETWORKS,
    SECOND,
    refuse_without_gain,
)
from tflottery.claims.judging import (
    ClaimedRange,
    Conditions,
    above,
    below,
    between,
)
from tflottery.claims.selecting import PERCENT, K, Lacking, NotAsked, select, studied
from tflottery.core.registry import CLAIMS

if TYPE_CHECKING:
    import pandas

# Where tickets are perturbed, as parts of the training.
_GRID = f"{FIRST:.1%},{SECOND:.1%}"
# What the accuracy of one is, beside that of another.
RELATIONS = {
    "as good as": between(-ALIKE, ALIKE),
    "no better than": below(ALIKE),
    "better than": above(0.0),
    "worse than": below(0.0),
}


@dataclasses.dataclass(frozen=True)
class Change:
    """A ticket that is changed at k before it trains, or one as it is.

    Attributes:
      name: how it is told.
      perturbation: column of a row; "none" is the ticket as it is.
      options: of the perturbation, "name=value" with spaces between; others are false.
      k: where it is rewound to; None: the k that the claim is about.
    """

    name: str
    perturbation: str = "none"
    options: str = ""
    k: int | None = None

    def fits(self, condition: object) -> bool:
        """Returns whether a row's condition is that of the change."""
        told = "" if condition != condition else str(condition)
        own = {one for one in told.split() if not one.endswith("=false")}
        return own == set(self.options.split())


def _mix(magnitudes: str, signs: str) -> Change:
    names = {"init": "0", "k": "k", "fresh": "fresh"}
    name = f"magnitudes {names[magnitudes]}, signs {names[signs]}"
    return Change(name, "sign_magnitude", f"mixes={magnitudes}:{signs}")


def _shuffle(scope: str, signs: str = "") -> Change:
    kept = {"": "", "kept": " keep_signs=true", "initial": " initial_signs=true"}[signs]
    where = {"globally": "globally"}.get(scope, f"in {scope}")
    name = f"shuffled {where}" + (f", signs {signs}" if signs else "")
    return Change(name, "shuffle", f"scope={scope}{kept}")


def _noise(scale: str) -> Change:
    return Change(f"noise of {scale} sigma", "gaussian_noise", f"noise_scales={scale}")


TICKET, START = Change("the ticket of k"), Change("the ticket of 0", k=0)
INITIAL = _mix("init", "init")


def _measured_k(networks: "pandas.DataFrame", position: int) -> int:
    """Returns the first (0) or second (1) k at which tickets were perturbed.

    Of networks that were perturbed at a k of their recipe it is the recipe's first or
    second: what is claimed of 500 is not asked of 2,000 where that alone was measured,
    nor, of the paper's whole trainings, of any other k. Of others see `k_of_others`.

    Raises:
      Lacking: there are not so many, or not that.
      NotAsked: the recipe has no second one.
    """
    changed = networks[(networks["perturbation"] != "none") & (networks[K] > 0)]
    known = set(changed[K])
    own = [selecting.perturbed_k(networks, at) for at in (0, 1)]
    papers = {(one.model, one.variant, one.iterations) for one in NETWORKS}
    names = ["model", "variant", "training_iterations"]
    is_papers = set(networks[names].itertuples(index=False, name=None)) <= papers
    if set(own) & known or (is_papers and own[0] is not None):
        if own[position] is None:
            told = f"the network's recipe perturbs k = {own[0]} alone"
            raise NotAsked(f"{told}: none stands for 2,000")
        if own[position] not in known:
            named = f"k = {own[position]}, see --rewind_iterations"
            raise Lacking(f"no tickets perturbed at {named}")
        return own[position]
    return k_of_others(changed, position, grid=_GRID)


def k_of_others(
    tickets: "pandas.DataFrame", position: int, *, grid: str | None = None
) -> int:
    """Returns the k that the paper's 500 (0) or 2,000 (1) stand for by no recipe.

    The last one up to the same part of the training; or, where there is none up to
    either, the first or second one, since its users know where rewinding works.

    Args:
      tickets: rows of one setting, of k above 0.
      position: which.
      grid: as of `selecting.k_within`.

    Raises:
      Lacking: there is none.
    """
    known = sorted(tickets[K].unique())
    if not known:
        options = f"--rewind_iterations={grid}" if grid else ""
        raise Lacking("no such tickets of a k above 0", options=options)
    by_part = [selecting.k_near(tickets, part) for part in (FIRST, SECOND)]
    if by_part == [None, None] and len(known) > position:
        return int(known[position])
    return selecting.k_within(tickets, (FIRST, SECOND)[position], grid=grid)


def _rows(networks: "pandas.DataFrame", change: Change, k: int) -> "pandas.DataFrame":
    """Returns the networks of a change at the studied density.

    Raises:
      Lacking: there are none.
    """
    selecting.refuse_lacking(networks, ["effective_std", "effective_mean"])
    # Beside what is changed at any k stand the tickets of 0.
    options = f"--rewind_iterations={k}"
    k = k if change.k is None else change.k
    tickets = select(studied(networks), subnetwork="imp")
    is_own = (tickets[K] == k) & (tickets["perturbation"] == change.perturbation)
    found = tickets[is_own & tickets["condition"].map(change.fits)]
    if not len(found):
        told = " ".join([change.name, f"({change.options})" * bool(change.options)])
        raise Lacking(f"not measured at k = {k}: {told.strip()}", options=options)
    sizes = found[["effective_std", "effective_mean"]]
    if change.perturbation != "none" and noise.is_none(sizes.to_numpy()):
        # Kernels of dense layers have no filters, so that nothing is shuffled.
        raise NotAsked(f"{change.name} changes nothing in this network")
    return found


def compared(
    networks: "pandas.DataFrame",
    *,
    one: Change,
    other: Change,
    position: int,
    falls_back: bool,
) -> "pandas.Series":
    """EP, Figures 4 to 7: the accuracy of one minus that of another, by replicate.

    What `falls_back` to tickets of 0 has to have something to lose.
    """
    k = _measured_k(networks, position)
    first, second = (_accuracy(networks, change, k) for change in (one, other))
    if falls_back:
        ticket, start = (_accuracy(networks, change, k) for change in (TICKET, START))
        refuse_without_gain((ticket - start).dropna())
    return (first - second).dropna()


def _accuracy(networks: "pandas.DataFrame", change: Change, k: int) -> "pandas.Series":
    """Returns the accuracy (%) of a change by replicate."""
    return PERCENT * (1 - selecting.mean(_rows(networks, change, k), "test_error"))


def _sizes_compared(
    networks: "pandas.DataFrame", *, one: Change, other: Change
) -> "pandas.Series":
    """EP, Section 5: the size of one change minus that of another, at the first k."""
    k = _measured_k(networks, 0)
    first, second = (
        selecting.mean(_rows(networks, change, k), "effective_std")
        for change in (one, other)
    )
    return (first - second).dropna()


# By ID: which k, one change, how it does beside the other.
COMPARISONS: dict[str, tuple[int, Change, str, Change]] = {
    "F4.1": (0, _mix("init", "k"), "as good as", INITIAL),
    "F4.2": (0, _mix("fresh", "k"), "as good as", INITIAL),
    "F4.3": (0, _mix("k", "init"), "better than", INITIAL),
    "F4.4": (0, _mix("k", "init"), "worse than", TICKET),
    "F4.5": (1, _mix("init", "k"), "as good as", _mix("k", "init")),
    "F4.6": (1, _mix("init", "k"), "worse than", TICKET),
    "F4.7": (1, _mix("k", "init"), "worse than", TICKET),
    "F5.1": (0, _shuffle("globally"), "no better than", START),
    "F5.2": (0, _shuffle("layers"), "no better than", START),
    "F5.3": (0, _shuffle("filters"), "better than", _shuffle("layers")),
    "F5.4": (0, _shuffle("filters"), "worse than", TICKET),
    "F5.5": (1, _shuffle("globally"), "no better than", START),
    "F5.6": (1, _shuffle("layers"), "no better than", START),
    "F5.7": (1, _shuffle("filters"), "better than", _shuffle("layers")),
    "F5.8": (1, _shuffle("filters"), "worse than", TICKET),
    "F6.1": (0, _shuffle("filters", "kept"), "better than", _shuffle("filters")),
    "F6.2": (0, _shuffle("layers", "kept"), "better than", _shuffle("layers")),
    "F6.3": (1, _shuffle("filters", "kept"), "better than", _shuffle("filters")),
    "F6.4": (1, _shuffle("layers", "kept"), "better than", _shuffle("layers")),
    "F6.5": (0, _shuffle("layers", "initial"), "no better than", START),
    "F7.1": (0, _noise("0.5"), "as good as", TICKET),
    "F7.2": (0, _noise("1"), "worse than", TICKET),
    "F7.3": (0, _noise("2"), "as good as", START),
    "F7.4": (0, _noise("3"), "as good as", START),
    "F7.5": (1, _noise("0.5"), "as good as", TICKET),
    "F7.6": (1, _noise("1"), "as good as", TICKET),
    "F7.7": (1, _noise("2"), "better than", START),
    "F8.3": (0, _mix("k", "init"), "better than", _mix("init", "k")),
}
# By ID: the smaller and the larger change of those of the first k, and by how much in
# the paper's ResNet-20.
SIZES: dict[str, tuple[Change, Change, str]] = {
    "F4.8": (_mix("k", "init"), _mix("init", "k"), "0.033 and 0.042"),
    "F5.9": (_shuffle("filters"), _shuffle("layers"), "0.092 and 0.143"),
    "F6.6": (
        _shuffle("filters", "kept"),
        _shuffle("layers", "initial"),
        "0.049 and 0.087",
    ),
}


def _command(one: Change, other: Change) -> str:
    """Returns the experiment that compares changes, with what it has to be told."""
    change = one if one.perturbation != "none" else other
    words = [f"perturbation --perturbation={change.perturbation}"]
    words += ["--keep_signs"] * ("keep_signs=true" in change.options)
    words += ["--initial_signs"] * ("initial_signs=true" in change.options)
    return " ".join(words)


for _id, (_position, _one, _relation, _other) in COMPARISONS.items():
    _claimed: ClaimedRange = RELATIONS[_relation]
    _which = ("1st", "2nd")[_position]
    CLAIMS.register(
        f"EP-{_id}",
        says=f"{_one.name}: {_relation} {_other.name}, {_which} k",
        source=f"Figure {_id[1]}, Section 5",
        networks=NETWORKS,
        table="perturbed",
        effect="difference in accuracy",
        unit="points",
        claimed=_claimed,
        command=_command(_one, _other),
    )(
        functools.partial(
            compared,
            one=_one,
            other=_other,
            position=_position,
            falls_back=_relation == "as good as" and _other in (START, INITIAL),
        )
    )

for _id, (_smaller, _larger, _reported) in SIZES.items():
    CLAIMS.register(
        f"EP-{_id}",
        says=f"{_smaller.name}: smaller than {_larger.name}",
        source="Section 5",
        networks=NETWORKS,
        table="perturbed",
        effect="difference of effective stds, first k",
        unit="weight",
        claimed=below(0.0),
        reported=_reported,
        command=_command(_smaller, _larger),
    )(functools.partial(_sizes_compared, one=_smaller, other=_larger))


def _size_and_accuracy(points: "pandas.DataFrame", *, position: int) -> Conditions:
    """EP, Figure 8: a point a change at the studied density, means over replicates."""
    own = studied(points)
    own = own[own[K] == _measured_k(own, position)]
    own = own.dropna(subset=["effective_std", "test_error_mean"])
    if not len(own):
        raise Lacking("no condition was measured")
    accuracy = PERCENT * (1 - own["test_error_mean"])
    count = int(own["num_replicates"].min())
    return Conditions(own["effective_std"], accuracy, count)


for _position, _which, _reported in (
    (0, "1st", "-0.672 (p = 0.008)"),
    (1, "2nd", "-0.726 (p = 0.003)"),
):
    CLAIMS.register(
        f"EP-F8.{1 + _position}",
        says=f"the larger a change, the lower the accuracy, {_which} k",
        source="Figure 8, Section 5.3",
        networks=NETWORKS,
        table="points",
        effect="correlation of accuracy with effective std",
        unit="correlation",
        claimed=below(0.0),
        reported=_reported,
        command="effective_noise",
    )(functools.partial(_size_and_accuracy, position=_position))


@CLAIMS.register(
    "EP-F4.9",
    says="9% of signs change between the iterations of the two k",
    source="Section 5.1",
    networks=NETWORKS[:1],
    table="sign_changes",
    effect="signs that change from 0.8% to 3.2% of training",
    unit="percent",
    claimed=between(7.0, 11.0),
    reported="9",
    particular=True,
    command=f"telemetry --sign_iterations={_GRID}",
)
def signs_that_change(changes: "pandas.DataFrame") -> "pandas.Series":
    """EP, Section 5.1, on ResNet-20 between iterations 500 and 2,000."""
    dense = select(
        changes,
        subnetwork="dense",
        earlier_iteration=selecting.part(changes, FIRST),
        later_iteration=selecting.part(changes, SECOND),
    )
    return PERCENT * selecting.mean(dense, "fraction_of_signs_changed")
