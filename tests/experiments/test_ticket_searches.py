"""Searches for tickets: what is trained once, what it costs, how its rows are told."""

import dataclasses

import pytest

from tflottery.core.recipes import PruningRecipe, replaced
from tflottery.experiments import lottery
from tflottery.studies import ticket_searches
from tflottery.studies.subnetworks import (
    IMP,
    RANDOM_PRUNING,
    RANDOM_REINIT,
    Subnetwork,
    Subnetworks,
)
from tflottery.studies.ticket_searches import TicketConfig


class Experiment:
    """Searches of labels: on all images, on a part, with one layer pruned."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config(TicketConfig):
        def searches(self):
            return {
                "labels": self.searching(),
                "half": self.searching(subset="images:0.5"),
                "classes": self.searching(subset="classes:0.5"),
            }


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
        ({"subset": "images:0"}, "'images:0' is no subset"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    config = dataclasses.replace(Experiment.Config.tiny(), **options)
    with pytest.raises(ValueError, match=text):
        config.validate()


def test_every_option_of_pruning_reaches_a_search():
    config = dataclasses.replace(Experiment.Config.tiny(), learning_rate=0.5)
    found = config.searches()["half"]
    assert (found.learning_rate, found.levels) == (0.5, ("1-2",))
    assert found.variant == "limited_supervision"


def test_the_papers_schedule_begins_anew():
    _, recipe = Experiment.Config.tiny().recipe()
    assert recipe.pruning.schedule == "restarted"
    assert PruningRecipe().schedule == "continued"
    with pytest.raises(ValueError, match="schedule='sometimes' has to be one of"):
        replaced(recipe, schedule="sometimes")
