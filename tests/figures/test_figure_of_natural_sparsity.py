"""The figure of sorted magnitudes shows what the table says."""

import dataclasses

import numpy as np
import pandas
import pytest

from tflottery.experiments.natural_sparsity import SortedWeight
from tflottery.figures import natural_sparsity


def _weights(model="vgg19", *, optimizer, config, magnitudes):
    return [
        SortedWeight(
            model=model,
            variant="limited_supervision",
            dataset="cifar10",
            task="labels",
            training_iterations=15_625,
            config=config,
            replicate=replicate,
            optimizer=optimizer,
            abs_weight=magnitude * replicate,
            quantile=number / (len(magnitudes) - 1),
        )
        for replicate in (1, 3)
        for number, magnitude in enumerate(magnitudes)
    ]


@pytest.fixture
def drawn():
    rows = _weights(optimizer="adam", config="a", magnitudes=[0, 1e-30, 0.5])
    rows += _weights(optimizer="sgd", config="b", magnitudes=[1e-4, 1e-2, 0.5])
    rows += _weights("lenet", optimizer="sgd", config="c", magnitudes=[1e-3, 1])
    return natural_sparsity.draw(pandas.DataFrame(map(dataclasses.asdict, rows)))


def _lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_a_panel_a_network_and_a_line_an_optimizer(drawn):
    first, second = (part.axes[0] for part in drawn.subfigs)
    assert list(_lines(first)) == ["adam", "sgd", "in the paper"]
    assert list(_lines(second)) == ["sgd"]
    found = _lines(first)["sgd"].get_xydata()
    np.testing.assert_allclose(found, [[0, 2e-4], [50, 2e-2], [100, 1]])
    assert first.get_yscale() == "log"
    assert first.get_ylim()[0] == 1e-7
    assert "VGG-19 on CIFAR-10" in drawn.subfigs[0].get_suptitle()


def test_what_is_lower_than_the_papers_axis_is_drawn_at_its_end(drawn):
    axes = drawn.subfigs[0].axes[0]
    found = _lines(axes)["adam"].get_xydata()
    np.testing.assert_allclose(found, [[0, 1e-7], [50, 1e-7], [100, 1]])
    [marked] = _lines(axes)["in the paper"].get_xydata()
    np.testing.assert_allclose(marked, [84.5, 1e-7])


def test_an_empty_table_is_refused():
    with pytest.raises(ValueError, match="'sorted_weights' has no rows"):
        natural_sparsity.draw(pandas.DataFrame(columns=["abs_weight"]))
