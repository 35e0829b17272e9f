"""The figure shows what the tables say."""

import numpy as np
import pandas
import pytest

from tflottery.figures import instability, lines


def panels(figure):
    """Returns the panels of a figure by title, row by row."""
    return [
        {axes.get_title(): axes for axes in row.get_axes()} for row in figure.subfigs
    ]


def line(axes, *, color=None, style="-", index=0):
    """Returns x and y of a line of that style."""
    found = [one for one in axes.lines if one.get_linestyle() == style]
    return found[index].get_data()


@pytest.fixture(scope="module")
def two_k(tables):
    """The tables of two k, of all that is measured, and their figure: drawn once."""
    pairs, points = tables(rewind_iterations=(0, 500))
    return pairs, points, instability.draw(pairs, points)


def legend_texts(figure, *, block=0):
    (legend,) = figure.subfigs[block].legends
    return [text.get_text() for text in legend.get_texts()]


def test_lines_are_means_over_pairs_and_replicates(tables):
    pairs, points = tables()
    (row,) = panels(instability.draw(pairs, points))
    x, y = line(row["Test error along the line"])
    zero = points[points["rewind_iteration"] == 0]
    assert np.allclose(x, np.linspace(0, 1, 30))
    assert np.allclose(y, 100 * zero.groupby("alpha")["test_error"].mean())
    x, y = line(row["Instability"], index=1)
    assert list(x) == [0, 100, 250, 500, 1000, 2000, 5000]
    means = pairs.groupby("rewind_iteration")["test_instability"].mean()
    assert np.allclose(y, 100 * means)
    x, y = line(row["Distance of the copies"])
    assert np.allclose(y, pairs.groupby("rewind_iteration")["l2_distance"].mean())


def test_bands_are_one_standard_deviation(two_k):
    pairs, _, figure = two_k
    (row,) = panels(figure)
    band = row["Distance of the copies"].collections[0].get_paths()[0].vertices
    zero = pairs[pairs["rewind_iteration"] == 0]["l2_distance"]
    heights = band[band[:, 0] == 0][:, 1]
    assert np.isclose(heights.min(), zero.mean() - zero.std(ddof=1))
    assert np.isclose(heights.max(), zero.mean() + zero.std(ddof=1))


def test_second_reading_is_dashed_where_there_is_one(tables, two_k):
    with_both = two_k[-1]
    x, y = line(panels(with_both)[0]["Train error along the line"], style="--")
    assert 40 < y.max() < 60
    assert "batch norm re-estimated" in legend_texts(with_both)
    with_one = instability.draw(*tables(rewind_iterations=(0, 500), reestimated=False))
    (row,) = panels(with_one)
    styles = {one.get_linestyle() for axes in row.values() for one in axes.lines}
    assert "--" not in styles
    assert "batch norm re-estimated" not in legend_texts(with_one)


def test_legend_names_every_k_and_chance(tables, two_k):
    pairs, points = tables(rewind_iterations=(0, 500, 2500))
    figure = instability.draw(pairs, points.assign(num_classes=10))
    assert legend_texts(figure)[:3] == ["k = 0", "k = 500", "k = 2.5K"]
    assert "chance" in legend_texts(figure)
    assert "chance" not in legend_texts(two_k[-1])
    for axes in figure.axes[:2]:
        (line,) = [one for one in axes.lines if list(one.get_ydata()) == [90.0, 90.0]]
        assert axes.get_ylim()[1] > 90.0 and line.get_visible()
    test_error = panels(figure)[0]["Test error along the line"]
    assert any(np.allclose(one.get_ydata(), 90) for one in test_error.lines)


