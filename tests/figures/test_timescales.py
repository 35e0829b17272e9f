"""How iterations are named, and axes of k."""

import numpy as np
import pandas
import pytest
from matplotlib.figure import Figure

from tflottery.figures import timescales
from tflottery.figures.timescales import Timescale


def axes():
    return Figure().subplots()


def places(panel, ks):
    """Returns where k are on the x axis."""
    return panel.xaxis.get_transform().transform(np.array(ks, float))


def labels(panel):
    return [label.get_text() for label in panel.get_xticklabels()]


@pytest.mark.parametrize(
    ("iteration", "name"), [(0, "0"), (500, "500"), (2000, "2K"), (2500, "2.5K")]
)
def test_iteration_name(iteration, name):
    assert timescales.iteration_name(iteration) == name


def test_an_axis_of_k_has_zero_at_its_left_and_is_logarithmic():
    panel, ks = axes(), [0, 25, 50, 100, 2000]
    Timescale().set_axis(panel, ks)
    steps = np.diff(places(panel, ks))
    assert (steps > 0).all()
    assert np.isclose(steps[1], steps[2])
    assert panel.get_xlim()[0] < 0 < 2000 < panel.get_xlim()[1]
    assert panel.get_xlabel() == "k (iterations)"


def test_labels_that_would_touch_are_left_out():
    panel = axes()
    Timescale().set_axis(panel, [0, 1000, 1001, 4000])
    assert labels(panel) == ["0", "1K", "", "4K"]


def networks(dataset, **columns):
    return pandas.DataFrame([{"dataset": dataset, **columns}])


def test_imagenet_is_told_in_epochs_on_a_linear_axis():
    # 1,281,167 images in batches of 1,024.
    scale = timescales.timescale(networks("imagenet2012", epoch_iterations=1251.14))
    panel, ks = axes(), [0, 5005, 10010, 20019]
    scale.set_axis(panel, ks)
    assert labels(panel) == ["0", "4", "8", "16"]
    assert panel.get_xlabel() == "k (epochs)"
    steps = np.diff(places(panel, ks))
    np.testing.assert_allclose(steps[1:] / steps[0], [1, 2], rtol=1e-3)
    assert scale.name(5005) == "4 ep"


def test_other_data_are_told_in_iterations():
    scale = timescales.timescale(networks("cifar10", epoch_iterations=390.6))
    assert scale == Timescale() and scale.name(2000) == "2K"


@pytest.mark.parametrize("columns", [{}, {"epoch_iterations": np.nan}])
def test_without_an_epochs_length_imagenet_is_linear_in_iterations(columns):
    scale = timescales.timescale(networks("imagenet2012", **columns))
    panel = axes()
    scale.set_axis(panel, [0, 5005])
    assert (panel.get_xscale(), panel.get_xlabel()) == ("linear", "k (iterations)")
    assert scale.name(5000) == "5K"
