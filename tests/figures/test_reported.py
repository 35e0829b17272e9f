"""The papers' numbers can be looked up."""

import importlib.resources

import pytest

from tflottery.figures import reported

LMC = {"paper": "linear_mode_connectivity"}


def test_numbers_ship_with_the_package():
    assert (importlib.resources.files("tflottery.figures") / "reported.csv").is_file()
    assert len(reported.load()) > 900


def test_loaded_table_is_ones_own():
    table = reported.load()
    table.loc[:, "value"] = 0
    assert reported.load()["value"].max() > 0


@pytest.mark.parametrize(
    ("model", "dataset", "value", "error"),
    [("lenet", "mnist", 98.3, 0.1), ("vgg16", "cifar10", 93.7, 0.1)],
)
def test_accuracy_of_lmc_table_1(model, dataset, value, error):
    found = reported.number(
        "top1_accuracy_pct", model=model, dataset=dataset, method="standard", **LMC
    )
    assert (found.value, found.error, found.source) == (value, error, "Table 1")


def test_number_without_error():
    found = reported.number(
        "stability_emerges_iteration",
        model="ResNet-20",
        dataset="CIFAR-10",
        method="full network",
        **LMC,
    )
    assert (found.value, found.error) == (2000, None)


def test_unreported_is_none():
    description = {"model": "lenet", "dataset": "digits", "method": "standard"}
    assert reported.number("top1_accuracy_pct", **description, **LMC) is None


def test_several_different_numbers_are_refused():
    with pytest.raises(ValueError, match="2 different numbers.*32000.*48000"):
        reported.number(
            "lr_decay_iteration",
            model="resnet20",
            dataset="cifar10",
            method="standard",
            **LMC,
        )
