"""Judging a claim: does what was measured lie in the range that the paper claims?"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tflottery.analysis import statistics
from tflottery.analysis.statistics import Interval
from tflottery.claims import selecting
from tflottery.claims.selecting import Lacking, NotAsked
from tflottery.core.recipes import LABELS
from tflottery.core.registry import Entry

if TYPE_CHECKING:
    import pandas

HOLDS, FAILS, CONTRADICTED = "holds", "fails", "contradicted"
UNDECIDED, NOT_ENOUGH = "undecided", "not enough data"
ANOTHER_NETWORK = "another network"
# What the recipes are called that a paper has of every network.
_PLAIN_VARIANTS = ("standard", "early_phase", "limited_supervision")
# Of networks that are not pruned, and the options that these do not have.
_DENSE_EXPERIMENTS = ("telemetry", "natural_sparsity", "table1")
_PRUNING_OPTIONS = ("pruning_fraction", "one_shot", "schedule", "random_counts")
_PRUNING_OPTIONS += ("first_pruning", "first_convolutions", "optimizer_state")
# How near to the paper a setting is.
PAPERS_OWN = "the paper's setting"


@dataclasses.dataclass(frozen=True)
class PaperNetwork:
    """A network as a paper trains it.

    Attributes:
      model: its name.
      variant: of its recipe.
      dataset: that it learns.
      iterations: of a whole training.
    """

    model: str
    variant: str
    dataset: str
    iterations: int

    def __str__(self) -> str:
        """Returns how people tell it from the paper's others."""
        is_plain = self.variant in _PLAIN_VARIANTS
        return self.model if is_plain else f"{self.model} ({self.variant})"


@dataclasses.dataclass(frozen=True)
class ClaimedRange:
    """The numbers from `low` to `high`, both included.

    Attributes:
      low: in the unit of a claim's effect.
      high: likewise.
      text: how people read it, such as "< 2".
    """

    low: float
    high: float
    text: str


def above(bound: float) -> ClaimedRange:
    """Returns the numbers greater than one."""
    return ClaimedRange(math.nextafter(bound, math.inf), math.inf, f"> {bound:g}")


def at_least(bound: float) -> ClaimedRange:
    """Returns the numbers that are one, or greater."""
    return ClaimedRange(bound, math.inf, f">= {bound:g}")


def below(bound: float) -> ClaimedRange:
    """Returns the numbers smaller than one."""
    return ClaimedRange(-math.inf, math.nextafter(bound, -math.inf), f"< {bound:g}")


