"""The figure of pre-training shows what the table says."""

import itertools

import numpy as np
import pandas
import pytest

from tflottery.core import tables
from tflottery.experiments.pretraining import PretrainedNetwork
from tflottery.figures import pretraining

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
_PRETEXTS = ("random_labels", "rotation", "blur", "blur_rotation")
_EPOCHS = (2, 5, 10, 40)


def _network(kind, level, replicate, *, error, k=0, **own):
    density = 0.8**level
    columns = {
        "subnetwork": kind,
        "level": level,
        "density": density,
        "axis_density": density,
        "replicate": replicate,
        "data_order": 1 if level else 0,
        "rewind_iteration": k,
        "test_error": error,
    }
    return PretrainedNetwork(**(_SETTING | columns | own))


def _dense(replicates, **own):
    return [
        _network("dense", 0, replicate, error=0.08 + 0.002 * replicate, **own)
        for replicate in range(1, replicates + 1)
    ]


def networks(
    *,
    pretexts=_PRETEXTS,
    epochs=_EPOCHS,
    ks=(0, 500, 2000),
    levels=4,
    replicates=3,
    **own,
):
    """Returns rows as of Figure 9: better the longer the pre-training."""
    random = np.random.default_rng(0)
    rows = _dense(replicates, **own)
    for level, replicate in itertools.product(
        range(levels + 1), range(1, replicates + 1)
    ):
        error = 0.085 + random.uniform(0, 0.004)
        for k in ks if level else ():
            worse = error + 0.012 * level / (1 + k / 500)
            rows.append(_network("imp", level, replicate, error=worse, k=k, **own))
        for pretext, length in itertools.product(pretexts, epochs):
            kind = "imp" if level else "dense"
            worse = error + 0.012 * level / (1 + length / 20)
            change = {"pretext": pretext, "pretraining_epochs": length}
            rows.append(_network(kind, level, replicate, error=worse, **change, **own))
    return rows


def sparse_networks(*, pretexts=("rotation",), epochs=(40,), levels=4, replicates=3):
    """Returns rows as of Figure 10."""
    random = np.random.default_rng(0)
    rows = _dense(replicates)
    kinds = [("imp", 0), ("imp", 500), ("random_pruning", 0), ("random_reinit", 0)]
    for (index, (kind, k)), level, replicate in itertools.product(
        enumerate(kinds), range(1, levels + 1), range(1, replicates + 1)
    ):
        error = 0.085 + random.uniform(0, 0.004) + 0.004 * level * (1 + index)
        rows.append(_network(kind, level, replicate, error=error, k=k))
        for pretext, length in itertools.product(pretexts, epochs):
            change = {"pretext": pretext, "pretraining_epochs": length}
            change["sparse_pretraining"] = True
            worse = error + 0.0001 * length * level
            rows.append(_network(kind, level, replicate, error=worse, k=k, **change))
    return rows


