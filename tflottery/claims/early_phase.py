"""The claims of *The Early Phase of Neural Network Training* (EP).

This file has those on rewinding and telemetry (Figures 1 to 3, A1 to A3),
`early_phase_perturbations` those on perturbed tickets (Figures 4 to 8), and
`early_phase_pretraining` those on pre-training (Figures 9, 10, A9 to A12). Tickets are
those of the density that is studied in each network. Claims are put in ResNet-20's
numbers, k = 500 and 2,000 of 62,500 iterations; `named_k` says what they stand for in
other networks.

"About" is within half a point of accuracy, a proposal of ours (one standard deviation
of the paper's is 0.2 to 0.3). Left out: the phases of Figures 2 and A1 themselves,
which are drawn from these claims, what they quote of other papers, and the ratio of 32
between the lengths of pre-training and training, which is arithmetic.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tflottery.analysis import statistics
from tflottery.claims import selecting
from tflottery.claims.judging import (
    PaperNetwork,
    above,
    at_least,
    below,
    between,
)
from tflottery.claims.selecting import PERCENT, K, Lacking, NotAsked, select, studied
from tflottery.core.registry import CLAIMS

if TYPE_CHECKING:
    import pandas

RESNET20, RESNET56, RESNET18, WRN = (
    PaperNetwork(model, "early_phase", "cifar10", 62_500)
    for model in ("resnet20", "resnet56", "resnet18", "wrn16_8")
)
VGG13 = PaperNetwork("vgg13", "early_phase", "cifar10", 125_000)
NETWORKS = (RESNET20, RESNET56, RESNET18, VGG13, WRN)
ALIKE = 0.5
# Parts of the training: iterations 500 and 2,000 of 62,500.
FIRST, SECOND = 0.008, 0.032
# Parts at which tickets of other networks show what is claimed of these.
_GRID = "0,0.4%,0.8%,3.2%,6.4%"

_of_tickets = functools.partial(
    CLAIMS.register,
    table="accuracy",
    unit="points",
    source="Figures 1 and A2, Sections 2 and 3",
    networks=NETWORKS,
    command="lottery --subnetworks=imp",
)
_of_telemetry = functools.partial(
    CLAIMS.register,
    table="telemetry",
    source="Figures 2 and 3, Section 4",
    networks=(RESNET20,),
    command="telemetry",
)


def tickets(networks: "pandas.DataFrame") -> "pandas.DataFrame":
    """Returns IMP's tickets of the studied density."""
    return select(studied(networks), subnetwork="imp")


def named_k(table: "pandas.DataFrame", position: int) -> int:
    """Returns the k of a network that the paper's 500 (0) or 2,000 (1) stand for.

    Those that its recipe perturbs, as the paper does where rewinding works; of networks
    whose recipe says none, the last ones up to the same part of the training.

    Raises:
      Lacking: there is none.
      NotAsked: its recipe says the first alone.
    """
    known = [selecting.perturbed_k(table, at) for at in (0, position)]
    if known[0] is None:
        return selecting.k_within(table, (FIRST, SECOND)[position], grid=_GRID)
    if known[1] is None:
        told = f"the network's recipe perturbs k = {known[0]} alone"
        raise NotAsked(f"{told}: none stands for 2,000")
    return known[1]


def _margins(networks: "pandas.DataFrame", *, later: bool) -> "pandas.Series":
    """EP, Figure 1: how far above the limit of matching tickets are, from k = 500 on.

    At that k, or, `later`, at the worst k of those and all later ones.
    """
    own = tickets(networks)
    first = named_k(own, 0)
    dense = selecting.accuracy(networks, subnetwork="dense")
    if later:
        own = own[own[K] >= first]
        selecting.refuse_one_k(own)
    else:
        own = select(own, rewind_iteration=first)
    worst = selecting.at_every(own, "test_error").max(axis="columns")
    return selecting.matching_margin(PERCENT * (1 - worst), dense)


