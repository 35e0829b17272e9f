"""Tickets found on other data sets."""

import dataclasses

import numpy as np
import pytest

from tflottery.core.registry import DATASETS
from tflottery.datasets.arrays import RawSource
from tflottery.experiments import transfer
from tflottery.experiments.transfer import Config
from tflottery.studies import ticket_searches
from tflottery.studies.subnetworks import Subnetworks


@pytest.fixture
def stripes(register):
    """Registers a data set of two classes, in colour and of another size."""

    def stripes(*, data_dir, minimum_image_size, working_dir):
        labels = np.arange(160, dtype=np.int32) % 2
        images = np.random.default_rng(0).integers(0, 128, (160, 6, 5, 3), np.uint8)
        images[labels == 1, ::2] += 100
        return RawSource(
            version="1",
            train_images=images[:128],
            train_labels=labels[:128],
            test_images=images[128:],
            test_labels=labels[128:],
            num_classes=2,
        )

    declared = {"adapt_recipe": lambda recipe: recipe, "version": 1}
    register(DATASETS, "stripes", stripes, **declared)
    return "stripes"


def test_tickets_of_another_data_set_keep_its_body_and_get_a_head(study_of, stripes):
    study = study_of(transfer, ticket_datasets=("digits", stripes))
    finder = study.related[stripes]
    # Its images are brought to the size and channels of the data set proper.
    assert finder.facts.data.image_shape == study.facts.data.image_shape == (8, 8, 1)
    assert finder.facts.network.num_classes == 2
    own = [
        one
        for one in ticket_searches._networks(study)
        if one.row.search == stripes and one.row.level == 2
    ]
    [(row, accuracy)] = own
    run = accuracy.of.run
    assert (row.ticket_dataset, row.dataset) == (stripes, "digits")
    assert run.data == study.facts.data and run.initial.new_head
    assert run.mask.scored.run.data.name == stripes
    assert run.mask.kernels == Subnetworks(finder).kernels


def test_the_data_set_proper_is_a_search_that_is_not_transferred(study_of):
    study = study_of(transfer, ticket_datasets=("digits",))
    assert not study.related
    assert [one.name for one in study.config.searches()] == ["digits"]


def test_whose_tickets_are_transferred_by_default():
    def others(dataset):
        config = Config(model="resnet50", dataset=dataset)
        return [(one.name, one.config) for one in config.searches()][1:]

    places, cifar10 = others("imagenet2012")
    assert (places[0], cifar10[0]) == ("places365_small", "cifar10")
    assert places[1].shaped_like == cifar10[1].shaped_like == "imagenet2012"
    assert places[1].recipe()[1].batch_size == 2048
    assert [name for name, _ in others("mnist")] == ["cifar10"]
    Config(dataset="cifar10", model="vgg19").validate()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ticket_datasets": ()}, "--ticket_datasets is empty: name at least one"),
        ({"ticket_datasets": ("mnist", "mnist")}, "'mnist,mnist' names mnist twice"),
        ({"ticket_datasets": None}, "Whose tickets 'digits' .* --ticket_datasets has"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        dataclasses.replace(Config.tiny(), **options).validate()