def test_paper_is_marked_where_it_reports(tables):
    (row,) = panels(instability.draw(*tables(rewind_iterations=(0, 2000))))
    markers = [
        one for one in row["Test error along the line"].lines if one.get_marker()
    ]
    diamonds = [one for one in markers if one.get_marker() == "D"]
    assert np.allclose(diamonds[0].get_ydata(), 100 - 91.7)
    onset = [one for one in row["Instability"].lines if "paper" in one.get_label()]
    assert np.allclose(onset[0].get_xdata(), 2000)
    other = tables(dataset="digits", rewind_iterations=(0, 2000))
    (row,) = panels(instability.draw(*other))
    labels = [one.get_label() for axes in row.values() for one in axes.lines]
    assert not any("paper" in label for label in labels)


def test_several_iterations_add_instability_throughout_training(tables):
    epochs = (3000, 15000, 27000, 51000, 63000)
    pairs, points = tables(iterations=epochs, rewind_iterations=(0, 2000))
    (row,) = panels(instability.draw(pairs, points))
    x, y = line(row["Test instability throughout training"])
    zero = pairs[pairs["rewind_iteration"] == 0]
    assert tuple(x) == epochs
    assert np.allclose(y, 100 * zero.groupby("iteration")["test_instability"].mean())
    # The other panels show the end of training only.
    x, y = line(row["Test error along the line"])
    end = points[(points["rewind_iteration"] == 0) & (points["iteration"] == 63000)]
    assert np.allclose(y, 100 * end.groupby("alpha")["test_error"].mean())


def compared(tables, **options):
    """Returns tables of subnetworks beside dense networks of 8% to 8.2% error."""
    pairs, points = tables(subnetwork="imp", level=8, density=0.168, **options)
    pairs["dense_test_error"] = 0.079 + 0.001 * pairs["replicate"]
    pairs["test_error_a"] = 0.08 + 0.01 / (1 + pairs["rewind_iteration"])
    pairs["test_error_b"] = pairs["test_error_a"] + 0.002 * pairs["data_order_b"]
    return pairs, points


def test_subnetworks_have_their_test_error_beside_the_dense_band(tables):
    pairs, points = compared(tables, rewind_iterations=(0, 500))
    figure = instability.draw(pairs, points)
    (row,) = panels(figure)
    axes = row["Test error"]
    x, y = line(axes, index=1)
    both = (pairs["test_error_a"] + pairs["test_error_b"]) / 2
    assert list(x) == [0, 500]
    assert np.allclose(y, 100 * both.groupby(pairs["rewind_iteration"]).mean())
    # 8.0%, 8.1% and 8.2%.
    for panel in (axes, row["Test error along the line"]):
        _, y = line(panel)
        assert np.allclose(y, 8.1)
        [band] = panel.patches
        edges = [band.get_y(), band.get_y() + band.get_height()]
        assert np.allclose(edges, [8.0, 8.2])
    assert {"unpruned", "test"} <= set(legend_texts(figure))


def test_the_dense_band_is_of_all_replicates_whichever_pairs_diverged(tables):
    pairs, points = compared(tables, rewind_iterations=(0, 500))
    first = (pairs["replicate"] == 3) & (pairs["rewind_iteration"] == 0)
    lost = ["dense_test_error", "test_error_a", "test_error_b", "test_instability"]
    pairs.loc[first, lost] = np.nan
    (row,) = panels(instability.draw(pairs, points))
    _, y = line(row["Test error"])
    assert np.allclose(y, 8.1)


def test_the_dense_network_has_no_such_panel(two_k):
    (row,) = panels(two_k[-1])
    assert "Test error" not in row


def test_subnetworks_throughout_training_have_both_panels(tables):
    pairs, points = compared(
        tables, iterations=(3000, 63000), rewind_iterations=(0, 500)
    )
    (row,) = panels(instability.draw(pairs, points))
    assert {"Test error", "Test instability throughout training"} <= row.keys()


