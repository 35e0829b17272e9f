"""The figure of perturbed tickets shows what the table says."""

import itertools

import numpy as np
import pandas
import pytest

from tflottery.core import tables
from tflottery.figures import perturbation
from tflottery.studies.perturbed_runs import PerturbedNetwork

_SETTING = {
    "network": "runs/a/00000100",
    "mask": None,
    "model": "resnet20",
    "variant": "early_phase",
    "dataset": "cifar10",
    "task": "labels",
    "training_iterations": 62500,
    "config": "0123abcd",
}
_NOISE = [("gaussian_noise", f"noise_scales={scale}") for scale in ("0.5", "1", "2")]


def _network(replicate, k, *, level=0, error, perturbation="none", condition="", **own):
    density = 0.8**level
    columns = {
        "subnetwork": "imp" if level else "dense",
        "level": level,
        "density": density,
        "axis_density": density,
        "replicate": replicate,
        "data_order": 1,
        "rewind_iteration": k,
        "test_error": error,
        "perturbation": perturbation,
        "condition": condition,
    }
    return PerturbedNetwork(**(_SETTING | columns | own))


def networks(*, conditions=_NOISE, ks=(500, 2000), levels=4, replicates=3, **own):
    """Returns rows of errors made up: worse with the level and by condition."""
    random = np.random.default_rng(0)
    rows = [
        _network(replicate, 0, error=0.08 + 0.002 * replicate, **own)
        for replicate in range(1, replicates + 1)
    ]
    for level, replicate in itertools.product(
        range(1, levels + 1), range(1, replicates + 1)
    ):
        error = 0.085 + random.uniform(0, 0.004)
        which = {"level": level, **own}
        for k in sorted({0, *ks}):
            base = error + 0.012 * level / (1 + k / 100)
            rows.append(_network(replicate, k, error=base, **which))
            for index, (name, condition) in enumerate(conditions if k in ks else ()):
                change = {"perturbation": name, "condition": condition}
                worse = base + 0.004 * (1 + index) * level
                rows.append(_network(replicate, k, error=worse, **change, **which))
    return rows


