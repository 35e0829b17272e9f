"""Perturbed tickets: IMP's subnetworks at k, changed before they are trained.

A condition is a perturbation with its options, one line of the paper's figures. The
unperturbed ticket of k, and that of iteration 0, stand beside it.
"""

import dataclasses
import itertools
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tflottery.components import perturbing
from tflottery.components.accuracies import Accuracy
from tflottery.components.component import Artifact
from tflottery.components.perturbing import Perturbed
from tflottery.components.runs import State
from tflottery.core import seeds
from tflottery.core.initializers import Initializers
from tflottery.core.registry import PERTURBATIONS
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies import accuracy_table, answers
from tflottery.studies.accuracy_table import TrainedNetwork
from tflottery.studies.answers import Answer
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import DENSE, IMP, Subnetwork, Subnetworks

if typing.TYPE_CHECKING:
    import pandas

NONE = "none"
# What is told of a change, as `perturbing.read` has it.
_NO_CHANGE = {"std": 0.0, "mean": 0.0, "std_of_all": 0.0}


@dataclasses.dataclass(frozen=True)
class Condition:
    """A perturbation with its options; the default is no change.

    Attributes:
      perturbation: name in the registry, or `NONE`.
      options: name and value of each option that it takes, in order.
    """

    perturbation: str = NONE
    options: tuple[tuple[str, object], ...] = ()

    @property
    def text(self) -> str:
        """The options as a row has them: "scope=layers keep_signs=true"."""
        return " ".join(f"{name}={_text(value)}" for name, value in self.options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerturbedNetwork(TrainedNetwork):
    """A row of accuracy.csv of an experiment on perturbations.

    Attributes:
      perturbation: its name; "none" is the ticket as it is.
      condition: its options.
      effective_std: standard deviation of the change over surviving weights.
      effective_mean: its mean over them.
      effective_std_of_all: its standard deviation over all prunable weights, of which
        the pruned ones do not change.
    """

    perturbation: str
    condition: str
    effective_std: float | None = None
    effective_mean: float | None = None
    effective_std_of_all: float | None = None


class PerturbedPlan(typing.NamedTuple):
    """A network of a plan, and the change it undergoes.

    Attributes:
      row: what names it, without its measurements.
      accuracy: what measures it.
      change: None for the ticket as it is.
    """

    row: PerturbedNetwork
    accuracy: Accuracy
    change: Perturbed | None


def conditions(perturbation: str, given: Mapping[str, object]) -> list[Condition]:
    """Returns the conditions of a perturbation: its default options, or those given.

    An option with a tuple of values makes a condition of each.

    Args:
      perturbation: name in the registry.
      given: options by name.

    Raises:
      ValueError: an unknown perturbation, or an option or a value that it does not
        take.
    """
    known: Mapping[str, object] = PERTURBATIONS[perturbation]["options"]
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise ValueError(
            f"--perturbation={perturbation!r} does not take {', '.join(unknown)}. "
            f"Its options: {', '.join(known)}."
        )
    axes = [
        _values(given.get(name, default), like=default)
        for name, default in known.items()
    ]
    empty = [name for name, axis in zip(known, axes, strict=True) if not axis]
    if empty:
        raise ValueError(f"--{empty[0]} is empty: name at least one value.")
    found = [
        Condition(perturbation, tuple(zip(known, chosen, strict=True)))
        for chosen in itertools.product(*axes)
    ]
    for condition in found:
        _try(condition)
    return found


def parsed_options(
    perturbation: str, texts: Sequence[str]
) -> dict[str, tuple[object, ...]]:
    """Returns options given as texts NAME=VALUE, by name; a name may come repeatedly.

    Args:
      perturbation: name in the registry; its defaults say what type the values have.
      texts: such as "scale=0.5" or "keep_signs=true".

    Raises:
      ValueError: a text of another form, an unknown option, a value of another type.
    """
    known: Mapping[str, object] = PERTURBATIONS[perturbation]["options"]
    found: dict[str, tuple[object, ...]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise ValueError(
                f"--options={text!r} has to be NAME=VALUE of an option of perturbation "
                f"{perturbation!r}: {', '.join(known)}."
            )
        kind = type(_first(known[name]))
        convert = {"true": True, "false": False}.get if kind is bool else kind
        try:
            converted = convert(value)
        except ValueError:
            converted = None
        if converted is None:
            raise ValueError(f"--options={text!r}: {value!r} is no {kind.__name__}.")
        found[name] = (*found.get(name, ()), converted)
    return found


def networks(
    study: Study, tried: Sequence[Condition], *, levels: Iterable[int]
) -> Iterator[PerturbedPlan]:
    """Yields the dense networks, the tickets of 0 and each k, and those perturbed."""
    ks = study.rewind_iterations
    # Dense networks first, then of each ticket the unchanged and what is tried.
    unchanged = _columns(Condition())
    for network in accuracy_table.dense_networks(
        study, row_type=PerturbedNetwork, **unchanged
    ):
        yield PerturbedPlan(*network, None)
    subnetworks = Subnetworks(study)
    for level, k, replicate in itertools.product(
        levels, sorted({0, *ks}), study.replicates
    ):
        ticket = Subnetwork(
            kind=IMP, level=level, replicate=replicate, rewind_iteration=k
        )
        for condition in (Condition(), *(tried if k in ks else ())):
            change = None
            if condition.perturbation != NONE:
                change = _perturbed(study, subnetworks, condition, ticket)
            network = accuracy_table.planned(
                study,
                subnetworks.columns(ticket) | _columns(condition),
                subnetworks.run(ticket, data_order=1, initial=change),
                data_order=1,
                row_type=PerturbedNetwork,
            )
            yield PerturbedPlan(*network, change)


def artifacts(found: Iterable[PerturbedPlan]) -> list[Artifact]:
    """Returns what the rows of networks are read from."""
    return [
        one
        for _, accuracy, change in found
        for one in (change, accuracy)
        if one is not None
    ]


def rows(
    study: Study, found: Iterable[PerturbedPlan], results: ResultsReader
) -> list[PerturbedNetwork]:
    """Returns the rows of the networks that were measured or are known to diverge."""
    table = []
    for row, accuracy, change in found:
        amount: Mapping[str, float] = _NO_CHANGE
        if change is not None:
            amount = results.read(change, perturbing.read) or {}
        told = {f"effective_{name}": amount.get(name) for name in _NO_CHANGE}
        row = dataclasses.replace(row, **told)
        network = accuracy_table.PlannedNetwork(row, accuracy)
        table += accuracy_table.rows([network], results)
    dense = accuracy_table.dense_errors(study, table)
    return accuracy_table.compared(table, dense=dense)


def answer(table: "pandas.DataFrame") -> Answer:
    """Returns accuracies of the tickets of each k and change, by density."""
    condition = table["condition"].astype(object).fillna("")
    return answers.accuracy_by_density(
        table.assign(condition=condition),
        by=("subnetwork", "rewind_iteration", "perturbation", "condition"),
        label=_line,
        name="network",
    )


def _line(kind: str, k: int, perturbation: str, condition: str) -> str:
    """Returns a name for the tickets of a k that underwent a change."""
    if kind == DENSE:
        return DENSE
    change = condition or ("" if perturbation == NONE else perturbation)
    return f"k = {k}{', ' if change else ''}{change}"


def _perturbed(
    study: Study, subnetworks: Subnetworks, condition: Condition, ticket: Subnetwork
) -> Perturbed:
    """Returns the weights of a ticket after a change."""
    trunk = study.trunk(ticket.replicate)
    return Perturbed(
        perturbation=condition.perturbation,
        version=PERTURBATIONS[condition.perturbation]["version"],
        options=condition.options,
        of=State(trunk, ticket.rewind_iteration),
        mask=subnetworks.mask(ticket),
        initial=State(trunk, 0),
        kernels=subnetworks.kernels,
        seed=seeds.perturbation_seed(ticket.replicate, level=ticket.level),
    )


def _columns(condition: Condition) -> dict[str, object]:
    """Returns the columns that say what a network underwent."""
    return {"perturbation": condition.perturbation, "condition": condition.text}


def _values(given: object, *, like: object) -> tuple[object, ...]:
    """Returns the values of an option, each once; numbers as its default has them."""
    values = given if isinstance(given, tuple) else (given,)
    if isinstance(_first(like), float):
        values = tuple(map(float, values))
    return tuple(dict.fromkeys(values))


def _first(default: object) -> object:
    """Returns one value of an option that may be varied."""
    return default[0] if isinstance(default, tuple) else default


def _try(condition: Condition) -> None:
    """Raises ValueError if a perturbation refuses its options, on one small kernel."""
    kernel = {"probe/kernel": np.ones((3, 3, 1, 1), np.float32)}
    function = PERTURBATIONS[condition.perturbation].function
    try:
        function(
            kernel,
            kernel,
            initial=kernel,
            initializers=Initializers(),
            seed=0,
            **dict(condition.options),
        )
    except ValueError as error:
        raise ValueError(
            f"--perturbation={condition.perturbation!r}: {error}"
        ) from error


def _text(value: object) -> str:
    """Returns an option's value as one types it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
