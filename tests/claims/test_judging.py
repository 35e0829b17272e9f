"""Whom a claim is about, what an interval says of it, and what would supply it."""

import dataclasses
import importlib

import pandas
import pytest
from absl import flags
from made_tables import SETTING

from tflottery.analysis.statistics import Interval
from tflottery.claims import judging
from tflottery.claims.linear_mode_connectivity import (
    LENET,
    RESNET20,
    RESNET20_LOW,
    VGG16,
)
from tflottery.claims.selecting import Lacking
from tflottery.core.registry import CLAIMS
from tflottery.studies import program

KNOWN = (LENET, RESNET20, RESNET20_LOW, VGG16)


def about(network, networks, **changed):
    """Returns how near a setting is to a claim's networks."""
    own = dataclasses.asdict(network)
    own["training_iterations"] = own.pop("iterations")
    setting = SETTING | own | changed
    return judging.nearness(setting, networks, known=KNOWN)


def test_a_claim_is_about_its_networks_and_those_that_the_paper_does_not_have():
    assert about(RESNET20, (RESNET20, VGG16)) == judging.PAPERS_OWN
    assert about(RESNET20_LOW, (RESNET20, VGG16)) is None
    assert about(VGG16, (RESNET20_LOW,)) is None
    assert about(VGG16, (RESNET20,), model="small_mlp") == "another network"


def test_what_is_not_the_papers_is_named():
    networks = (RESNET20,)
    assert about(RESNET20, networks, variant="early_phase") == "another recipe"
    assert about(RESNET20, networks, dataset="digits") == "another data set"
    assert about(RESNET20, networks, task="rotation") == "another task"
    assert about(RESNET20, networks, training_iterations=2000) == "another length"


@pytest.mark.parametrize(
    ("claimed", "low", "high", "expected"),
    [
        (judging.above(0), 0.1, 0.2, "holds"),
        (judging.above(0), -0.1, 0.2, "undecided"),
        (judging.above(0), -0.2, -0.1, "fails"),
        (judging.above(0), 0.0, 0.0, "fails"),
        (judging.at_least(0), 0.0, 0.0, "holds"),
        (judging.below(2), 2.0, 2.0, "fails"),
        (judging.between(-1, 1), -1.0, 1.0, "holds"),
        (judging.between(-1, 1), 0.0, 1.5, "undecided"),
        (judging.between(-1, 1), 1.1, 1.5, "fails"),
    ],
)
def test_an_interval_holds_fails_or_leaves_open(claimed, low, high, expected):
    found = Interval((low + high) / 2, low, high)
    assert judging.answer(found, claimed, about="another network") == expected
    own = judging.answer(found, claimed, about=judging.PAPERS_OWN)
    assert own == ("contradicted" if expected == "fails" else expected)


def test_a_correlations_interval_ends_where_correlations_do():
    replicates = pandas.Series([0.8, 1.0, 0.9])
    found = judging._estimated(replicates, unit="correlation")["interval"]
    assert 0.6 < found.low < 0.7
    assert found.high == 1.0
    assert judging._estimated(replicates, unit="points")["interval"].high > 1.1


@pytest.mark.parametrize(
    ("claim", "names"),
    [
        # No train images of Inception-v3, and no distances of ImageNet's networks.
        ("LMC-F2.3", {"resnet20", "vgg16", "resnet50"}),
        ("LMC-F3.4", {"lenet", "resnet20", "vgg16", "resnet50"}),
        ("LMC-E.1", {"resnet20", "vgg16"}),
        ("LMC-E.2", {"lenet", "resnet20", "vgg16"}),
        # A figure without a companion in the appendix, and Figure 9's.
        ("EP-F10.1", {"resnet20"}),
        ("EP-F10.4", {"resnet20"}),
        ("LS-P15.2", {"resnet50"}),
    ],
)
def test_a_claim_is_about_the_networks_that_the_paper_shows(claim, names):
    assert {one.model for one in CLAIMS[claim]["networks"]} == names


@pytest.mark.parametrize("claim", CLAIMS.names())
def test_the_command_of_a_claim_is_one(claim):
    options = parsed(judging.command_for(CLAIMS[claim], {}))
    assert options.model == CLAIMS[claim]["networks"][0].model


# One claim of each experiment.
_EXPERIMENTS = {CLAIMS[name]["command"].split()[0]: name for name in CLAIMS.names()}


@pytest.mark.parametrize("experiment", _EXPERIMENTS)
def test_a_command_takes_what_its_experiment_has(experiment):
    """Options of its setting, of pruning where it prunes, and what is lacking."""
    flags = "--learning_rate=0.2 --evaluation_examples=2000 --milestones=100,200"
    flags += " --pruning_fraction=0.36 --one_shot=true --random_counts=global"
    flags += " --splits=test"
    dense = experiment in ("telemetry", "natural_sparsity")
    wanted = "--replicates=2" if dense else "--rewind_iterations=0,0.8% --levels=7,8"
    options = parsed(
        judging.command_for(
            CLAIMS[_EXPERIMENTS[experiment]],
            {},
            flags=flags,
            lacking=Lacking("nothing", options=wanted),
        )
    )
    assert options.evaluation_examples == 2000 and options.milestones == ("100", "200")
    assert options.splits == ("test",)
    if not dense:
        assert options.pruning_fraction == 0.36 and options.one_shot is True
        assert options.levels == ("7", "8")


def parsed(command):
    """Returns the Config of a command, which is one."""
    python, module, *given = command.split()[1:]
    assert python == "-m"
    config = importlib.import_module(module).Config
    defined = flags.FlagValues()
    program.define_flags(config, defined, program=module)
    defined([module, *given])
    options = program.from_flags(config, defined)
    options.validate()
    return options