def test_each_setting_has_its_row(tables):
    lenet = tables(model="lenet", dataset="mnist", iterations=(24000,))
    resnet = tables(rewind_iterations=(0, 2000), replicates=1)
    both = [pandas.concat(one) for one in zip(lenet, resnet, strict=True)]
    figure = instability.draw(*both)
    titles = [row.get_suptitle() for row in figure.subfigs]
    assert titles == [
        "Lenet on MNIST\nstandard, 24,000 iterations, 9 pairs of 3 replicates",
        "ResNet-20 on CIFAR-10\nstandard, 63,000 iterations, 3 pairs of 1 replicate",
    ]


def test_pairs_that_diverged_are_left_out(tables):
    pairs, points = tables(rewind_iterations=(0, 500))
    lost = {name: np.nan for name in pairs.columns if "instability" in name}
    lost |= {"l2_distance": np.nan, "rewind_iteration": 500, "replicate": 9}
    more = pandas.DataFrame([{**pairs.iloc[0], **lost, "diverged_iteration": 7}])
    (row,) = panels(instability.draw(pandas.concat([pairs, more]), points))
    _, y = line(row["Distance of the copies"])
    assert np.allclose(y, pairs.groupby("rewind_iteration")["l2_distance"].mean())


def test_the_distance_of_a_single_k_is_not_at_the_edge(tables):
    pairs, points = tables(rewind_iterations=(0,), replicates=1)
    pairs["l2_distance"] = 80 + 0.5 * np.arange(len(pairs))
    (row,) = panels(instability.draw(pairs, points[:0]))
    axes = row["Distance of the copies"]
    assert line(axes)[1].max() < 0.97 * axes.get_ylim()[1]


@pytest.mark.parametrize("rewind_iterations", [(0,), (100,), (0, 25), (500, 2000)])
def test_any_grid_of_k_can_be_drawn(tables, show, rewind_iterations):
    show(instability.draw(*tables(rewind_iterations=rewind_iterations, replicates=1)))


def test_empty_table_is_refused(tables):
    pairs, points = tables(replicates=1)
    with pytest.raises(ValueError, match="'instability' has no rows"):
        instability.draw(pairs[:0], points)


def test_without_points_there_is_no_panel_along_the_line(tables):
    pairs, points = tables(replicates=1)
    (row,) = panels(instability.draw(pairs, points[:0]))
    assert list(row) == ["Instability", "Distance of the copies"]


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_a_split_that_was_not_measured_has_no_panel(tables, split, other):
    pairs, points = tables(rewind_iterations=(0, 500), iterations=(400, 63000))
    for table in (pairs, points):
        columns = [one for one in table if one.startswith(f"{other}_")]
        table[columns] = np.nan
    figure = instability.draw(pairs, points)
    (row,) = panels(figure)
    titles = {f"{split.capitalize()} error along the line", "Instability"}
    titles |= {"Distance of the copies"}
    if split == "test":
        titles |= {"Test instability throughout training"}
    assert row.keys() == titles
    texts = legend_texts(figure)
    assert split in texts and other not in texts
    assert "batch norm re-estimated" in legend_texts(figure)


# Several kinds of networks.


def overlaid(tables, *, levels=(8,), dense=True, **options):
    """Returns tables of every kind, of IMP at several levels."""
    kinds = [("dense", 0)] if dense else []
    kinds += [("imp", level) for level in levels]
    kinds += [("random_pruning", levels[0]), ("snip", levels[0])]
    found = []
    for kind, level in kinds:
        density = 0.8**level
        which = {"level": level, "density": density, "axis_density": density}
        pairs, points = tables(subnetwork=kind, **which, **options)
        if level:
            pairs["dense_test_error"] = 0.079 + 0.001 * pairs["replicate"]
        found.append((pairs, points))
    return [pandas.concat(both, ignore_index=True) for both in zip(*found, strict=True)]


@pytest.fixture(scope="module")
def of_kinds(tables):
    """The tables of several kinds at two k, and their figure: drawn once."""
    pairs, points = overlaid(tables, rewind_iterations=(0, 500))
    return pairs, points, instability.draw(pairs, points)


