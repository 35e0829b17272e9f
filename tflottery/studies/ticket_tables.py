"""Rows on tickets, which say how each was found: accuracy.csv and mask_layers.csv."""

import dataclasses

from tflottery.studies.accuracy_table import TrainedNetwork
from tflottery.studies.layer_tables import MaskLayer


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluatedTicket(TrainedNetwork):
    """A row of accuracy.csv: a network trained on the labels of the whole data set.

    Attributes:
      search: how its mask was found, as the experiment calls it; None where it was not:
        of the dense network and of what tickets are compared with.
      ticket_task: on which it was found: labels, or a pretext.
      ticket_dataset: likewise.
      ticket_subset: the part of that data set that was seen, or had labels; None: all.
      ticket_config: short hash of whatever else decides what finds it, as `config`.
      first_convolutions: how many convolutions were pruned, the first ones; None: all
        that the recipe prunes.
      search_iterations: updates that it took to find the mask, of the dense network
        and of all the levels before.
      search_examples: images seen in these.
    """

    search: str | None = None
    ticket_task: str | None = None
    ticket_dataset: str | None = None
    ticket_subset: str | None = None
    ticket_config: str | None = None
    first_convolutions: int | None = None
    search_iterations: int | None = None
    search_examples: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TicketMaskLayer(MaskLayer):
    """A row of mask_layers.csv; columns as in `MaskLayer` and `EvaluatedTicket`."""

    search: str | None = None
    ticket_task: str | None = None
    ticket_dataset: str | None = None
    ticket_subset: str | None = None
    ticket_config: str | None = None
    first_convolutions: int | None = None