for _number, _says, _later in (
    (1, "tickets of k = 500 match", False),
    (3, "tickets of every k from 500 on match", True),
):
    _of_tickets(
        f"EP-F1.{_number}",
        says=_says,
        effect="accuracy minus the lowest that matches" + " at any k" * _later,
        claimed=at_least(0.0),
        reported="k >= 500 matches",
    )(functools.partial(_margins, later=_later))


def _gain(own: "pandas.DataFrame", *, late: int, early: int) -> "pandas.Series":
    """Returns the accuracy of tickets of one k minus that of those of another."""
    accuracies = [selecting.accuracy(own, rewind_iteration=k) for k in (late, early)]
    return (accuracies[0] - accuracies[1]).dropna()


@_of_tickets(
    "EP-F1.2",
    says="tickets of k = 500 beat those of 0",
    effect="difference in accuracy",
    claimed=above(0.0),
)
def rewinding_helps(networks: "pandas.DataFrame") -> "pandas.Series":
    """EP, Figure 1 and Section 3."""
    own = tickets(networks)
    return _gain(own, late=named_k(own, 0), early=0)


@_of_tickets(
    "EP-F1.4",
    says="tickets of the last k do as those of 2,000",
    networks=(RESNET20, RESNET18),
    effect="difference in accuracy of the last k to that of 2,000",
    claimed=between(-ALIKE, ALIKE),
)
def rewinding_saturates(networks: "pandas.DataFrame") -> "pandas.Series":
    """EP, Sections 2 and 3, and Figure A1."""
    own = tickets(networks)
    second = named_k(own, 1)
    later = own[own[K] > second][K]
    if not len(later):
        options = f"--rewind_iterations={_GRID}"
        raise Lacking(f"no tickets of a k after {second}", options=options)
    refuse_without_gain(_gain(own, late=second, early=0))
    return _gain(own, late=int(later.max()), early=second)


@_of_tickets(
    "EP-A1.4",
    says="tickets of k = 250 beat those of 0",
    source="Figure A1",
    networks=(RESNET18,),
    effect="difference in accuracy",
    claimed=above(0.0),
    reported="begins to help at about 250",
)
def rewinding_begins_to_help(networks: "pandas.DataFrame") -> "pandas.Series":
    """EP, Figure A1, on ResNet-18: 250 of 62,500 iterations."""
    own = tickets(networks)
    return _gain(own, late=selecting.k_within(own, 0.004, grid=_GRID), early=0)


def refuse_without_gain(gain: "pandas.Series") -> None:
    """Raises Lacking unless tickets of k are shown to beat those of iteration 0.

    Where they do not, nothing can fall back to those of 0, or make up for rewinding.

    Args:
      gain: in accuracy, by replicate.
    """
    interval = statistics.t_interval(gain) if len(gain) else None
    if interval is None:
        raise Lacking("no replicate has tickets of both k and 0")
    if interval.high <= 0:
        raise NotAsked("tickets of k do not beat those of 0, see EP-F1.2")
    if not interval.low > 0:
        raise Lacking(
            "tickets of k are not shown to beat those of 0, see EP-F1.2: more "
            "--replicates may show it"
        )


def _at(readings: "pandas.DataFrame", column: str, iteration: int) -> "pandas.Series":
    """Returns what was measured at an iteration, by replicate."""
    _refuse_beyond(readings, iteration)
    return selecting.mean(select(readings, iteration=iteration), column)


def _percent_at(
    readings: "pandas.DataFrame", *, column: str, iteration: int | None
) -> "pandas.Series":
    """EP, Figures 2, 3 and A1: a fraction at an iteration, at the end if None."""
    at = selecting.whole_length(readings) if iteration is None else iteration
    found = PERCENT * _at(readings, column, at)
    return 100 - found if column == "test_error" else found