def by_color(axes):
    """Returns the solid lines of a panel by colour."""
    solid = [one for one in axes.lines if one.get_linestyle() == "-"]
    return {one.get_color(): one for one in solid if len(one.get_xdata())}


def test_kinds_are_overlaid_with_the_dense_network_in_red(of_kinds):
    pairs, points, figure = of_kinds
    (row,) = panels(figure)
    assert list(row)[:4] == [
        "Test error along the line, k = 0",
        "Instability",
        "Distance of the copies",
        "Test error",
    ]
    columns = {"Instability": "test_instability", "Distance of the copies": None}
    for title, column in columns.items():
        found = by_color(row[title])
        assert len(found) == 4
        dense = pairs[pairs["subnetwork"] == "dense"]
        means = dense.groupby("rewind_iteration")[column or "l2_distance"].mean()
        scale = 100 if column else 1
        drawn = found[lines.UNPRUNED_COLOR]
        np.testing.assert_allclose(drawn.get_ydata(), scale * means)
        assert drawn.get_label() == "unpruned"
    first = row["Test error along the line, k = 0"]
    here = points[(points["subnetwork"] == "imp") & (points["rewind_iteration"] == 0)]
    drawn = by_color(first)[lines.kind_colors(["imp"])["imp"]]
    means = here.groupby("alpha")["test_error"].mean()
    np.testing.assert_allclose(drawn.get_ydata(), 100 * means)
    # Below, each kind along the line for every k.
    assert list(row)[4:] == ["unpruned", "IMP", "random pruning", "SNIP"]
    texts = legend_texts(figure)
    assert {"unpruned", "IMP", "random pruning", "SNIP", "k = 0", "k = 500"} <= {*texts}
    assert len(texts) == len(set(texts))


def test_each_level_has_its_block_with_the_dense_network(tables):
    pairs, points = overlaid(tables, levels=(8, 9), rewind_iterations=(0, 500))
    figure = instability.draw(pairs, points)
    titles = [block.get_suptitle().split("\n")[1] for block in figure.subfigs]
    assert [title.split(", ")[2] for title in titles] == [
        "subnetworks at 16.8%",
        "subnetworks at 13.4%",
    ]
    for block, count in zip(panels(figure), (4, 2), strict=True):
        found = by_color(block["Instability"])
        assert lines.UNPRUNED_COLOR in found and len(found) == count


def test_kinds_without_dense_pairs_have_its_error_in_red(tables):
    pairs, points = overlaid(tables, dense=False, rewind_iterations=(0, 500))
    (row,) = panels(instability.draw(pairs, points))
    for title in ("Test error along the line, k = 0", "IMP", "Test error"):
        _, y = by_color(row[title])[lines.UNPRUNED_COLOR].get_data()
        assert np.allclose(y, 8.1)
    assert lines.UNPRUNED_COLOR not in by_color(row["Instability"])


def test_kinds_throughout_training_have_a_panel_each(tables):
    options = {"iterations": (3000, 63000), "rewind_iterations": (0, 500)}
    figure = instability.draw(*overlaid(tables, **options))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[4:] == 2 * ["unpruned", "IMP", "random pruning", "SNIP"]


def test_imagenet_has_a_linear_axis_in_epochs(tables):
    pairs, points = tables(
        model="resnet50", dataset="imagenet2012", rewind_iterations=(0, 5005, 10010)
    )
    pairs, points = (one.assign(epoch_iterations=1251.14) for one in (pairs, points))
    figure = instability.draw(pairs, points)
    (row,) = panels(figure)
    for title in ("Instability", "Distance of the copies"):
        assert row[title].get_xscale() == "linear"
        assert row[title].get_xlabel() == "k (epochs)"
    assert {"k = 0 ep", "k = 4 ep", "k = 8 ep"} <= set(legend_texts(figure))


def test_no_legend_is_in_a_panel(two_k, of_kinds):
    for figure in (two_k[-1], of_kinds[-1]):
        assert all(axes.get_legend() is None for axes in figure.axes)
