"""Tickets: a mask and the weights at the rewind iteration, in one file.

A ticket is what IMP finds: an untrained subnetwork (*Linear Mode Connectivity*,
Algorithm 2). Of a model of your own:

    ticket = tickets.of(model, rewind_iteration=500)
    tickets.save(ticket, "ticket.safetensors")
    tickets.restore(tickets.load("ticket.safetensors"), another_model)
"""

import dataclasses

import keras
import numpy as np
from etils import epath

from tflottery import layers
from tflottery.models import weights as model_weights
from tflottery.models.weights import Weights
from tflottery.pruning import masks as pruning_masks
from tflottery.pruning.masks import Masks
from tflottery.training import checkpoints

_WEIGHT, _MASK, _ITERATION = "weight/", "mask/", "rewind_iteration"


@dataclasses.dataclass(frozen=True)
class Ticket:
    """A subnetwork before its training.

    Attributes:
      weights: float32 by variable path, batch norm statistics among them; pruned ones
        are exactly 0.0.
      masks: 0 or 1 of the kernels' shapes, by kernel path.
      rewind_iteration: updates done before these weights.
    """

    weights: Weights
    masks: Masks
    rewind_iteration: int

    def __post_init__(self) -> None:
        """Raises ValueError for masks that do not fit, or pruned weights not zero."""
        pruned = pruning_masks.apply(self.weights, self.masks)
        for path in self.masks:
            if not np.array_equal(pruned[path], self.weights[path], equal_nan=True):
                raise ValueError(
                    f"Weights of {path!r} are not 0.0 where the mask prunes them: a "
                    "ticket's are. Use pruning.masks.apply first."
                )


def of(model: keras.Model, *, rewind_iteration: int) -> Ticket:
    """Returns the ticket that a model with masked layers is now."""
    return Ticket(model_weights.weights(model), layers.masks(model), rewind_iteration)


def restore(ticket: Ticket, model: keras.Model) -> None:
    """Gives a model the weights and masks of a ticket.

    Changes: the model's variables.

    Raises:
      ValueError: the model has other variables; says which.
    """
    model_weights.assign(model, ticket.weights)
    layers.set_masks(model, ticket.masks)


def save(ticket: Ticket, path: epath.PathLike) -> None:
    """Writes a ticket as safetensors; the file is whole whenever its name is there."""
    arrays = {_WEIGHT + name: value for name, value in ticket.weights.items()}
    arrays |= {_MASK + name: np.uint8(value) for name, value in ticket.masks.items()}
    arrays[_ITERATION] = np.int64([ticket.rewind_iteration])
    checkpoints.write_arrays(path, arrays)


def load(path: epath.PathLike) -> Ticket:
    """Returns the ticket in a file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, or holds no ticket.
    """
    arrays = checkpoints.read_arrays(path)
    if _ITERATION not in arrays:
        raise ValueError(
            f"{str(path)!r} holds {sorted(arrays)[:3]} ..., not a ticket as "
            "`tickets.save` writes it."
        )
    return Ticket(
        weights=_part(arrays, _WEIGHT),
        masks={name: np.float32(mask) for name, mask in _part(arrays, _MASK).items()},
        rewind_iteration=int(arrays[_ITERATION][0]),
    )


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a prefix, by the name after it."""
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
