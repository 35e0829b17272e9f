"""The figure of the lottery shows what the tables say."""

import itertools

import numpy as np
import pandas
import pytest

from tflottery.figures import lottery

_SETTING = {
    "model": "lenet",
    "variant": "standard",
    "dataset": "mnist",
    "task": "labels",
    "training_iterations": 24000,
    "config": "0123abcd",
}
_KINDS = ("imp", "random_pruning", "random_reinit")


def _network(subnetwork, level, replicate, k, test_error):
    density = 0.8**level
    return {
        **_SETTING,
        "subnetwork": subnetwork,
        "level": level,
        "density": density,
        # As where a layer is never pruned.
        "axis_density": (density + 0.01) / 1.01,
        "replicate": replicate,
        "data_order": 1,
        "rewind_iteration": k,
        "test_error": test_error,
    }


def accuracy_table(*, kinds=_KINDS, ks=(0, 2000), levels=4, replicates=3):
    """Returns accuracies made up: worse with the level, better with k."""
    random = np.random.default_rng(0)
    networks = [
        _network("dense", 0, replicate, 0, 0.02 + 0.002 * replicate)
        for replicate in range(1, replicates + 1)
    ]
    for kind, level, replicate in itertools.product(
        kinds, range(1, levels + 1), range(1, replicates + 1)
    ):
        for k in ks if kind == "imp" else (0,):
            error = 0.02 + 0.01 * level * (1 + _KINDS.index(kind)) / (1 + k / 1000)
            error += random.uniform(0, 0.002)
            networks.append(_network(kind, level, replicate, k, error))
    return pandas.DataFrame(networks)


def best_table(accuracy, *, studied=3):
    """Returns the best of each level, at the last k."""
    imp = accuracy[accuracy["subnetwork"] == "imp"]
    imp = imp[imp["rewind_iteration"] == imp["rewind_iteration"].max()]
    rows = [
        {
            **_SETTING,
            "level": level,
            "axis_density": own["axis_density"].iloc[0],
            "rewind_iteration": own["rewind_iteration"].iloc[0],
            "test_error_mean": own["test_error"].mean(),
            "test_error_std": own["test_error"].std(),
            "studied": level == studied,
        }
        for level, own in imp.groupby("level")
    ]
    columns = [*_SETTING, "level", "axis_density", "rewind_iteration"]
    columns += ["test_error_mean", "test_error_std", "studied"]
    return pandas.DataFrame(rows, columns=columns)


def draw(accuracy, **options):
    return lottery.draw(accuracy, best_table(accuracy, **options))


@pytest.fixture(scope="module")
def usual():
    """The figure of the tables that `accuracy_table` and `best_table` make."""
    return draw(accuracy_table())


def labels(axes):
    """Returns what the legend says of a panel."""
    return axes.get_legend_handles_labels()[1]


def test_every_line_of_the_paper_has_its_name(usual, legends):
    first, second = usual.axes
    assert not first.get_legend() and not second.get_legend()
    assert sorted(labels(first)) == [
        "IMP, k = 0",
        "IMP, k = 2K",
        "random pruning, k = 0",
        "random reinitialization, k = 0",
        "unpruned",
    ]
    assert sorted(labels(second)) == [
        "IMP, best k",
        "IMP, k = 0",
        "random pruning, k = 0",
        "random reinitialization, k = 0",
        "sparsest matching: 51.7%",
        "unpruned",
    ]
    assert first.get_title() == "every k"
    assert second.get_title() == "best over all k"
    [block] = usual.subfigs
    assert block.get_suptitle() == (
        "Lenet on MNIST\nstandard, 24,000 iterations, 3 replicates"
    )
    [texts] = legends(usual)
    assert set(texts) == {*labels(first), *labels(second)}
    for axes in (first, second):
        assert axes.get_xlabel() == "density (%)"
        assert axes.get_ylabel() == "test accuracy (%)"


@pytest.mark.parametrize(
    ("label", "kind", "k"),
    [
        ("IMP, k = 0", "imp", 0),
        ("IMP, k = 2K", "imp", 2000),
        ("random pruning, k = 0", "random_pruning", 0),
        ("random reinitialization, k = 0", "random_reinit", 0),
    ],
)
def test_lines_are_means_and_bars_a_standard_deviation(label, kind, k, usual, bars):
    table = accuracy_table()
    own = table[(table["subnetwork"] == kind) & (table["rewind_iteration"] == k)]
    errors = 100 * own.groupby("axis_density")["test_error"].agg(["mean", "std"])
    x, y, deviation = bars(usual.axes[0])[label]
    np.testing.assert_allclose(x, 100 * errors.index)
    np.testing.assert_allclose(y, 100 - errors["mean"])
    np.testing.assert_allclose(deviation, errors["std"])


