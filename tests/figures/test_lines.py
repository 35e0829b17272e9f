"""Axes and summaries of lines."""

import numpy as np
import pandas
import pytest
from matplotlib.figure import Figure

from tflottery.figures import lines


def axes():
    return Figure().subplots()


def test_summary_by_hand():
    frame = pandas.DataFrame(
        {"k": [5, 5, 0, 0, 0, 9], "v": [1.0, 3.0, 2.0, np.nan, 2.0, np.nan]}
    )
    table = lines.summary(frame, by="k", value="v")
    assert list(table["k"]) == [0, 5]
    assert list(table["mean"]) == [2.0, 2.0]
    assert np.allclose(table["std"], [0.0, np.sqrt(2)])
    assert list(table["count"]) == [2, 2]


def test_summary_of_one_row_has_no_deviation():
    table = lines.summary(pandas.DataFrame({"k": [1], "v": [4.0]}), by="k", value="v")
    assert list(table["std"]) == [0.0]


def test_nothing_is_drawn_of_an_empty_table():
    table = lines.summary(
        pandas.DataFrame({"k": [1], "v": [np.nan]}), by="k", value="v"
    )
    panel = axes()
    assert lines.draw(panel, table, color="k") is None
    assert not panel.lines


@pytest.mark.parametrize(
    ("iteration", "name"), [(0, "0"), (500, "500"), (2000, "2K"), (2500, "2.5K")]
)
def test_iteration_name(iteration, name):
    assert lines.iteration_name(iteration) == name


def test_iteration_axis_has_zero_at_its_left_and_is_logarithmic():
    panel = axes()
    ks = [0, 25, 50, 100, 2000]
    lines.iteration_axis(panel, ks)
    places = panel.xaxis.get_transform().transform(np.array(ks, float))
    steps = np.diff(places)
    assert (steps > 0).all()
    assert np.isclose(steps[1], steps[2])
    assert panel.get_xlim()[0] < 0 < 2000 < panel.get_xlim()[1]


def test_iteration_axis_drops_labels_that_would_touch():
    panel = axes()
    lines.iteration_axis(panel, [0, 1000, 1001, 4000])
    labels = [label.get_text() for label in panel.get_xticklabels()]
    assert labels == ["0", "1K", "", "4K"]


def test_colors_differ():
    colors = lines.iteration_colors([2000, 0, 50, 0])
    assert list(colors) == [0, 50, 2000]
    assert len(set(colors.values())) == 3
