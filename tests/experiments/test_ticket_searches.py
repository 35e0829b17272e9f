"""Searches for tickets: what is trained once, what it costs, how its rows are told."""

import dataclasses

import pandas
import pytest

from tflottery.components.metadata import Facts
from tflottery.core.identities import Data, Network
from tflottery.core.recipes import PruningRecipe, replaced
from tflottery.experiments import lottery
from tflottery.studies import ticket_searches, ticket_summary
from tflottery.studies.search_options import TicketConfig
from tflottery.studies.study import resolve
from tflottery.studies.subnetworks import (
    IMP,
    RANDOM_PRUNING,
    RANDOM_REINIT,
    Subnetwork,
    Subnetworks,
)
from tflottery.training.distribution import Placement


class Experiment:
    """Searches of labels: on all images, on a part, with one layer pruned."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config(TicketConfig):
        def searches(self):
            return [
                self.search("labels"),
                self.search("half", subset="images:0.5"),
                self.search("classes", subset="classes:0.5"),
            ]


class Both(Experiment):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config(Experiment.Config):
        TICKET_KINDS = (IMP, RANDOM_REINIT)


@pytest.fixture
def planned(study_of):
    def make(experiment=Experiment, **options):
        study = study_of(experiment, **options)
        return study, list(ticket_searches._networks(study))

    return make


def test_what_searches_on_the_labels_themselves_has_trained_its_tickets(
    planned, study_of
):
    _, networks = planned()
    found = [one for one in networks if one.row.search == "labels"]
    other = Subnetworks(
        study_of(lottery, variant="limited_supervision", rewind_iterations=(8,))
    )
    for one in found:
        ticket = Subnetwork(
            kind=IMP, level=one.row.level, replicate=1, rewind_iteration=8
        )
        assert one.row.network.split("/")[1] == other.run(ticket, data_order=1).key


def test_a_search_on_part_of_the_data_is_judged_on_all_of_it(planned):
    study, networks = planned()
    for name, classes in (("half", 10), ("classes", 5)):
        finder = study.related[name]
        assert finder.facts.network.num_classes == classes
        for one in networks:
            if one.row.search == name:
                run = one.accuracy.of.run
                assert run.data == study.facts.data
                assert run.mask == Subnetworks(finder).mask(
                    Subnetwork(
                        kind=IMP,
                        level=one.row.level,
                        replicate=1,
                        rewind_iteration=8,
                    )
                )
                # Only a head for other classes is drawn afresh.
                assert run.initial.new_head == (name == "classes")
                assert one.row.ticket_subset == finder.config.setting.subset


def test_what_a_search_costs_counts_all_that_it_trains(planned):
    _, networks = planned()
    costs = {
        (one.row.search, one.row.level): (
            one.row.search_iterations,
            one.row.search_examples,
        )
        for one in networks
        if one.row.search
    }
    # A dense training, and one of each level before.
    assert costs["half", 1] == (24, 24 * 60)
    assert costs["half", 2] == (48, 48 * 60)
    _, networks = planned(schedule="continued")
    costs = {
        one.row.level: one.row.search_iterations for one in networks if one.row.search
    }
    assert costs[2] == 24 + (24 - 8)
    _, networks = planned(one_shot=True)
    assert {one.row.search_iterations for one in networks if one.row.search} == {24}


def test_rows_of_one_search_have_one_name(planned):
    _, networks = planned(Both)
    found = [
        (one.row.subnetwork, one.row.search) for one in networks if one.row.level == 2
    ]
    assert found == [
        (IMP, "labels"),
        (RANDOM_REINIT, "labels"),
        (IMP, "half"),
        (RANDOM_REINIT, "half"),
        (IMP, "classes"),
        (RANDOM_REINIT, "classes"),
        (RANDOM_PRUNING, None),
    ]
    assert len({one.row.network for one in networks}) == len(networks)


def test_the_baselines_can_be_left_out(planned):
    _, networks = planned(baselines=())
    assert {one.row.subnetwork for one in networks} == {"dense", IMP}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"baselines": (IMP,)}, "--baselines='imp' has to name some of"),
        ({"baselines": ("random_pruning",) * 2}, "names random_pruning twice"),
        ({"subset": "images:0.5"}, "--subset='images:0.5' .* low_shot, --subsets"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    config = dataclasses.replace(Experiment.Config.tiny(), **options)
    with pytest.raises(ValueError, match=text):
        config.validate()


def test_every_option_of_pruning_reaches_a_search():
    config = dataclasses.replace(Experiment.Config.tiny(), learning_rate=0.5)
    _, half, _ = config.searches()
    found = half.config
    assert half.name == half.key == "half"
    assert (found.learning_rate, found.levels) == (0.5, ("1-2",))
    assert found.variant == "limited_supervision"


def test_the_papers_schedule_begins_anew():
    _, recipe = Experiment.Config.tiny().recipe()
    assert recipe.pruning.schedule == "restarted"
    assert PruningRecipe().schedule == "continued"
    with pytest.raises(ValueError, match="schedule='sometimes' has to be one of"):
        replaced(recipe, schedule="sometimes")


def measured(planned, errors):
    """Returns rows of some networks with test errors, by (search, replicate)."""
    return [
        dataclasses.replace(one.row, test_error=errors[one.row.search][replicate])
        for one in planned
        if (replicate := one.row.replicate) in errors.get(one.row.search, {})
    ]


_ERRORS = {None: {1: 0.5, 2: 0.5}, "labels": {1: 0.25, 2: 0.5}, "half": {1: 0.25}}


def test_a_summary_has_a_row_for_each_search_and_level(planned):
    study, networks = planned(replicates=2)
    table = measured(networks, _ERRORS)
    found = ticket_summary.rows(table, replicates=len(study.replicates))
    assert [(one.subnetwork, one.search, one.level) for one in found] == [
        ("dense", None, 0),
        *((IMP, name, level) for name in ("labels", "half") for level in (1, 2)),
        *((RANDOM_PRUNING, None, level) for level in (1, 2)),
    ]
    labels = found[1]
    assert labels.test_accuracy_mean == 0.625
    # Of two values, half their distance.
    assert labels.test_accuracy_stderr == 0.125
    assert labels.num_replicates == 2
    assert (labels.density, labels.rewind_iteration) == (0.8, 8)
    assert labels.test_accuracy_difference is labels.reported_test_accuracy is None
    # One replicate of two is not known.
    half = found[3]
    assert half.num_replicates == 1
    assert half.test_accuracy_mean is half.test_accuracy_stderr is None


def test_replicates_that_diverged_are_known_and_left_out(planned):
    study, networks = planned(replicates=2)
    [*known] = measured(networks, {"labels": {1: 0.25, 2: None}})
    found = ticket_summary.rows(known, replicates=2)
    assert [one.test_accuracy_mean for one in found] == [0.75, 0.75]
    assert [one.num_replicates for one in found] == [1, 1]
    assert found[0].test_accuracy_stderr is None
    [*none] = measured(networks, {"labels": {1: None, 2: None}})
    assert ticket_summary.rows(none, replicates=2)[0].test_accuracy_mean is None


def test_a_search_is_faster_by_the_images_that_it_does_not_see(planned):
    _, networks = planned()
    found = ticket_summary.rows([one.row for one in networks], replicates=1)
    speedups = {(one.search, one.level): one.search_speedup for one in found}
    # As many updates, of as large batches.
    assert speedups["labels", 1] == speedups["half", 2] == 1.0
    assert speedups[None, 1] is None

    # Each k is compared with itself, where what is trained from it goes on there.
    _, networks = planned(schedule="continued", rewind_iterations=(8, 16))
    found = ticket_summary.rows([one.row for one in networks], replicates=1)
    speedups = {one.search_speedup for one in found if one.search == "labels"}
    assert speedups == {1.0}

    rows = [one.row for one in networks if one.row.search != "labels"]
    alone = ticket_summary.rows(rows, replicates=1)
    assert {one.search_speedup for one in alone} == {None}


def test_the_papers_numbers_stand_beside(planned):
    _, networks = planned()
    ours = measured(networks, {"labels": {1: 0.05}})
    columns = {"model": "vgg19", "dataset": "cifar10", "ticket_dataset": "cifar10"}
    columns |= {"rewind_iteration": 98, "search_iterations": 1, "search_examples": 512}
    table = [dataclasses.replace(row, **columns) for row in ours]
    first, _ = ticket_summary.rows(table, replicates=1)
    assert (first.reported_test_accuracy, first.reported_in) == (0.9245, "Table 3")
    assert first.reported_test_accuracy_stderr == pytest.approx(0.0005)
    assert first.test_accuracy_difference == pytest.approx(0.0255)


_EXAMPLES = {"images:0.3": 384_350, "images:0.1": 128_117, "classes:0.01": 12_812}
_IMAGENET = Data(
    name="imagenet2012",
    version="5.1.0",
    digest="0",
    image_shape=(224, 224, 3),
    num_train=1_281_167,
    num_test=50_000,
    num_classes=1000,
)


def resnet50(config, num_train=1_281_167, related=None):
    """Returns a study of ResNet-50 on so many images of ImageNet, of two kernels."""
    data = dataclasses.replace(_IMAGENET, num_train=num_train)
    facts = Facts(
        network=Network("resnet50", (224, 224, 3), 1000),
        data=dataclasses.replace(data, subset=config.subset),
        num_weights=1,
        num_trainable=1,
        kernel_shapes={
            "conv_1/kernel": (3, 3, 100, 100),
            "conv_2/kernel": (3, 3, 1000, 1000),
            "head/kernel": (9, 9),
        },
        flops_per_example=1,
        has_batch_norm=True,
        num_devices=1,
    )
    return resolve(config, facts, Placement(), related=related)


def test_the_papers_searches_are_faster_as_it_says():
    """A tenth of the images 4.5 times, a hundredth of the classes 9 times (LS-P18)."""

    class ResNet50:
        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Config(TicketConfig):
            def searches(self):
                return [self.own_search(), *self.searches_on_parts(_EXAMPLES)]

    config = ResNet50.Config(model="resnet50", levels=("1", "30"), replicates=1)
    related = {
        name: resnet50(one, _EXAMPLES[name]) for name, one in config.related().items()
    }
    own = resnet50(config, related=related)
    table = [one.row for one in ticket_searches._networks(own)]
    found = ticket_summary.rows(table, replicates=1)
    speedups = {
        (one.search, one.level): round(one.search_speedup, 2)
        for one in found
        if one.search
    }
    for level in (1, 30):
        assert speedups["labels", level] == 1.0
        assert speedups["images:0.3", level] == 1.5
        assert speedups["images:0.1", level] == 4.5
        assert speedups["classes:0.01", level] == 9.0
    assert {one.reported_in for one in found if one.level == 1} >= {
        "Table 4",
        "Table 6",
        "Table 7",
    }


def test_a_number_of_convolutions_is_a_column_of_one_setting(planned):
    class Depths:
        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Config(TicketConfig):
            def searches(self):
                return [
                    self.search("labels", first_convolutions=depth)
                    for depth in (None, 1)
                ]

    options = {"levels": ("1",), "replicates": 1, "baselines": (RANDOM_PRUNING,)}
    config = Depths.Config(model="resnet50", **options)
    related = {name: resnet50(one) for name, one in config.related().items()}
    assert list(related) == ["labels in first 1"]
    own = resnet50(config, related=related)
    table = [one.row for one in ticket_searches._networks(own)]
    assert [(one.subnetwork, one.search, one.first_convolutions) for one in table] == [
        ("dense", None, None),
        (IMP, "labels", None),
        (IMP, "labels", 1),
        (RANDOM_PRUNING, None, None),
        (RANDOM_PRUNING, None, 1),
    ]
    # Rows of one setting, whichever part is pruned.
    assert len({one.config for one in table}) == 1
    kept = [one.axis_density for one in table[1:3]]
    assert kept[0] < 0.81 < 0.99 < kept[1]
    assert len(ticket_summary.rows(table, replicates=1)) == len(table)


def test_the_answer_tells_what_a_search_costs(planned):
    _, networks = planned(replicates=1)
    table = measured(networks, {name: {1: 0.25} for name in _ERRORS | {"classes": {}}})
    half = [row for row in table if row.search == "half"]
    cheap = {
        id(row): dataclasses.replace(row, search_examples=row.search_examples // 4)
        for row in half
    }
    table = [cheap.get(id(row), row) for row in table]
    tables = {
        "accuracy": table,
        "summary": ticket_summary.rows(table, replicates=1),
    }
    frames = {
        name: pandas.DataFrame(map(dataclasses.asdict, rows))
        for name, rows in tables.items()
    }
    told = ticket_searches.answer(frames)
    assert told.columns[-1] == "search speedup"
    by_line = {row[0]: row[-1] for row in told.rows}
    assert by_line == {
        "dense": "",
        "tickets of labels, k = 8": "1x",
        "tickets of half, k = 8": "4x",
        "tickets of classes, k = 8": "1x",
        "random_pruning, k = 0": "",
    }
