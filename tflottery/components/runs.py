"""Runs and states: trajectories of training, and the points kept of them.

A run's key hashes how the trajectory comes about, not how long it is followed: 2,000
and 24,000 iterations of one recipe are one run. A state is a run at an iteration:
weights and batch norm statistics, and optimizer slots where training may go on from it.

What differs by rounding alone does not enter a key: on how many devices the parts of a
batch were. Two makings of one key are the same bits on one kind of machine and one
number of devices, which the manifest names.
"""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts
from tflottery.core import fingerprints, recipes
from tflottery.core.identities import Data, Network
from tflottery.core.initializers import Initializers
from tflottery.core.recipes import Recipe
from tflottery.training import checkpoints, precisions

WEIGHTS_FILE = checkpoints.WEIGHTS_FILE
SLOTS_FILE = checkpoints.SLOTS_FILE
MASK_FILE = "mask.safetensors"
_FLOAT32_BYTES = np.dtype(np.float32).itemsize
# Of a number that a layer puts out.
_ACTIVATION_BYTES = {precisions.FLOAT32: 4, precisions.MIXED_BFLOAT16: 2}


@dataclasses.dataclass(frozen=True)
class Initialization:
    """Weights drawn afresh (`models.weights.initial_values`).

    Attributes:
      seed: decides what is drawn.
      initializers: what it is drawn from.
    """

    KIND = "initialization"

    seed: int
    initializers: Initializers = dataclasses.field(
        default=Initializers(), metadata=fingerprints.LATER
    )


@dataclasses.dataclass(frozen=True)
class Run:
    """A trajectory of training.

    Attributes:
      network: what is trained.
      data: on what.
      recipe: resolved; its length does not enter the key.
      initial: fresh weights, or the artifact whose weights the run starts from.
      mask: the artifact that holds the masks; None is dense.
      data_order_seed: decides the order of the training examples.
      augmentation_seed: decides their augmentation.
      dropout_seed: decides what the network draws in training, if it does.
      first_iteration: where on schedule and data stream the run begins.
      optimizer_state: "fresh", or "carried" over from the initial state; always "fresh"
        where the two would be the same.
      device: kind of device.
      num_replicas: parts of each batch, which batch norm sees one by one, be they on
        as many devices or fewer.
      precision: of weights and arithmetic.
      threads: that compute on a CPU, among which sums are divided.
    """

    network: Network
    data: Data
    recipe: Recipe
    initial: Initialization | Artifact
    mask: Artifact | None
    data_order_seed: int
    augmentation_seed: int
    dropout_seed: int
    first_iteration: int = 0
    optimizer_state: str = "fresh"
    device: str = "cpu"
    num_replicas: int = 1
    precision: str = "float32"
    threads: int = dataclasses.field(default=1, metadata=fingerprints.LATER)

    KIND = "run"
    VERSION = 1

    def __post_init__(self) -> None:
        """Makes the optimizer state "fresh" where there are no slots to carry over."""
        if not self._can_carry():
            object.__setattr__(self, "optimizer_state", "fresh")

    @functools.cached_property
    def key(self) -> str:
        """Hash of the derivation."""
        return fingerprints.key_of(self, recipe=self._trajectory)

    def derivation(self) -> dict[str, object]:
        """Returns what decides the trajectory, in plain values."""
        return fingerprints.fields(self, recipe=self._trajectory)

    @property
    def _trajectory(self) -> str:
        """Text of what of the recipe decides the trajectory."""
        return fingerprints.once(_trajectory, self.recipe)

    def _can_carry(self) -> bool:
        """Returns whether slots of the initial state would make a difference."""
        initial = self.initial
        if not isinstance(initial, State) or not recipes.has_memory(self.recipe):
            return False
        # At the very start of another run its slots are as fresh as those of this one.
        starts = {self.first_iteration, initial.iteration, initial.run.first_iteration}
        return len(starts) > 1 or initial.run.optimizer_state == "carried"

    @functools.cached_property
    def sources(self) -> tuple[Artifact, ...]:
        """The artifacts that training needs to begin at `first_iteration`.

        A state is needed with slots only where they are carried over.
        """
        initial = self.initial
        if isinstance(initial, State) and self.optimizer_state == "carried":
            initial = dataclasses.replace(initial, needs_slots=True)
        candidates = (initial, self.mask)
        return tuple(one for one in candidates if isinstance(one, Artifact))


