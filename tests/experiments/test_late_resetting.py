"""What tickets of few images are reset to."""

import dataclasses

import pytest

from tflottery.components.metadata import Facts
from tflottery.core import subsets
from tflottery.core.identities import Data, Network
from tflottery.experiments import late_resetting
from tflottery.experiments.late_resetting import Config
from tflottery.studies import study as studies
from tflottery.studies import ticket_searches
from tflottery.training.distribution import Placement


@pytest.fixture
def study():
    """Returns a study of ResNet-50 on as many images as ImageNet has."""

    def facts_of(model, setting):
        fraction = subsets.parse(setting.subset).fraction if setting.subset else 1
        data = Data(
            name=setting.dataset,
            version="1",
            digest="0",
            image_shape=(224, 224, 3),
            num_train=round(fraction * 1_281_167),
            num_test=50_000,
            num_classes=1000,
            subset=setting.subset,
        )
        return Facts(
            network=Network(model, data.image_shape, 1000),
            data=data,
            num_weights=1,
            num_trainable=1,
            kernel_shapes={"conv/kernel": (3, 3, 9, 9), "head/kernel": (9, 9)},
            flops_per_example=1,
            has_batch_norm=True,
            num_devices=1,
        )

    config = Config(model="resnet50", dataset="imagenet2012", levels=("1",))
    return studies.study_of(config, facts_of, Placement())


def test_the_papers_table_of_reset_points(study, nothing_found):
    found = late_resetting.rows(study, nothing_found)["resetting"]
    assert [one.ticket_subset for one in found] == [
        None,
        "images:0.3",
        "images:0.1",
        "images:0.01",
    ]
    assert [one.rewind_iteration for one in found] == [2500, 2500, 5000, 5000]
    assert {one.rewind_examples for one in found} == {3_840_000}
    assert [round(one.rewind_epochs) for one in found] == [3, 10, 30, 300]
    percent = [round(100 * one.rewind_fraction, 1) for one in found]
    assert percent == [3.3, 5.0, 15.0, 30.0]


def test_the_four_rules_of_the_figure(study):
    ks = {
        one.row.search: one.row.rewind_iteration
        for one in ticket_searches._networks(study)
        if one.row.search
    }
    assert ks == {
        "labels": 2500,
        # A tenth of ImageNet takes 166.8 updates of 768.
        "images:0.1 to 3ep": 501,
        "images:0.1 to 3.3%": 1102,
        "images:0.1 to 2500it": 2500,
        "images:0.1 to 3840000ex": 5000,
    }


def test_rules_of_the_same_k_train_once_and_have_rows_of_both(study_of):
    study = study_of(late_resetting, rewind_rules=("8it", "480ex"))
    found = {}
    for one in ticket_searches._networks(study):
        if one.row.search and one.row.ticket_subset:
            found.setdefault(one.row.network, []).append(one.row.search)
    assert len(found) == 2
    searches = ["images:0.5 to 8it", "images:0.5 to 480ex"]
    assert all(names == searches for names in found.values())


def test_config_is_that_of_other_commands_whatever_the_table_tells(study_of):
    usual = study_of(late_resetting)
    other = study_of(late_resetting, subsets=("images:0.3", "classes:0.5"))
    assert usual.config_hash == other.config_hash
    assert usual.name != other.name


def test_a_part_of_the_training_scales_with_it(study_of):
    ks = [
        study_of(late_resetting, training_iterations=length)
        .related["images:0.5 to 25%"]
        .rewind_iterations
        for length in (24, 50)
    ]
    assert ks == [(6,), (13,)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rewind_rules": ()}, "--rewind_rules is empty: name at least one"),
        ({"rewind_rules": ("3ep", "3ep")}, "'3ep,3ep' names 3ep twice"),
        (
            {"rewind_rules": ("3 epochs",)},
            "--rewind_rules: '3 epochs' is not a duration",
        ),
        ({"ticket_subset": "images:1"}, "--ticket_subset='images:1' .* has to be a p"),
        ({"subset": "images:0.5"}, "--subset='images:0.5' .* --ticket_subset which"),
        ({"subsets": ()}, "--subsets is empty"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        dataclasses.replace(Config.tiny(), **options).validate()
