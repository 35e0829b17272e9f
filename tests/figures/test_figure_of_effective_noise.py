"""The figure of effective noise shows what the tables say."""

import itertools

import numpy as np
import pandas
import pytest
from matplotlib.text import Text

from tflottery.core import tables
from tflottery.experiments.effective_noise import Correlation, NoisePoint
from tflottery.figures import effective_noise
from tflottery.studies.perturbed_runs import Condition, conditions

_SETTING = {
    "model": "resnet20",
    "variant": "early_phase",
    "dataset": "cifar10",
    "task": "labels",
    "training_iterations": 62500,
    "config": "0123abcd",
    "level": 8,
    "density": 0.168,
    "axis_density": 0.168,
}
_CONDITIONS = [
    Condition(),
    *conditions("gaussian_noise", {}),
    *conditions("sign_magnitude", {"mixes": ("k:init", "init:k", "fresh:k")}),
    *conditions("shuffle", {}),
    *conditions("shuffle", {"keep_signs": True}),
]
# Enough where a title is looked at, and no label.
_FEW = _CONDITIONS[:2]
_PAPER = "paper at 16.8%: r = -0.672, p = 0.008"


def points(*, ks=(500, 2000), tried=_CONDITIONS, std=0.004, **own):
    """Returns rows of errors made up: worse with the size of the change."""
    random = np.random.default_rng(0)
    return [
        NoisePoint(
            **(_SETTING | own),
            rewind_iteration=k,
            perturbation=condition.perturbation,
            condition=condition.text,
            num_replicates=3,
            effective_std=0.02 * index,
            test_error_mean=0.09 + 0.003 * index + random.uniform(0, 0.01),
            test_error_std=std,
        )
        for k in ks
        for index, condition in enumerate(tried)
    ]


def correlations(*, ks=(500, 2000), r=-0.71234, p=0.00456, **own):
    """Returns rows of correlations."""
    setting = _SETTING | own
    return [
        Correlation(**setting, rewind_iteration=k, num_points=14, r=r, p=p) for k in ks
    ]


@pytest.fixture(scope="module")
def draw(tmp_path_factory):
    """The function that draws rows of both tables, written and read back.

    Rows that were drawn before are not drawn again: labels beside points take seconds.
    """
    path, figures = tmp_path_factory.mktemp("tables") / "table.csv", {}

    def read(rows, row_type):
        tables.write(rows, path, row_type=row_type)
        return tables.read(path)

    def drawn(of_points, of_correlation):
        rows = (*of_points, *of_correlation)
        if rows not in figures:
            figures[rows] = effective_noise.draw(
                read(of_points, NoisePoint), read(of_correlation, Correlation)
            )
        return figures[rows]

    return drawn


def texts(axes):
    """Returns the labels in a panel."""
    return {one.get_text(): one for one in axes.texts}


def test_a_panel_a_k_with_every_point_of_the_paper(draw, bars, legends):
    figure = draw(points(), correlations())
    expected = [
        "rewind to k",
        "noise 0.5 sigma",
        "noise 1 sigma",
        "noise 2 sigma",
        "noise 3 sigma",
        "init:k, signs:0",
        "init:0, signs:k",
        "random init, signs:k",
        "shuffle globally",
        "shuffle layers",
        "shuffle filters",
        "shuffle globally, signs kept",
        "shuffle layers, signs kept",
        "shuffle filters, signs kept",
    ]
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert list(bars(axes)) == expected
        assert list(texts(axes)) == expected
        assert axes.get_xlabel() == "standard deviation of the change"
        assert axes.get_ylabel() == "mean test accuracy (%)"
    assert legends(figure) == []
    [row] = figure.subfigs
    assert row.get_suptitle() == (
        "ResNet-20 on CIFAR-10\nearly_phase, 62,500 iterations, 3 replicates"
    )


def test_points_are_those_of_the_table(draw, bars):
    rows = points()
    for axes, k in zip(draw(rows, correlations()).axes, (500, 2000), strict=True):
        own = [row for row in rows if row.rewind_iteration == k]
        for row, (x, y, deviation) in zip(own, bars(axes).values(), strict=True):
            assert list(x) == pytest.approx([row.effective_std])
            assert list(y) == pytest.approx([100 * (1 - row.test_error_mean)])
            assert list(deviation) == pytest.approx([100 * row.test_error_std])


