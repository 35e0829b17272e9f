"""Natural sparsity: which networks are trained, and with which rates."""

import dataclasses

import pytest

from tflottery.experiments import natural_sparsity
from tflottery.experiments.natural_sparsity import Config
from tflottery.studies import answers


def _rates(**options):
    """Returns model, optimizer, rate and momentum of each member's options."""
    return [
        (one.model, one.optimizer, one.learning_rate, one.momentum)
        for one in natural_sparsity.members(Config(**options))
    ]


def test_each_network_is_trained_with_each_optimizer():
    assert _rates(model="vgg19, lenet") == [
        ("vgg19", "adam", None, None),
        ("vgg19", "sgd", 0.1, 0.9),
        ("lenet", "adam", None, None),
        ("lenet", "sgd", 0.1, 0.9),
    ]
    assert _rates(model="vgg19", variant="standard") == [
        ("vgg19", "adam", 0.001, None),
        ("vgg19", "sgd", None, None),
    ]


def test_a_rate_that_is_given_is_that_of_the_one_optimizer():
    options = {"model": "vgg19", "optimizers": ("sgd",), "learning_rate": 0.03}
    assert _rates(**options) == [("vgg19", "sgd", 0.03, 0.9)]
    assert _rates(**options, momentum=0.5) == [("vgg19", "sgd", 0.03, 0.5)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"model": " ,"}, "--model=' ,' names no network"),
        ({"optimizers": ()}, "--optimizers='' has to name some of sgd, adam"),
        ({"optimizers": ("lion",)}, "--optimizers='lion' has to name"),
        ({"optimizers": ("sgd", "sgd")}, "--optimizers='sgd,sgd' names sgd twice"),
        ({"optimizer": "sgd"}, "--optimizer='sgd' is said by --optimizers"),
        ({"learning_rate": 0.1}, "--learning_rate=0.1 .*--optimizers=adam"),
    ],
)
def test_options_that_fit_no_network_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        natural_sparsity.members(Config(**options))


def test_too_few_quantiles_are_refused():
    [one, _] = natural_sparsity.members(Config(num_quantiles=1))
    with pytest.raises(ValueError, match="--num_quantiles=1 has to be at least 2"):
        one.validate()


def test_tables_of_a_tiny_command(tiny):
    ended = tiny(natural_sparsity)
    networks = ended.table("natural_sparsity")
    assert list(networks["optimizer"]) == ["adam", "adam", "sgd", "sgd"]
    # Digits scale Adam's rate to their length.
    assert networks["learning_rate"].iloc[2] == 0.1
    assert networks["config"].nunique() == 2
    # The last layer's 1,000 weights do not count.
    assert set(networks["num_weights"]) == {49_200}
    assert networks["natural_sparsity"].between(0, 0.01).all()
    weights = ended.table("sorted_weights")
    assert len(weights) == 4 * 5
    for _, own in weights.groupby(["optimizer", "replicate"]):
        assert list(own["quantile"]) == [0, 0.25, 0.5, 0.75, 1]
        assert own["abs_weight"].is_monotonic_increasing
        assert own["abs_weight"].iloc[-1] > 0


def test_the_answer_stands_beside_the_papers(tiny):
    ended = tiny(natural_sparsity)
    table = ended.table("natural_sparsity")
    table = table.assign(model="vgg19", dataset="cifar10", natural_sparsity=0.5)
    text = answers.text(natural_sparsity, {"natural_sparsity": table})
    adam, sgd = text.splitlines()[3:5]
    assert adam.split()[:3] == ["VGG-19", "CIFAR-10", "adam"]
    assert "50.0 ± 0.0" in adam and "84.5" in adam
    assert "50.0 ± 0.0" in sgd and "84.5" not in sgd


def test_a_network_is_that_of_other_commands(study_of):
    [adam, _] = natural_sparsity.members(Config.tiny())
    study = study_of(natural_sparsity, **dataclasses.asdict(adam))
    goals = natural_sparsity.plan(study)
    trunks = {study.trunk(replicate).key for replicate in (1, 2)}
    assert {goal.of.run.key for goal in goals} == trunks
