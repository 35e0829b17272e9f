"""Tickets found on parts of the data."""

import dataclasses

import pytest

from tflottery.experiments import label_agnostic, low_shot
from tflottery.experiments.low_shot import Config
from tflottery.studies import ticket_searches


@pytest.fixture
def networks(study_of):
    def planned(module=low_shot, **options):
        return list(ticket_searches._networks(study_of(module, **options)))

    return planned


def test_each_part_is_a_search_beside_that_of_all(networks):
    found = [
        (one.row.search, one.row.ticket_subset)
        for one in networks(subsets=("images:0.5", "classes:0.30"))
        if one.row.search and one.row.level == 1
    ]
    assert found == [
        ("labels", None),
        ("images:0.5", "images:0.5"),
        ("classes:0.3", "classes:0.3"),
    ]


def test_a_part_that_is_the_whole_is_the_search_of_labels(networks):
    whole = networks(subsets=("images:1", "classes:1.0"))
    labels = networks(label_agnostic, ticket_tasks=("labels",))
    assert [one.row for one in whole] == [one.row for one in labels]


def test_a_search_of_as_many_epochs_of_a_part_costs_fewer_images(networks):
    costs = {
        one.row.search: one.row.search_examples
        for one in networks(subsets=("images:0.1",), training_iterations="20ep")
        if one.row.search and one.row.level == 1
    }
    assert costs["labels"] / costs["images:0.1"] == pytest.approx(10, rel=0.03)


def test_a_search_that_ends_before_every_k_is_refused(study_of):
    own = {"rewind_iterations": None, "training_iterations": None}
    options = own | {"model": "lenet_batch_norm", "dataset": "digits"}
    text = (
        r"\(1000\) is beyond .* training on images:0.5 of digits at \d+\. Name others"
    )
    with pytest.raises(ValueError, match=text):
        study_of(low_shot, subsets=("images:0.5",), **options)


def test_a_k_beyond_the_end_of_a_search_says_which(study_of):
    options = {"rewind_iterations": (20,), "training_iterations": "1ep"}
    text = r"names \[20\], beyond the end of training on images:0.5 of digits at 13"
    with pytest.raises(ValueError, match=text):
        study_of(low_shot, subsets=("images:0.5",), **options)


def test_the_k_that_a_search_lacks_are_said(study_of):
    options = {"rewind_iterations": None, "training_iterations": 60}
    found = study_of(low_shot, subsets=("images:0.5",), **options)
    text = "labels, images:0.5 (the recipe's 100: beyond the end) to level"
    assert text in low_shot.subject(found)


def test_a_batch_of_more_images_than_a_part_has_is_said(execute):
    ended = execute(low_shot, subsets=("images:0.02",), dry_run=True)
    told = " ".join(ended.text.split())
    said = "A batch of 60 is more than the 30 training images of images:0.02 of 'digit"
    assert told.count(said) == 1
    assert "more than once" in told


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"subsets": ()}, "--subsets is empty: name at least one, such as images"),
        ({"subsets": ("images:0.1", "images:0.1")}, "names images:0.1 twice"),
        ({"subsets": ("images:0.1", "images:0.10")}, "names images:0.1 twice"),
        ({"subsets": ("tenth",)}, "'tenth' is no subset. Write images:0.1"),
        ({"subset": "images:0.1"}, "--subset='images:0.1' is the part .* --subsets"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        dataclasses.replace(Config.tiny(), **options).validate()