def test_labels_cover_neither_points_nor_each_other(draw):
    figure = draw(points(), correlations())
    figure.draw_without_rendering()
    for axes in figure.axes:
        labels = [Text.get_window_extent(one) for one in texts(axes).values()]
        assert len(labels) == len(_CONDITIONS)
        for one, other in itertools.combinations(labels, 2):
            assert not one.overlaps(other)
        panel = axes.get_window_extent()
        for container in axes.containers:
            at = axes.transData.transform(container.lines[0].get_xydata()[0])
            assert panel.contains(*at)
            assert not any(one.contains(*at) for one in labels)


def test_conditions_look_apart_and_alike_in_all_panels(draw):
    looks = []
    for axes in draw(points(), correlations()).axes:
        of_panel = [container.lines[0] for container in axes.containers]
        assert {line.get_linestyle() for line in of_panel} == {"None"}
        looks.append([(line.get_color(), line.get_marker()) for line in of_panel])
    first, second = looks
    assert first == second
    assert len(set(first)) == len(_CONDITIONS)
    # A colour is a perturbation.
    assert len({color for color, _ in first}) == 4


def test_titles_say_the_correlation_and_the_papers(draw):
    first, second = draw(points(), correlations()).axes
    assert first.get_title().split("\n") == [
        "k = 500, density 16.8%",
        "r = -0.712, p = 0.005 (14 points)",
        _PAPER,
    ]
    assert second.get_title().split("\n")[0] == "k = 2K, density 16.8%"
    assert second.get_title().endswith("r = -0.726, p = 0.003")


@pytest.mark.parametrize(
    "other",
    [{"model": "resnet56"}, {"variant": "standard"}, {"dataset": "digits"}],
)
def test_the_paper_has_nothing_on_others(other, draw):
    [axes] = draw(
        points(ks=(500,), tried=_FEW, **other), correlations(ks=(500,), **other)
    ).axes
    assert "paper" not in axes.get_title()
    assert len(axes.get_title().split("\n")) == 2


def test_the_paper_has_nothing_on_another_k(draw):
    [axes] = draw(points(ks=(250,), tried=_FEW), correlations(ks=(250,))).axes
    assert "paper" not in axes.get_title()


def test_the_correlation_is_that_of_the_panel(draw):
    rows = [
        *correlations(ks=(2000,), r=-0.2),
        *correlations(ks=(500,), r=-0.5),
        *correlations(ks=(500,), r=-0.9, config="4567cdef"),
        *correlations(ks=(500,), r=0.3, level=9),
    ]
    first, second = draw(points(tried=_FEW), rows).axes
    assert "r = -0.500" in first.get_title()
    assert "r = -0.200" in second.get_title()


@pytest.mark.parametrize(
    ("r", "p", "text"),
    [
        (None, None, "r undefined (14 points)"),
        (-0.98, 0.00001, "r = -0.980, p < 0.001 (14 points)"),
    ],
)
def test_extreme_correlations(r, p, text, draw):
    [axes] = draw(points(ks=(500,), tried=_FEW), correlations(ks=(500,), r=r, p=p)).axes
    assert axes.get_title().split("\n")[1] == text


def test_each_setting_and_level_has_its_row(draw):
    other = {"level": 6, "density": 0.262, "axis_density": 0.262}
    rows = [*points(tried=_FEW), *points(ks=(500,), tried=_FEW, **other)]
    figure = draw(rows, correlations())
    shown = [
        [axes.get_title().split("\n")[0] for axes in row.axes if axes.axison]
        for row in figure.subfigs
    ]
    assert shown == [
        ["k = 500, density 16.8%", "k = 2K, density 16.8%"],
        ["k = 500, density 26.2%"],
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"std": None, "ks": (500,), "tried": _FEW},
        {"tried": _FEW[:1]},
        {"ks": (0,), "tried": _FEW},
    ],
)
def test_any_table_can_be_drawn(options, draw, show):
    show(draw(points(**options), []))


def test_an_empty_table_is_refused():
    empty = pandas.DataFrame({"condition": []})
    with pytest.raises(ValueError, match="'points' has no rows"):
        effective_noise.draw(empty, empty)
