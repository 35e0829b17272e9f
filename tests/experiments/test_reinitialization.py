"""Tickets with weights of their own, and drawn afresh."""

import pytest

from tflottery.components.runs import Initialization
from tflottery.components.transferring import Transferred
from tflottery.core import seeds
from tflottery.experiments import lottery, reinitialization
from tflottery.studies import ticket_searches, ticket_transfer
from tflottery.studies.subnetworks import (
    IMP,
    RANDOM_PRUNING,
    RANDOM_REINIT,
    Subnetwork,
    Subnetworks,
)

_TICKET = Subnetwork(kind=IMP, level=2, replicate=1, rewind_iteration=8)
_REINIT = Subnetwork(kind=RANDOM_REINIT, level=2, replicate=1, rewind_iteration=8)


@pytest.fixture
def study(study_of):
    return study_of(reinitialization)


def test_each_search_has_its_tickets_reset_and_reinitialized(study):
    found = [
        (one.row.subnetwork, one.row.search)
        for one in ticket_searches._networks(study)
        if one.row.level == 2
    ]
    assert found == [
        (IMP, "labels"),
        (RANDOM_REINIT, "labels"),
        (IMP, "rotation"),
        (RANDOM_REINIT, "rotation"),
        (RANDOM_PRUNING, None),
    ]


def test_reinitialized_is_the_mask_alone(study):
    """The weights are those of the task proper, its head among them."""
    finder = study.related["rotation"]
    reset = ticket_transfer.run(finder, _TICKET, to=study)
    fresh = ticket_transfer.run(finder, _REINIT, to=study)
    assert fresh.mask == reset.mask
    assert isinstance(reset.initial, Transferred)
    assert fresh.initial == Initialization(
        seeds.reinit_seed(1, level=2), study.initializers
    )
    assert fresh.network == study.facts.network
    # On the same order of the data.
    assert fresh.data_order_seed == reset.data_order_seed


def test_of_labels_they_are_those_of_the_lottery(study, study_of):
    other = study_of(lottery, variant="limited_supervision", rewind_iterations=(8,))
    run = ticket_transfer.run(study, _REINIT, to=study)
    assert run.key == Subnetworks(other).run(_REINIT, data_order=1).key