def between(low: float, high: float) -> ClaimedRange:
    """Returns the numbers from one to another."""
    return ClaimedRange(low, high, f"{low:g} to {high:g}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judgement:
    """A row of claims.csv: a claim about one setting.

    Attributes:
      claim: its ID: the paper, the figure, a number.
      says: the claim in words.
      source: where the paper makes it.
      claimed_of: the networks of which the paper says so.
      model: whose setting it is; None, with all up to `config`, where no table has rows
        in the paper's own setting.
      variant: name of its recipe.
      dataset: name of the data set.
      task: what is learned of it.
      training_iterations: length of a whole training.
      config: short hash of whatever else decides the rows.
      making: 1, or which making of the same it is, where commands differ in what they
        measured of networks that they have in common.
      tables: the folders that the rows of the setting were read from, with ", "
        between; of those that have the same row the first.
      about: how near the setting is to the paper's: its own, or another network,
        recipe, data set or length.
      answer: "holds"; "fails", in the paper's own setting "contradicted"; "undecided",
        where the interval lies only partly in what is claimed; "not enough data".
      effect: what is measured.
      unit: of all numbers here.
      value: mean over replicates, or the correlation.
      interval_low: lower end of the 95% confidence interval.
      interval_high: the upper end.
      std: standard deviation over replicates; None of a correlation over conditions.
      num_replicates: how many were measured.
      num_diverged: rows of the setting's table whose training diverged: what is
        measured leaves them out.
      claimed: the range in which the value has to lie.
      reported: how the paper puts it.
      lacking: what is missing, where there is not enough data.
      command: what would supply it; "" where the claim is not about such a network.
    """

    claim: str
    says: str
    source: str
    claimed_of: str
    model: str | None = None
    variant: str | None = None
    dataset: str | None = None
    task: str | None = None
    training_iterations: int | None = None
    config: str | None = None
    making: int = 1
    tables: str = ""
    about: str
    answer: str
    effect: str
    unit: str
    value: float | None = None
    interval_low: float | None = None
    interval_high: float | None = None
    std: float | None = None
    num_replicates: int | None = None
    num_diverged: int = 0
    claimed: str
    reported: str
    lacking: str = ""
    command: str = ""


def judged(
    claim: Entry,
    table: "pandas.DataFrame",
    *,
    setting: Mapping[str, object],
    about: str,
    flags: str = "",
) -> Judgement:
    """Returns the judgement on a claim about one setting.

    Args:
      claim: an entry of the registry.
      table: the setting's rows of the claim's table.
      setting: its columns.
      about: how near it is to the paper's, as of `nearness`.
      flags: as of `command_for`.
    """
    judgement = dataclasses.replace(
        _undetermined(claim, about=about, setting=setting, flags=flags),
        num_diverged=selecting.num_diverged(table),
    )
    try:
        found = _estimated(claim.function(table), unit=claim["unit"])
    except Lacking as lacking:
        told = f"{lacking}{diverged(judgement)}"
        command = command_for(claim, setting, flags=flags, lacking=lacking)
        command = "" if isinstance(lacking, NotAsked) else command
        return dataclasses.replace(judgement, lacking=told, command=command)
    except KeyError as error:
        # A column of newer tables, or an iteration at which nothing was measured.
        return dataclasses.replace(judgement, lacking=f"the table has no {error}")
    return dataclasses.replace(
        judgement,
        command="",
        answer=answer(found["interval"], claim["claimed"], about=about),
        value=found["interval"].estimate,
        interval_low=found["interval"].low,
        interval_high=found["interval"].high,
        std=found["std"],
        num_replicates=found["count"],
    )


def missing(claim: Entry) -> Judgement:
    """Returns the judgement on a claim of which no table is in the paper's setting."""
    judgement = _undetermined(claim, about="nothing", setting={})
    models = dict.fromkeys(one.model for one in claim["networks"])
    told = f"no table {claim['table']!r} of {', '.join(models)}, as the paper has it"
    return dataclasses.replace(judgement, lacking=told)


def diverged(judgement: Judgement) -> str:
    """Returns ", 2 rows diverged", or "" where none did."""
    count = judgement.num_diverged
    return f", {count} row{'' if count == 1 else 's'} diverged" if count else ""


def _undetermined(
    claim: Entry, *, about: str, setting: Mapping[str, object], flags: str = ""
) -> Judgement:
    """Returns a judgement before anything is measured: there is not enough data."""
    words = {
        name: claim[name] for name in ("says", "source", "effect", "unit", "reported")
    }
    return Judgement(
        claim=claim.name,
        **words,
        **setting,
        claimed_of=", ".join(dict.fromkeys(map(str, claim["networks"]))),
        about=about,
        answer=NOT_ENOUGH,
        claimed=claim["claimed"].text,
        command=command_for(claim, setting, flags=flags),
    )


def answer(interval: Interval, claimed: ClaimedRange, *, about: str) -> str:
    """Returns what a confidence interval says of the range that is claimed."""
    if claimed.low <= interval.low and interval.high <= claimed.high:
        return HOLDS
    if interval.high < claimed.low or claimed.high < interval.low:
        return CONTRADICTED if about == PAPERS_OWN else FAILS
    return UNDECIDED


def _estimated(
    measured: "pandas.Series | Conditions", *, unit: str
) -> dict[str, object]:
    """Returns the interval of what a claim's function returned, its spread and count.

    Args:
      measured: a number a replicate, or what a correlation is taken of.
      unit: of these numbers.

    Raises:
      Lacking: there are too few replicates for an interval.
    """
    if isinstance(measured, Conditions):
        found = statistics.pearson_interval(measured.x, measured.y)
        if math.isnan(found.low):
            raise Lacking(f"{len(measured.x)} conditions tell no correlation")
        return {"interval": found, "std": None, "count": measured.num_replicates}
    values = measured.to_numpy("float64")
    values = values[np.isfinite(values)]
    if len(values) < 2:
        has = "1 replicate" if len(values) else "no replicate has all that is compared"
        raise Lacking(f"{has}: an interval takes at least 2, see --replicates")
    found = statistics.t_interval(values)
    if unit == "correlation":
        # There is none beyond.
        found = Interval(found.estimate, max(found.low, -1.0), min(found.high, 1.0))
    return {"interval": found, "std": statistics.std(values), "count": len(values)}


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What a claim on a correlation over conditions returns.

    Attributes:
      x: a number a condition, mean over replicates.
      y: likewise.
      num_replicates: how many.
    """

    x: "pandas.Series"
    y: "pandas.Series"
    num_replicates: int


def papers_networks(claims: Iterable[Entry]) -> list[PaperNetwork]:
    """Returns all networks that the claims of a paper are about."""
    return list(dict.fromkeys(one for claim in claims for one in claim["networks"]))


def nearness(
    setting: Mapping[str, object],
    networks: Iterable[PaperNetwork],
    *,
    known: Iterable[PaperNetwork],
    changes: Iterable[str] = (),
    particular: bool = False,
) -> str | None:
    """Returns how near a setting is to a claim's; None where the claim is not about it.

    A paper claims different things of its networks, so that a claim about some of them
    is none about its others; of a network that the paper does not have all are asked
    but those that are `particular` to theirs.

    Args:
      setting: columns of a row.
      networks: those of the claim.
      known: those of all claims of the paper.
      changes: options that are not those of the recipe.
      particular: whether the claim is about its networks alone.
    """
    model, variant = setting["model"], setting["variant"]
    same_model = [one for one in known if one.model == model]
    if not same_model:
        return None if particular else ANOTHER_NETWORK
    same = [one for one in same_model if one.variant == variant]
    meant = [one for one in same or same_model if one in networks]
    if not meant:
        return None
    if not same:
        return "another recipe"
    (own,) = meant
    if setting["dataset"] != own.dataset:
        return "another data set"
    if setting["task"] != LABELS:
        return "another task"
    if setting["training_iterations"] != own.iterations:
        return "another length"
    changed = ", ".join(changes)
    return f"another {changed}" if changed else PAPERS_OWN


def command_for(
    claim: Entry,
    setting: Mapping[str, object],
    *,
    flags: str = "",
    lacking: Lacking | None = None,
) -> str:
    """Returns the command that supplies what a claim lacks.

    Args:
      claim: an entry of the registry.
      setting: whose rows are to be made; {}: that of the claim's first network.
      flags: options of the setting that its recipe does not say, "--name=value" with
        spaces between.
      lacking: what the claim lacks; None: everything.
    """
    experiment = (lacking and lacking.experiment) or claim["command"]
    name, _, options = experiment.partition(" ")
    names = ("model", "variant", "dataset", "training_iterations")
    networks = {
        (one.model, one.variant): dataclasses.astuple(one) for one in claim["networks"]
    }
    first = dataclasses.astuple(claim["networks"][0])
    wanted = dict(zip(names, first, strict=True)) | {
        name: value for name, value in setting.items() if name in names
    }
    own = networks.get((wanted["model"], wanted["variant"]))
    if own is not None and wanted["training_iterations"] == own[-1]:
        # The recipe's own length.
        del wanted["training_iterations"]
    if setting.get("task", LABELS) != LABELS:
        wanted["task"] = setting["task"]
    words = [f"--{name}={value}" for name, value in wanted.items()]
    own_options = {_option(flag) for flag in options.split()}
    words += [
        flag
        for flag in flags.split()
        if _takes(name, flag) and _option(flag) not in own_options
    ]
    words += options.split()
    given = {_option(flag) for flag in words}
    more = lacking.options.split() if lacking else []
    words += [flag for flag in more if _option(flag) not in given]
    return " ".join([f"python -m tflottery.experiments.{name}", *words])


def _option(flag: str) -> str:
    """Returns the name in "--name=value"."""
    return flag.removeprefix("--").partition("=")[0]


def _takes(experiment: str, flag: str) -> bool:
    """Returns whether an experiment has an option: those on dense networks few."""
    own = {"natural_sparsity": {"optimizer", "learning_rate"}}.get(experiment, set())
    if experiment in _DENSE_EXPERIMENTS:
        own = own | set(_PRUNING_OPTIONS)
    return _option(flag) not in own