for _id, _column, _iteration, _networks, _low, _high, _reported in (
    ("F3.1", "fraction_of_signs_changed", 10, RESNET20, 2, 4, "3"),
    ("A1.1", "fraction_of_signs_changed", 10, RESNET18, 4, 8, "6"),
    ("F3.8", "test_error", 400, RESNET20, 50, 60, "55"),
    ("F3.9", "test_error", 2000, RESNET20, 75, 85, "80"),
    ("F3.10", "test_error", None, RESNET20, 91, 92, "91.5"),
):
    _what = "test accuracy" if _column == "test_error" else "signs unlike initial ones"
    _when = "at the end" if _iteration is None else f"at iteration {_iteration:,}"
    _of_telemetry(
        f"EP-{_id}",
        says=f"{_what} {_when}: about {_reported}%",
        networks=(_networks,),
        effect=f"{_what} {_when}",
        unit="percent",
        claimed=between(_low, _high),
        reported=_reported,
        particular=True,
        # What telemetry measures untold ends with the early phase.
        command="telemetry" + " --iterations=100%" * (_iteration is None),
    )(functools.partial(_percent_at, column=_column, iteration=_iteration))


def _until(
    readings: "pandas.DataFrame", column: str, last: int = 500
) -> "pandas.DataFrame":
    """Returns a column by replicate and iteration, up to one of these.

    Raises:
      Lacking: fewer than ten iterations were measured.
      NotAsked: the training is shorter.
    """
    selecting.refuse_lacking(readings, [column])
    _refuse_beyond(readings, last)
    found = readings[readings["iteration"] <= last]
    curves = found.groupby(["replicate", "iteration"])[column].mean().unstack().dropna()
    if not len(curves) or curves.shape[1] < 10 or curves.columns.max() < last:
        raise Lacking(f"too few iterations up to {last} with {column}")
    return curves


def _refuse_beyond(readings: "pandas.DataFrame", iteration: int) -> None:
    """Raises NotAsked if a training has no such iteration."""
    length = selecting.whole_length(readings)
    if iteration > length:
        raise NotAsked(f"trained for {length:,} iterations, not {iteration:,}")


def _rises(curves: "pandas.DataFrame", places: Sequence[int]) -> "pandas.DataFrame":
    """Returns by how much curves rise from each of some iterations to the next."""
    missing = [one for one in places if one not in curves.columns]
    if missing:
        raise Lacking(f"nothing was measured at iteration {missing[0]:,}")
    return curves[list(places)].diff(axis="columns").iloc[:, 1:]


def _lowest_gradient(readings: "pandas.DataFrame", *, column: str) -> "pandas.Series":
    """EP, Section 4: the iteration of the smallest gradient of the first 500."""
    return _until(readings, column).idxmin(axis="columns")


def _rebound(
    readings: "pandas.DataFrame", *, column: str, iteration: int
) -> "pandas.Series":
    """EP, Figures 2 and A1: how far above its minimum the gradient is later, in %."""
    lowest = _until(readings, column).min(axis="columns")
    return PERCENT * (_at(readings, column, iteration) / lowest - 1).dropna()


def _later_change(readings: "pandas.DataFrame", *, column: str) -> "pandas.Series":
    """EP, Section 4: the mean gradient after 2,000 beside that since 500, in %."""
    curves = _until(readings, column, 4000)
    early = curves.loc[:, 500:2000].mean(axis="columns")
    return PERCENT * (curves.loc[:, 2001:].mean(axis="columns") / early - 1)