@dataclasses.dataclass(frozen=True)
class State(Artifact):
    """A run at an iteration.

    Attributes:
      run: the trajectory.
      iteration: updates done.
      keeps_slots: whether optimizer slots are kept when it is made, so that other
        trainings of the run may go on from here; one that is there without them will
        do. Does not enter the key.
      needs_slots: whether one that is there without slots has to be made again. Does
        not enter the key.
    """

    KIND = "state"

    run: Run
    iteration: int
    keeps_slots: bool = False
    needs_slots: bool = False

    @functools.cached_property
    def key(self) -> str:
        """Hash of the derivation."""
        return _key_of_state(self.run.key, self.iteration)

    @functools.cached_property
    def address(self) -> str:
        """The folder of a store this belongs in."""
        return f"runs/{self.run.key}/{self.iteration:08d}"

    @property
    def files(self) -> tuple[str, ...]:
        """The files this promises; where slots are kept there is one more."""
        return (WEIGHTS_FILE, SLOTS_FILE) if self.needs_slots else (WEIGHTS_FILE,)

    @property
    def sources(self) -> tuple[Artifact, ...]:
        """The artifacts that its run begins from."""
        return self.run.sources

    @property
    def has_slots(self) -> bool:
        """Whether it is made with slots."""
        return self.keeps_slots or self.needs_slots

    def together(self, other: "State") -> "State":
        """Returns the same state with what either of two wants of its slots."""
        keeps = self.keeps_slots or other.keeps_slots
        needs = self.needs_slots or other.needs_slots
        if (keeps, needs) == (self.keeps_slots, self.needs_slots):
            return self
        return dataclasses.replace(self, keeps_slots=keeps, needs_slots=needs)

    def num_bytes(self, facts: Mapping[Network, Facts]) -> int:
        """Returns about what weights, statistics and slots take on disk, in float32."""
        known = facts[self.run.network]
        slots = _slots_per_weight(self.run) * self.has_slots
        return _FLOAT32_BYTES * (known.num_weights + slots * known.num_trainable)


def _trajectory(recipe: Recipe) -> str:
    return fingerprints.text(recipes.trajectory(recipe))


# In a plan the same state is made anew for each artifact that comes from it.
@functools.lru_cache(maxsize=None, typed=True)
def _key_of_state(run_key: str, iteration: int) -> str:
    return fingerprints.fingerprint([State.KIND, run_key, iteration])


def slots_begin(run: Run) -> int:
    """Returns the iteration at which a run's optimizer slots were fresh."""
    if run.optimizer_state == "carried" and isinstance(run.initial, State):
        return slots_begin(run.initial.run)
    return run.first_iteration


def num_working_bytes(run: Run, facts: Facts) -> int:
    """Returns about what training takes of its device's memory.

    Weights, gradients, slots and masks, in float32, and what all layers put out for the
    images that are trained on at a time, which gradients are worked out from, in the
    run's precision.

    Args:
      run: what is trained.
      facts: of its network.
    """
    copies = 2 + _slots_per_weight(run) + (run.mask is not None)
    num_examples = run.recipe.batch_size // run.num_replicas
    activations = _ACTIVATION_BYTES[run.precision] * facts.num_activations
    weights = _FLOAT32_BYTES * facts.num_trainable
    return copies * weights + num_examples * activations


def _slots_per_weight(run: Run) -> int:
    """Returns how many numbers an optimizer keeps of each weight."""
    return 2 if run.recipe.optimizer == "adam" else 1
