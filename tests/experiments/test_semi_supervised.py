"""Tickets of few labels, and of unlabeled images beside them."""

import dataclasses

import pytest

from tflottery.experiments import low_shot, semi_supervised
from tflottery.experiments.semi_supervised import Config
from tflottery.studies import ticket_searches


@pytest.fixture
def networks(study_of):
    def planned(module=semi_supervised, **options):
        return list(ticket_searches._networks(study_of(module, **options)))

    return planned


def test_the_four_settings_of_the_figure(networks):
    found = [
        (one.row.search, one.row.ticket_task, one.row.ticket_subset)
        for one in networks(labeled="images:0.2")
        if one.row.search and one.row.level == 1
    ]
    assert found == [
        ("labels", "labels", None),
        ("semi_supervised (images:0.2)", "semi_supervised", "images:0.2"),
        ("low_shot (images:0.2)", "labels", "images:0.2"),
        ("label_agnostic (rotation)", "rotation", None),
    ]


def test_all_images_are_trained_on_and_some_have_labels(study_of):
    study = study_of(semi_supervised)
    semi, low, _ = study.related.values()
    assert semi.facts.data.num_train == study.facts.data.num_train
    assert low.facts.data.num_train < 0.11 * study.facts.data.num_train
    # A head for classes and turns.
    assert semi.facts.network.num_classes == 14
    for one in ticket_searches._networks(study):
        if one.row.ticket_task == "semi_supervised":
            assert one.accuracy.of.run.initial.new_head


def test_low_shot_is_the_search_of_its_own_command(networks):
    def addresses(found, search):
        return {one.row.network for one in found if one.row.search == search}

    own = addresses(networks(), "low_shot (images:0.1)")
    other = addresses(networks(low_shot, subsets=("images:0.1",)), "images:0.1")
    assert own == other != set()


@pytest.mark.parametrize("labeled", ["images:1", "classes:0.3"])
def test_some_images_of_every_class_have_labels(labeled):
    config = dataclasses.replace(Config.tiny(), labeled=labeled)
    with pytest.raises(ValueError, match=f"--labeled='{labeled}' has to be some of"):
        config.validate()


def test_all_labels_are_those_of_all_data():
    config = dataclasses.replace(Config.tiny(), subset="images:0.5")
    with pytest.raises(ValueError, match=r"--subset='images:0.5' .* --labeled"):
        config.validate()
