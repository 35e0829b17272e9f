"""The paper's numbers of tickets are found by how a ticket was."""

import dataclasses
import math

import pytest

from tflottery.figures import reported_tickets
from tflottery.studies.ticket_tables import EvaluatedTicket

_VGG19 = EvaluatedTicket(
    network="runs/a",
    mask=None,
    model="vgg19",
    variant="limited_supervision",
    dataset="cifar10",
    task="labels",
    training_iterations=15_625,
    config="0123abcd",
    replicate=1,
    data_order=1,
    rewind_iteration=98,
    subnetwork="imp",
    level=9,
    density=0.8**9,
    search="any",
    ticket_task="labels",
    ticket_dataset="cifar10",
    search_iterations=15_625,
    search_examples=15_625 * 512,
)
_RESNET50 = dataclasses.replace(
    _VGG19,
    model="resnet50",
    dataset="imagenet2012",
    ticket_dataset="imagenet2012",
    rewind_iteration=5000,
    search_examples=15_625 * 768,
)
_RANDOM = {"search": None, "ticket_task": None, "ticket_dataset": None}
_RANDOM |= {"rewind_iteration": 0}


_IN_1536 = {"rewind_iteration": 2500, "search_examples": 15_625 * 1536}


def found(row, **columns):
    """Returns value, error and source of the number for a row that is changed."""
    row = dataclasses.asdict(dataclasses.replace(row, **columns))
    number = reported_tickets.number(row)
    return number and (number.value, number.error, number.source)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, (92.61, 0.06, "Table 3")),
        ({"ticket_task": "rotation"}, (92.67, 0.04, "Table 3")),
        ({"ticket_task": "exemplar"}, (92.57, 0.06, "Table 3")),
        ({"subnetwork": "random_pruning", **_RANDOM}, (89.61, 0.05, "Table 3")),
        ({"subnetwork": "adjusted_random", **_RANDOM}, (92.41, 0.05, "Table 3")),
        (
            {"subnetwork": "dense", "density": 1.0, **_RANDOM},
            (92.62, 0.05, "Table 3"),
        ),
        ({"model": "resnet18"}, (86.47, 0.05, "Table 2")),
        # The head of a network of one's own may round otherwise.
        ({"density": 0.1343}, (92.61, 0.06, "Table 3")),
    ],
)
def test_cifar10(columns, expected):
    assert found(_VGG19, **columns) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"ticket_subset": "images:0.1"}, (71.15, 0.06, "Table 6")),
        ({"ticket_subset": "classes:0.01"}, (68.25, 0.11, "Table 7")),
        (
            {"ticket_subset": "images:0.3", **_IN_1536},
            (70.21, 0.03, "Table 6"),
        ),
        # Of all images; Tables 6 and 7 repeat it.
        (_IN_1536, (75.24, 0.07, "Table 4")),
        ({"ticket_task": "rotation", **_IN_1536}, (69.88, 0.05, "Table 4")),
        (
            {
                "ticket_task": "semi_supervised",
                "ticket_subset": "images:0.1",
                "rewind_iteration": 1875,
                "search_examples": 15_625 * 2048,
            },
            (72.59, 0.08, "Table 8"),
        ),
        (
            {
                "ticket_dataset": "places365_small",
                "rewind_iteration": 1875,
                "search_examples": 15_625 * 2048,
            },
            (69.29, 0.11, "Table 8"),
        ),
        (
            {
                "ticket_dataset": "cifar10",
                "rewind_iteration": 98,
                "search_examples": 15_625 * 512,
            },
            (65.65, 0.29, "Table 8"),
        ),
    ],
)
def test_resnet50_on_imagenet(columns, expected):
    assert found(_RESNET50, **columns) == expected


@pytest.mark.parametrize(
    "columns",
    [
        # Levels that the tables lack: 28 would round to the density of 27.
        {"density": 0.8**7},
        {"density": 0.8**28},
        {"density": 0.5},
        {"variant": "standard"},
        {"model": "lenet"},
        {"dataset": "digits", "ticket_dataset": "digits"},
        {"task": "rotation"},
        {"subnetwork": "random_reinit"},
        {"first_convolutions": 3.0},
        {"ticket_task": "permuted_labels"},
        {"ticket_task": "rotation", "ticket_subset": "images:0.1"},
        {"ticket_subset": "images:0.1"},
        {"ticket_dataset": "mnist"},
        # Other than after an epoch.
        {"rewind_iteration": 0},
        {"rewind_iteration": 97},
        {"search_examples": 15_625 * 128},
        {"subnetwork": "adjusted_random", "density": 0.8, **_RANDOM},
    ],
    ids=str,
)
def test_what_the_paper_does_not_print(columns):
    assert found(_VGG19, **columns) is None


def test_missing_values_of_a_table_that_was_read():
    nothing = dict.fromkeys(("ticket_subset", "first_convolutions"), math.nan)
    assert found(_VGG19, **nothing) == (92.61, 0.06, "Table 3")
    random = dict.fromkeys(_RANDOM, math.nan) | {"rewind_iteration": 0}
    random |= {"subnetwork": "random_pruning"}
    assert found(_VGG19, **random)[0] == 89.61