# The paper does not define its gradient magnitude: there are two readings.
for _place, (_column, _name) in enumerate(
    {"gradient_norm": "norm", "mean_gradient_magnitude": "mean magnitude"}.items()
):
    _of_telemetry(
        f"EP-F3.{2 + _place}",
        says=f"the gradient ({_name}) is smallest near iteration 200",
        effect="iteration of its minimum, of the first 500",
        unit="iterations",
        claimed=between(100, 300),
        reported="200",
        particular=True,
    )(functools.partial(_lowest_gradient, column=_column))
    _of_telemetry(
        f"EP-F3.{4 + _place}",
        says=f"the gradient ({_name}) is 10% above its minimum at iteration 500",
        effect="gradient at 500 above its minimum",
        unit="percent",
        claimed=between(5, 20),
        reported="10",
        particular=True,
    )(functools.partial(_rebound, column=_column, iteration=500))
    _of_telemetry(
        f"EP-F3.{6 + _place}",
        says=f"the gradient ({_name}) stays about the same after 500",
        effect="gradient after 2,000 beside that of 500 to 2,000",
        unit="percent",
        claimed=between(-20, 20),
        reported="roughly constant",
    )(functools.partial(_later_change, column=_column))
    _of_telemetry(
        f"EP-A1.{2 + 3 * _place}",
        says=f"the gradient ({_name}) is 10% above its minimum at iteration 250",
        source="Figure A1",
        networks=(RESNET18,),
        effect="gradient at 250 above its minimum",
        unit="percent",
        claimed=between(5, 20),
        reported="10",
        particular=True,
    )(functools.partial(_rebound, column=_column, iteration=250))


def _trend(readings: "pandas.DataFrame", *, column: str) -> "pandas.Series":
    """EP, Figures 3 and A3: rank correlation with the iteration, up to 4,000.

    Raises:
      Lacking: not all of these were measured.
    """
    _until(readings, column, 4000)
    own = readings[readings["iteration"] <= 4000]
    return selecting.rank_correlation(own, column, along="iteration")


def _slowing(readings: "pandas.DataFrame", *, column: str) -> "pandas.Series":
    """EP, Figure 3: growth from 2,000 to 4,000 beside that up to there.

    Raises:
      NotAsked: it does not grow up to there.
    """
    rises = _rises(_until(readings, column, 4000), (0, 2000, 4000))
    if not (rises[2000] > 0).all():
        raise NotAsked(f"{column} does not rise up to 2,000")
    return rises[4000] / rises[2000]


for _id, _column, _networks, _word, _claimed in (
    ("F3.11", "mean_weight_magnitude", (RESNET20,), "rises", above(0.0)),
    ("F3.13", "l2_from_initial", NETWORKS, "rises", above(0.0)),
    ("A1.3", "mean_weight_magnitude", (RESNET18,), "falls", below(0.0)),
):
    _of_telemetry(
        f"EP-{_id}",
        says=f"{_column.replace('_', ' ')} {_word} over the first 4,000 iterations",
        networks=_networks,
        effect="rank correlation with the iteration",
        unit="correlation",
        claimed=_claimed,
        reported=_word,
        # Which way weights go differs from network to network.
        particular=_column == "mean_weight_magnitude",
    )(functools.partial(_trend, column=_column))
for _id, _column in (("F3.12", "mean_weight_magnitude"), ("F3.14", "l2_from_initial")):
    _of_telemetry(
        f"EP-{_id}",
        says=f"{_column.replace('_', ' ')} rises ever more slowly",
        effect="rise from 2,000 to 4,000 by that up to 2,000",
        unit="ratio",
        claimed=below(1.0),
    )(functools.partial(_slowing, column=_column))

_CHANGING = ("test_error", "test_loss", "mean_weight_magnitude", "gradient_norm")
_CHANGING += ("fraction_of_signs_changed", "mean_gradient_magnitude")
_CHANGING += ("l2_from_initial", "cosine_to_initial")


@_of_telemetry(
    "EP-F3.15",
    says="every quantity changes fastest in the first ten iterations",
    effect="how many of eight do",
    unit="quantities",
    claimed=at_least(len(_CHANGING)),
    reported="all",
)
def changes_fastest_at_first(readings: "pandas.DataFrame") -> "pandas.Series":
    """EP, Section 4: by the mean rate of phases that begin at 0, 10, 500 and 2,000."""
    counts = 0
    for column in _CHANGING:
        curves = _until(readings, column, 4000)
        rises = _rises(curves, (0, 10, 500, 2000, 4000))
        rates = rises.abs() / [10, 490, 1500, 2000]
        counts = counts + (rates[10] >= rates.max(axis="columns"))
    return counts
