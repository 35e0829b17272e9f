"""Tickets of labels that mean nothing."""

import dataclasses

from tflottery.experiments import permuted_labels
from tflottery.experiments.permuted_labels import Config
from tflottery.studies import ticket_searches
from tflottery.studies.subnetworks import ADJUSTED_RANDOM, IMP, RANDOM_PRUNING


def test_both_searches_stand_beside_plain_and_adjusted_random_pruning(study_of):
    study = study_of(permuted_labels, baselines=Config.baselines)
    found = [
        (one.row.subnetwork, one.row.search, one.row.ticket_task)
        for one in ticket_searches._networks(study)
        if one.row.level == 2
    ]
    assert found == [
        (IMP, "labels", "labels"),
        (IMP, "permuted_labels", "permuted_labels"),
        (RANDOM_PRUNING, None, None),
        (ADJUSTED_RANDOM, None, None),
    ]


def test_labels_are_permuted_once_for_each_replicate(study_of):
    study = study_of(permuted_labels, replicates=2)
    finder = study.related["permuted_labels"]
    pretext_seeds = [finder.data(replicate).pretext_seed for replicate in (1, 2)]
    assert len(set(pretext_seeds)) == 2
    # Tickets keep the head that was trained for as many classes.
    for one in ticket_searches._networks(study):
        if one.row.search == "permuted_labels":
            assert not one.accuracy.of.run.initial.new_head
            assert one.accuracy.of.run.data == study.facts.data


def test_the_papers_recipe_leaves_images_as_they_are():
    config = Config(model="vgg19", dataset="cifar10")
    labels, permuted = (one.config for one in config.searches())
    assert permuted.recipe()[1].augmentation == "none"
    assert labels.recipe()[1].augmentation != "none"
    changed = dataclasses.replace(config, augmentation="flip_crop").related()
    assert changed["permuted_labels"].augmentation == "flip_crop"
