"""Weights whose sign differs between two iterations: sign_changes.csv (EP, 5.1)."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

from tflottery.components import sign_changes
from tflottery.components.runs import State
from tflottery.components.sign_changes import SignChanges
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies.columns import NetworkKeys
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import Subnetwork, Subnetworks


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignChange(NetworkKeys):
    """A row of sign_changes.csv: the dense network at two iterations.

    With a subnetwork only the weights count that its mask keeps.

    Attributes:
      rewind_iteration: of the subnetwork; 0 for the dense network.
      mask: address of the subnetwork's masks in the store; None where all weights
        count.
      earlier_iteration: updates done before.
      later_iteration: updates done after.
      num_weights: how many count.
      fraction_of_signs_changed: of these, those with another sign, in [0, 1]; a weight
        of exactly 0 has a sign of its own.
    """

    rewind_iteration: int
    mask: str | None
    earlier_iteration: int
    later_iteration: int
    num_weights: int
    fraction_of_signs_changed: float


@dataclasses.dataclass(frozen=True)
class PlannedChange:
    """A row of a plan.

    Attributes:
      keys: its columns but those that are measured.
      measure: what measures it.
    """

    keys: dict[str, object]
    measure: SignChanges


def of_dense(study: Study, iterations: Iterable[int]) -> Iterator[PlannedChange]:
    """Yields every pair of iterations of each replicate, over all kernels' weights."""
    kernels = tuple(study.facts.kernel_shapes)
    for replicate in study.replicates:
        keys = {**study.columns(), "replicate": replicate, "rewind_iteration": 0}
        for change in _pairs(study, replicate, iterations, kernels):
            yield _planned(keys, change)


def of_subnetworks(
    study: Study,
    subnetworks: Subnetworks,
    iterations: Sequence[int],
    *,
    levels: Iterable[int],
    kind: str,
) -> Iterator[PlannedChange]:
    """Yields every pair of iterations, over the survivors of each subnetwork.

    Args:
      study: of the dense networks.
      subnetworks: of the study.
      iterations: those compared, which are also those that subnetworks rewind to.
      levels: of the subnetworks.
      kind: of the subnetworks.
    """
    kernels = tuple(path for path, _ in subnetworks.kernels)
    for level, k, replicate in itertools.product(levels, iterations, study.replicates):
        subnetwork = Subnetwork(
            kind=kind, level=level, replicate=replicate, rewind_iteration=k
        )
        keys, mask = subnetworks.columns(subnetwork), subnetworks.mask(subnetwork)
        for change in _pairs(study, replicate, iterations, kernels):
            yield _planned(keys, dataclasses.replace(change, mask=mask))


def rows(planned: Iterable[PlannedChange], results: ResultsReader) -> list[SignChange]:
    """Returns the rows of the pairs that were compared."""
    table = []
    for one in planned:
        found = results.read(one.measure, sign_changes.read)
        if found is not None:
            table.append(SignChange(**one.keys, **found))
    return table


def _pairs(
    study: Study, replicate: int, iterations: Iterable[int], kernels: tuple[str, ...]
) -> Iterator[SignChanges]:
    """Yields what compares each pair of iterations of a replicate's dense network."""
    trunk = study.trunk(replicate)
    states = (State(trunk, iteration) for iteration in sorted(set(iterations)))
    for earlier, later in itertools.combinations(states, 2):
        yield SignChanges(earlier, later, kernels)


def _planned(keys: dict[str, object], measure: SignChanges) -> PlannedChange:
    """Returns a row of the plan."""
    keys = keys | {
        "mask": measure.mask.address if measure.mask is not None else None,
        "earlier_iteration": measure.earlier.iteration,
        "later_iteration": measure.later.iteration,
    }
    return PlannedChange(keys, measure)