@pytest.fixture
def frame(table):
    """The function that returns such rows as a table read back."""
    return lambda **options: table(networks(**options), PerturbedNetwork)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The table of what `networks` makes, and its figure: drawn once."""
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    tables.write(networks(), path, row_type=PerturbedNetwork)
    found = tables.read(path)
    return found, perturbation.draw(found)


def test_a_panel_a_k_with_every_line_of_the_paper(usual, bars, legends):
    _, figure = usual
    assert [axes.get_title() for axes in figure.axes] == ["k = 500", "k = 2K"]
    expected = [
        "rewind to 0",
        "rewind to k",
        "noise 0.5 sigma",
        "noise 1 sigma",
        "noise 2 sigma",
    ]
    for axes in figure.axes:
        assert list(bars(axes)) == expected
        assert axes.get_xlabel() == "density (%)"
        assert axes.get_ylabel() == "test accuracy (%)"
    assert legends(figure) == [["unpruned", *expected]]
    [row] = figure.subfigs
    assert row.get_suptitle() == (
        "ResNet-20 on CIFAR-10\nearly_phase, 62,500 iterations, 3 replicates"
    )


@pytest.mark.parametrize(
    ("label", "k", "condition"),
    [
        ("rewind to 0", 0, None),
        ("rewind to k", 2000, None),
        ("noise 2 sigma", 2000, "noise_scales=2"),
    ],
)
def test_lines_are_means_and_bars_a_standard_deviation(
    label, k, condition, usual, bars
):
    found, figure = usual
    own = found[(found["level"] > 0) & (found["rewind_iteration"] == k)]
    same = own["condition"].isna() if condition is None else own["condition"]
    own = own[same if condition is None else same == condition]
    errors = 100 * own.groupby("axis_density")["test_error"].agg(["mean", "std"])
    assert len(own) == 12
    x, y, deviation = bars(figure.axes[1])[label]
    np.testing.assert_allclose(x, 100 * errors.index)
    np.testing.assert_allclose(y, 100 - errors["mean"])
    np.testing.assert_allclose(deviation, errors["std"])


def test_the_band_is_that_of_the_dense_networks(usual):
    _, figure = usual
    for axes in figure.axes:
        # Errors of 8.2%, 8.4% and 8.6%.
        [band] = [one for one in axes.patches if one.get_width() == 1]
        assert band.get_y() == pytest.approx(91.4)
        assert band.get_y() + band.get_height() == pytest.approx(91.8)


@pytest.mark.parametrize(
    ("name", "condition", "label"),
    [
        ("none", "", "rewind to k"),
        ("sign_magnitude", "mixes=init:k", "init:0, signs:k"),
        ("sign_magnitude", "mixes=k:init", "init:k, signs:0"),
        ("sign_magnitude", "mixes=init:init", "init:0, signs:0"),
        ("sign_magnitude", "mixes=fresh:k", "random init, signs:k"),
        ("sign_magnitude", "mixes=k:fresh", "init:k, random signs"),
        ("gaussian_noise", "noise_scales=0.5", "noise 0.5 sigma"),
        ("shuffle", "scope=globally", "shuffle globally"),
        (
            "shuffle",
            "scope=layers keep_signs=true initial_signs=false",
            "shuffle layers, signs kept",
        ),
        (
            "shuffle",
            "scope=layers keep_signs=false initial_signs=true",
            "shuffle layers, initial signs",
        ),
        (
            "shuffle",
            "scope=filters keep_signs=false initial_signs=false",
            "shuffle filters",
        ),
        ("quantized", "bits=4 symmetric=true", "bits=4 symmetric=true"),
        ("quantized", "", "quantized"),
    ],
)
def test_labels_are_the_papers(name, condition, label):
    assert perturbation.label(name, condition) == label


def test_conditions_look_apart_and_alike_in_all_panels(frame):
    conditions = [("gaussian_noise", f"noise_scales={n}") for n in range(1, 9)]
    looks = []
    for axes in perturbation.draw(frame(conditions=conditions)).axes:
        of_panel = [container.lines[0] for container in axes.containers]
        looks.append([(one.get_color(), one.get_linestyle()) for one in of_panel])
    first, second = looks
    assert first == second
    assert len(set(first)) == 2 + 8


def test_networks_of_one_density_stand_beside_one_another(frame, bars, legends):
    found = frame(levels=1)
    figure = perturbation.draw(found)
    expected = ["unpruned", "rewind to 0", "rewind to k"]
    expected += [f"noise {scale} sigma" for scale in ("0.5", "1", "2")]
    assert legends(figure) == []
    for axes, k in zip(figure.axes, (500, 2000), strict=True):
        names = [label.get_text() for label in axes.get_xticklabels()]
        assert names == expected
        assert axes.get_xlabel() == "80.0% of the weights"
        shown = bars(axes)
        assert [float(x) for [x], _, _ in shown.values()] == list(range(6))
        own = found[found["condition"].eq("noise_scales=2")]
        errors = 100 * own[own["rewind_iteration"] == k]["test_error"]
        _, [y], [deviation] = shown["noise 2 sigma"]
        np.testing.assert_allclose([100 - y, deviation], [errors.mean(), errors.std()])


def test_each_setting_has_its_row_and_its_k(frame, legends):
    other = {"model": "vgg13", "config": "4567cdef"}
    both = pandas.concat(
        [frame(), frame(ks=(250,), conditions=[("shuffle", "scope=layers")], **other)]
    )
    figure = perturbation.draw(both)
    titles = [row.get_suptitle().split("\n")[0] for row in figure.subfigs]
    assert titles == ["ResNet-20 on CIFAR-10", "VGG-13 on CIFAR-10"]
    shown = [
        [axes.get_title() for axes in row.axes if axes.axison] for row in figure.subfigs
    ]
    assert shown == [["k = 500", "k = 2K"], ["k = 250"]]
    assert legends(figure)[1] == [
        "unpruned",
        "rewind to 0",
        "rewind to k",
        "shuffle layers",
    ]


def test_a_k_of_zero_has_one_line_unchanged(frame, bars):
    [axes] = perturbation.draw(frame(ks=(0,))).axes
    assert axes.get_title() == "k = 0"
    assert list(bars(axes)) == [
        "rewind to 0",
        "noise 0.5 sigma",
        "noise 1 sigma",
        "noise 2 sigma",
    ]


def test_without_perturbed_networks_the_others_are_drawn(frame, bars):
    figure = perturbation.draw(frame(conditions=()))
    assert [axes.get_title() for axes in figure.axes] == ["k = 500", "k = 2K"]
    for axes in figure.axes:
        assert list(bars(axes)) == ["rewind to 0", "rewind to k"]


def test_networks_that_diverged_are_left_out(usual, table, bars):
    lost = [
        _network(
            9,
            500,
            level=4,
            error=None,
            perturbation="gaussian_noise",
            condition="noise_scales=2",
            diverged_iteration=7,
        )
    ]
    expected = usual[1].axes[0]
    found = perturbation.draw(table(networks() + lost, PerturbedNetwork)).axes[0]
    for label, values in bars(expected).items():
        np.testing.assert_allclose(bars(found)[label], values)


@pytest.mark.parametrize(
    "options",
    [
        {"levels": 0},
        {"replicates": 1},
        {"levels": 1, "ks": (500,)},
        {"levels": 27, "ks": (0, 50, 250)},
    ],
)
def test_any_table_can_be_drawn(options, frame, show):
    show(perturbation.draw(frame(**options)))


def test_nothing_but_divergence_can_be_drawn(frame, bars, show):
    figure = perturbation.draw(frame().assign(test_error=np.nan))
    assert all(not len(x) for x, _, _ in bars(figure.axes[0]).values())
    show(figure)


def test_an_empty_table_is_refused(frame):
    with pytest.raises(ValueError, match="'accuracy' has no rows"):
        perturbation.draw(frame()[:0])
