"""Tickets of which the first convolutions alone are pruned."""

import dataclasses

import pytest

from tflottery.components.metadata import Facts
from tflottery.experiments.layerwise import Config
from tflottery.studies import study as studies
from tflottery.studies import ticket_searches
from tflottery.studies.subnetworks import RANDOM_PRUNING
from tflottery.training.distribution import Placement

_SHAPES = {
    "conv_1/kernel": (1, 1, 1, 100),
    "conv_2/kernel": (1, 1, 100, 10),
    "dense/kernel": (100, 89),
    "head/kernel": (100, 10),
}


@pytest.fixture
def networks(facts):
    """Returns the networks planned of a model with two convolutions."""

    def facts_of(model: str, setting) -> Facts:
        data = facts.data
        if setting.pretext:
            data = dataclasses.replace(data, pretext=setting.pretext, pretext_version=1)
        return dataclasses.replace(facts, data=data, kernel_shapes=_SHAPES)

    def planned(**options):
        config = dataclasses.replace(Config.tiny(), **options)
        study = studies.study_of(config, facts_of, Placement())
        return list(ticket_searches._networks(study))

    return planned


def test_every_task_is_pruned_to_every_depth(networks):
    found = [
        (one.row.search, one.row.first_convolutions)
        for one in networks(depths=("1", "2", "all"))
        if one.row.level == 1 and one.row.search
    ]
    assert found == [
        ("labels", 1),
        ("rotation", 1),
        ("labels", 2),
        ("rotation", 2),
        ("labels", None),
        ("rotation", None),
    ]


def test_random_pruning_is_of_the_same_layers(networks):
    pruned = {
        (one.row.first_convolutions, one.row.subnetwork): [
            path for path, _ in one.accuracy.of.run.mask.kernels
        ]
        for one in networks(depths=("1", "all"))
        if one.row.level == 1
    }
    paths = list(_SHAPES)
    assert pruned[1, RANDOM_PRUNING] == pruned[1, "imp"] == paths[:1]
    assert pruned[None, RANDOM_PRUNING] == pruned[None, "imp"] == paths[:3]


def test_densities_are_of_the_pruned_part_and_of_the_whole(networks):
    found = {
        (one.row.first_convolutions, one.row.density, one.row.axis_density)
        for one in networks(depths=("1", "all"), levels=("1",))
        if one.row.level
    }
    # Of 11,000 weights 20 are pruned, and 2,000 of all but the head's.
    assert found == {(1, 0.8, 10_980 / 11_000), (None, 0.8, 9_000 / 11_000)}


@pytest.mark.parametrize(
    ("model", "depths"),
    [
        ("alexnet", [1, 3, 5, None]),
        ("resnet50", [11, 24, 43, None]),
        ("resnet20", [7, 14, None]),
        ("lenet", [None]),
    ],
)
def test_depths_are_the_papers_or_where_stages_end(model, depths):
    config = Config(model=model)
    assert config._depths() == depths


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"depths": ()}, "--depths is empty: name at least one, such as 1,3,5,all"),
        ({"depths": ("1", "all", "1")}, "'1,all,1' names 1 twice"),
        ({"depths": ("1", "1.5")}, "'1,1.5' names 1.5, and a depth is a whole number"),
        ({"depths": ("0",)}, "--depths='0' names 0, and a depth is a whole number"),
        ({"first_convolutions": 3}, "--first_convolutions=3 is what --depths names"),
        ({"ticket_tasks": ()}, "--ticket_tasks is empty"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        dataclasses.replace(Config.tiny(), **options).validate()


def test_more_convolutions_than_there_are_is_refused(networks):
    with pytest.raises(ValueError, match="from 1 to 2, the convolutions"):
        networks(depths=("3",))
