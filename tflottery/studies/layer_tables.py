"""Kernel by kernel: what masks keep (mask_layers.csv), how far perturbations go."""

import dataclasses
import math
from collections.abc import Iterable

from tflottery.components import mask_counts, perturbing
from tflottery.components.gradual_pruning import GradualPruning
from tflottery.components.mask_counts import MaskCounts
from tflottery.components.masking import Mask
from tflottery.components.runs import State
from tflottery.execution.results_reader import ResultsReader
from tflottery.models.weights import initial_std
from tflottery.studies import columns
from tflottery.studies.accuracy_table import PlannedNetwork
from tflottery.studies.columns import NetworkKeys
from tflottery.studies.perturbed_runs import PerturbedPlan
from tflottery.studies.study import Study

# A network by its row of another table, and its masks; None where nothing is pruned.
Masked = tuple[NetworkKeys, Mask | GradualPruning | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskLayer(NetworkKeys):
    """A row of mask_layers.csv: a kernel under the mask of a subnetwork.

    Attributes:
      rewind_iteration: of the subnetwork.
      mask: address of the masks in the store; subnetworks may share them.
      kernel: its variable path.
      num_weights: of the kernel.
      num_survivors: of these, how many the mask keeps.
      kernel_density: their fraction, in [0, 1].
    """

    rewind_iteration: int
    mask: str
    kernel: str
    num_weights: int
    num_survivors: int
    kernel_density: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerturbedLayer(NetworkKeys):
    """A row of perturbed_layers.csv: how far a perturbation moves one kernel.

    Attributes:
      rewind_iteration: k, whose weights are perturbed.
      perturbation: its name.
      condition: its options.
      mask: address of the ticket's masks in the store.
      kernel: its variable path.
      num_weights: of the kernel.
      num_survivors: of these, how many the mask keeps; those that are perturbed.
      initial_std: standard deviation of the kernel's initial weights, the unit of
        Gaussian noise.
      effective_std: standard deviation of the change over the survivors.
      effective_mean: its mean over them.
    """

    rewind_iteration: int
    perturbation: str
    condition: str
    mask: str
    kernel: str
    num_weights: int
    num_survivors: int
    initial_std: float
    effective_std: float
    effective_mean: float


def with_masks(networks: Iterable[PlannedNetwork]) -> list[Masked]:
    """Returns the networks of a plan as the functions below take them."""
    return [(row, _mask_of(accuracy.of)) for row, accuracy in networks]


def counts(networks: Iterable[Masked]) -> list[MaskCounts]:
    """Returns what counts the survivors of the networks that are pruned."""
    masks = {mask.address: mask for _, mask in networks if mask is not None}
    return [MaskCounts(mask) for mask in masks.values()]


def masked(
    study: Study,
    networks: Iterable[Masked],
    results: ResultsReader,
    *,
    row_type: type[MaskLayer] = MaskLayer,
) -> list[MaskLayer]:
    """Returns a row a kernel for every subnetwork whose mask is known.

    Args:
      study: has the kernels.
      networks: may name a subnetwork several times, which has its rows once, whatever
        orders it trains on.
      results: of the plan.
      row_type: of the rows. What it has beyond `MaskLayer` the networks' rows have too,
        and tells subnetworks apart.
    """
    known = {}
    for row, mask in networks:
        if mask is not None:
            names = columns.columns(row, row_type)
            known[tuple(names.values())] = names, MaskCounts(mask)
    table = []
    for names, count in known.values():
        found = results.read(count, mask_counts.read) or {}
        for kernel, size in _sizes(study).items():
            if kernel in found:
                table.append(
                    row_type(
                        **names,
                        kernel=kernel,
                        num_weights=size,
                        num_survivors=found[kernel],
                        kernel_density=found[kernel] / size,
                    )
                )
    return table


def perturbed(
    study: Study, networks: Iterable[PerturbedPlan], results: ResultsReader
) -> list[PerturbedLayer]:
    """Returns a row a kernel for every change that was made to a ticket.

    Kernels of which no weight survives have none.
    """
    table = []
    for row, _, change in networks:
        amount = results.read(change, perturbing.read) if change is not None else None
        found = amount["layers"] if amount is not None else {}
        for kernel, size in _sizes(study).items():
            if kernel in found:
                table.append(
                    PerturbedLayer(
                        **columns.columns(row, NetworkKeys),
                        rewind_iteration=row.rewind_iteration,
                        perturbation=row.perturbation,
                        condition=row.condition,
                        mask=row.mask,
                        kernel=kernel,
                        num_weights=size,
                        num_survivors=found[kernel]["num_weights"],
                        initial_std=initial_std(
                            study.facts.kernel_shapes[kernel], study.initializers
                        ),
                        effective_std=found[kernel]["std"],
                        effective_mean=found[kernel]["mean"],
                    )
                )
    return table


def _sizes(study: Study) -> dict[str, int]:
    """Returns how many weights each kernel has, in network order."""
    shapes = study.facts.kernel_shapes
    return {path: math.prod(shape) for path, shape in shapes.items()}


def _mask_of(network: State | GradualPruning) -> Mask | GradualPruning | None:
    """Returns what holds the masks of a network; None where nothing is pruned."""
    return network if isinstance(network, GradualPruning) else network.run.mask