def test_the_band_of_the_unpruned_network(usual):
    for axes in usual.axes:
        # Errors of 2.2%, 2.4% and 2.6%.
        [band] = [one for one in axes.patches if one.get_width() == 1]
        assert band.get_y() == pytest.approx(97.4)
        assert band.get_y() + band.get_height() == pytest.approx(97.8)
        [line] = [one for one in axes.lines if one.get_label() == "unpruned"]
        assert line.get_ydata() == pytest.approx([97.6, 97.6])


def test_the_best_and_the_studied_density(bars):
    table = accuracy_table()
    best = best_table(table, studied=2)
    axes = lottery.draw(table, best).axes[1]
    x, y, deviation = bars(axes)["IMP, best k"]
    np.testing.assert_allclose(x, 100 * best["axis_density"])
    np.testing.assert_allclose(y, 100 * (1 - best["test_error_mean"]))
    np.testing.assert_allclose(deviation, 100 * best["test_error_std"])
    [mark] = [one for one in axes.lines if "sparsest" in one.get_label()]
    np.testing.assert_allclose(mark.get_xdata(), 100 * best["axis_density"][1])
    nothing = lottery.draw(table, best.assign(studied=None)).axes[1]
    assert not any("sparsest" in label for label in labels(nothing))


def test_density_falls_to_the_right():
    for axes in draw(accuracy_table(levels=8)).axes:
        left, right = axes.get_xlim()
        assert left > 100 and 0 < right < 100 * 0.8**8 + 1
        assert axes.get_xscale() == "log"
        texts = [label.get_text() for label in axes.get_xticklabels()]
        assert texts[0] == "100" and texts[3] == "51.7"


def test_one_k_has_one_panel():
    figure = draw(accuracy_table(ks=(0,)))
    assert len(figure.axes) == 1
    assert "IMP, k = 0" in labels(figure.axes[0])


def test_controls_at_several_k_are_told_apart():
    table = accuracy_table(kinds=("random_pruning",))
    later = table[table["subnetwork"] != "dense"].assign(rewind_iteration=500)
    axes = draw(pandas.concat([table, later])).axes[0]
    assert sorted(labels(axes)) == [
        "random pruning, k = 0",
        "random pruning, k = 500",
        "unpruned",
    ]
    styles = {container.lines[0].get_linestyle() for container in axes.containers}
    assert len(styles) == 2


def test_each_setting_has_its_row():
    one = accuracy_table()
    other = one.assign(dataset="digits", config="4567cdef")
    best = best_table(one)
    both = pandas.concat([best, best.assign(dataset="digits", config="4567cdef")])
    figure = lottery.draw(pandas.concat([one, other]), both)
    titles = [block.get_suptitle().split("\n")[0] for block in figure.subfigs]
    assert titles == ["Lenet on MNIST", "Lenet on digits"]


def test_a_criterion_has_its_line(bars):
    table = accuracy_table(kinds=("random_pruning",))
    own = table[table["level"] > 0].assign(subnetwork="small_first")
    [axes] = draw(pandas.concat([table, own])).axes
    assert {"small first, k = 0", "random pruning, k = 0"} == set(bars(axes))
    colors = {container.lines[0].get_color() for container in axes.containers}
    assert len(colors) == 2


def test_the_best_of_several_commands_is_the_best_of_their_k(bars):
    table = accuracy_table()
    worse = best_table(table, studied=4)
    worse["test_error_mean"] += 0.01
    axes = lottery.draw(table, pandas.concat([worse, best_table(table)])).axes[1]
    _, y, _ = bars(axes)["IMP, best k"]
    np.testing.assert_allclose(y, 100 * (1 - best_table(table)["test_error_mean"]))


def test_networks_that_diverged_are_left_out(usual, bars):
    table = accuracy_table()
    lost = table[(table["level"] == 4) & (table["replicate"] == 1)]
    with_lost = pandas.concat([table, lost.assign(replicate=9, test_error=np.nan)])
    for one, other in zip(usual.axes, draw(with_lost).axes, strict=True):
        expected, found = bars(one), bars(other)
        for label in expected:
            np.testing.assert_allclose(found[label], expected[label])


@pytest.mark.parametrize(
    "options",
    [
        {"levels": 0},
        {"replicates": 1},
        {"kinds": ("imp",)},
        {"kinds": ("random_reinit",), "levels": 1},
        {"levels": 24, "ks": (0, 25, 50, 100, 250, 500, 1000, 2000)},
    ],
)
def test_any_table_can_be_drawn(options, show):
    show(draw(accuracy_table(**options)))


def test_nothing_but_divergence_can_be_drawn(show):
    table = accuracy_table()
    best = best_table(table)[:0]
    show(lottery.draw(table.assign(test_error=np.nan), best))


def test_an_empty_table_is_refused():
    table = accuracy_table()
    with pytest.raises(ValueError, match="'accuracy' has no rows"):
        lottery.draw(table[:0], best_table(table))