@pytest.fixture
def frame(table):
    """The function that returns rows as a table read back."""
    return lambda rows: table(rows, PretrainedNetwork)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The table of what `networks` makes, and its figure: drawn once."""
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    tables.write(networks(), path, row_type=PretrainedNetwork)
    found = tables.read(path)
    return found, pretraining.draw(found)


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.axison]


def check(values, own):
    """Checks bars against the networks that they are of."""
    errors = 100 * own.groupby("axis_density")["test_error"].agg(["mean", "std"])
    assert len(errors)
    x, y, deviation = values
    np.testing.assert_allclose(x, 100 * errors.index)
    np.testing.assert_allclose(y, 100 - errors["mean"])
    np.testing.assert_allclose(deviation, errors["std"])


def test_a_panel_a_pretext_with_every_line_of_the_paper(usual, bars, legends):
    _, figure = usual
    assert titles(figure) == [
        "random labels",
        "rotation",
        "4x blur",
        "4x blur and rotation",
    ]
    expected = [
        "rewind to 0",
        "rewind to 500",
        "rewind to 2K",
        "pre-trained 2 epochs",
        "pre-trained 5 epochs",
        "pre-trained 10 epochs",
        "pre-trained 40 epochs",
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


@pytest.mark.parametrize("panel", range(4))
def test_lines_are_means_and_bars_a_standard_deviation(panel, usual, bars):
    found, figure = usual
    values = bars(figure.axes[panel])
    ordinary = found[found["pretext"].isna() & (found["level"] > 0)]
    for k, label in ((0, "rewind to 0"), (500, "rewind to 500")):
        check(values[label], ordinary[ordinary["rewind_iteration"] == k])
    # From the whole network on: pre-trained ones are no replicates of the ordinary.
    own = found[found["pretext"] == _PRETEXTS[panel]]
    check(values["pre-trained 5 epochs"], own[own["pretraining_epochs"] == 5])
    assert values["pre-trained 5 epochs"][0].max() == 100


def test_the_band_is_of_dense_networks_without_pretraining(usual):
    _, figure = usual
    for axes in figure.axes:
        # Errors of 8.2%, 8.4% and 8.6%.
        [band] = [one for one in axes.patches if one.get_width() == 1]
        assert band.get_y() == pytest.approx(91.4)
        assert band.get_y() + band.get_height() == pytest.approx(91.8)


def test_lengths_are_shades_and_alike_in_all_panels(usual):
    shades, (_, figure) = [], usual
    for axes in figure.axes:
        lengths = [container.lines[0] for container in axes.containers][3:]
        shades.append([line.get_color()[:3] for line in lengths])
    assert all(one == shades[0] for one in shades)
    brightness = [sum(color) for color in shades[0]]
    assert brightness == sorted(brightness, reverse=True)
    assert len(set(brightness)) == 4


def test_sparse_pretraining_has_a_panel_of_kinds(frame, bars):
    found = frame(sparse_networks())
    [axes] = pretraining.draw(found).axes
    assert axes.get_title() == "sparse pre-training: rotation"
    kinds = {
        "IMP, k = 0": ("imp", 0),
        "IMP, k = 500": ("imp", 500),
        "random pruning, k = 0": ("random_pruning", 0),
        "random reinitialization, k = 0": ("random_reinit", 0),
    }
    values = bars(axes)
    styles = {
        container.get_label(): container.lines[0].get_linestyle()
        for container in axes.containers
    }
    assert len(values) == 2 * len(kinds)
    for label, (kind, k) in kinds.items():
        own = found[(found["subnetwork"] == kind) & (found["rewind_iteration"] == k)]
        check(values[label], own[~own["sparse_pretraining"]])
        pretrained = f"{label}, pre-trained 40 epochs"
        check(values[pretrained], own[own["sparse_pretraining"]])
        assert (styles[label], styles[pretrained]) == ("-", "--")


def test_several_lengths_of_sparse_pretraining_are_told_apart(frame, bars):
    [axes] = pretraining.draw(frame(sparse_networks(epochs=(1, 40)))).axes
    looks = {
        (container.lines[0].get_linestyle(), container.lines[0].get_color())
        for container in axes.containers
    }
    assert len(looks) == len(bars(axes)) == 3 * 4
    assert "IMP, k = 0, pre-trained 1 epoch" in bars(axes)


def test_before_and_after_pruning_have_panels_of_their_own(frame, bars):
    rows = networks(pretexts=("rotation",)) + sparse_networks()[3:]
    figure = pretraining.draw(frame(rows))
    assert titles(figure) == ["rotation", "sparse pre-training: rotation"]
    first, _ = map(bars, figure.axes)
    assert len(first) == 3 + 4


def test_a_pretext_of_ones_own_has_its_name(frame):
    figure = pretraining.draw(frame(networks(pretexts=("jigsaw",), epochs=(1,))))
    assert titles(figure) == ["jigsaw"]


def test_each_setting_has_its_row(frame, legends):
    other = {"model": "vgg13", "config": "4567cdef", "ks": (0, 1000)}
    both = [
        frame(networks()),
        frame(networks(pretexts=("blur",), epochs=(7,), **other)),
    ]
    figure = pretraining.draw(pandas.concat(both))
    networks_of_rows = [row.get_suptitle().split("\n")[0] for row in figure.subfigs]
    assert networks_of_rows == ["ResNet-20 on CIFAR-10", "VGG-13 on CIFAR-10"]
    assert titles(figure)[4:] == ["4x blur"]
    assert legends(figure)[1] == [
        "unpruned",
        "rewind to 0",
        "rewind to 1K",
        "pre-trained 7 epochs",
    ]


def test_networks_that_diverged_are_left_out(frame, bars, usual):
    change = {"pretext": "rotation", "pretraining_epochs": 40}
    lost = [_network("imp", 4, 9, error=None, diverged_iteration=7, **change)]
    expected = usual[1].axes[1]
    found = pretraining.draw(frame(networks() + lost)).axes[1]
    for label, values in bars(expected).items():
        np.testing.assert_allclose(bars(found)[label], values)


@pytest.mark.parametrize(
    "rows",
    [
        networks(pretexts=()),
        networks(levels=0, pretexts=()),
        networks(levels=0),
        networks(replicates=1, pretexts=("blur",), epochs=(1,), levels=1),
        networks(levels=27, pretexts=("blur",)),
        sparse_networks(replicates=1),
        sparse_networks(pretexts=()),
        sparse_networks(pretexts=("blur", "rotation")),
    ],
    ids=["ordinary", "dense", "dense too", "one", "deep", "1", "plain", "two"],
)
def test_any_table_can_be_drawn(rows, frame, show):
    show(pretraining.draw(frame(rows)))


def test_nothing_is_pretrained_yet(frame, bars):
    [axes] = pretraining.draw(frame(networks(pretexts=()))).axes
    assert axes.get_title() == "no pre-training"
    lines = {one: values for one, values in bars(axes).items() if len(values[0])}
    assert list(lines) == ["IMP, k = 0", "IMP, k = 500", "IMP, k = 2K"]


@pytest.mark.parametrize("make", [networks, sparse_networks])
def test_nothing_but_divergence_can_be_drawn(make, frame, bars, show):
    figure = pretraining.draw(frame(make()).assign(test_error=np.nan))
    assert all(not len(x) for x, _, _ in bars(figure.axes[0]).values())
    show(figure)


def test_an_empty_table_is_refused(frame):
    with pytest.raises(ValueError, match="'accuracy' has no rows"):
        pretraining.draw(frame(networks())[:0])
