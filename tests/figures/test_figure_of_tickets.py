"""The figures of tickets show what the table says, and what the paper has."""

import dataclasses

import numpy as np
import pandas
import pytest

from tflottery.figures import lines, tickets
from tflottery.studies.ticket_tables import EvaluatedTicket

_DENSE = EvaluatedTicket(
    network="runs/a/00000100",
    mask=None,
    model="lenet",
    variant="limited_supervision",
    dataset="mnist",
    task="labels",
    training_iterations=24_000,
    config="0123abcd",
    replicate=1,
    data_order=0,
    rewind_iteration=0,
    test_error=0.02,
)


def _tickets(kind, task, *, error):
    return [
        dataclasses.replace(
            _DENSE,
            network=f"runs/{kind}-{task}/00000100",
            subnetwork=kind,
            search=task,
            ticket_task=task,
            level=level,
            density=0.8**level,
            axis_density=0.8**level,
            replicate=replicate,
            rewind_iteration=k,
            test_error=error + 0.001 * level + (0.0002 if k else 0),
        )
        for level in (1, 2, 3)
        for replicate in (1, 2)
        for k in (0, 50)
    ]


@pytest.fixture(scope="module")
def drawn():
    rows = [_DENSE, dataclasses.replace(_DENSE, replicate=2)]
    rows += _tickets("imp", "labels", error=0.02)
    rows += _tickets("imp", "rotation", error=0.03)
    rows += _tickets("random_pruning", None, error=0.06)
    return tickets.draw(pandas.DataFrame(map(dataclasses.asdict, rows)))


def test_a_line_for_each_task_and_k(drawn):
    [part] = drawn.subfigs
    [axes] = part.axes
    found = {
        container.get_label(): container.lines[0].get_xydata()
        for container in axes.containers
    }
    assert list(found) == [
        "labels, k = 0",
        "labels, k = 50",
        "rotation, k = 0",
        "rotation, k = 50",
        "random pruning, k = 0",
        "random pruning, k = 50",
    ]
    line = found["rotation, k = 50"]
    expected = [[80, 96.88], [64, 96.78], [51.2, 96.68]]
    np.testing.assert_allclose(sorted(line.tolist(), reverse=True), expected)
    legend = [text.get_text() for text in part.legends[0].get_texts()]
    assert legend == ["unpruned", *found]


def test_a_task_has_a_colour(drawn):
    [axes] = drawn.subfigs[0].axes
    colors = {}
    for container in axes.containers:
        task = container.get_label().split(",")[0]
        colors.setdefault(task, set()).add(container.lines[0].get_color())
    assert [len(found) for found in colors.values()] == [1, 1, 1]
    assert len(set.union(*colors.values())) == 3


_LEVELS = (*range(1, 7), *range(9, 31, 3))
# By search: task, subset, k and batch size.
_SUBSETS = {
    "labels": ("labels", None, 2500, 1536),
    "10% of images": ("labels", "images:0.1", 5000, 768),
    "30% of classes": ("labels", "classes:0.3", 2500, 1536),
}


def _network(**columns):
    """Returns a row of ResNet-50 on ImageNet, as the paper has it."""
    setting = {"model": "resnet50", "dataset": "imagenet2012", "config": "76543210"}
    return dataclasses.replace(_DENSE, **(setting | columns))


def _found(search, *, errors=(0.4, 0.5, 0.54), kind="imp", **more):
    """Returns rows of a search: a replicate an error, at every level of the paper."""
    task, subset, k, batch_size = _SUBSETS.get(search, (None, None, 0, 0))
    columns = {"search": search, "ticket_task": task, "ticket_subset": subset}
    if search is not None:
        columns |= {"ticket_dataset": "imagenet2012", "search_iterations": 10}
        columns |= {"search_examples": 10 * batch_size}
    return [
        _network(
            network=f"runs/{kind}-{search}-{more}/00000100",
            subnetwork=kind,
            level=level,
            density=0.8**level,
            # Of the paper's densities the head is no part.
            axis_density=0.5 + 0.5 * 0.8**level,
            replicate=replicate,
            test_error=error,
            **({"rewind_iteration": k} | columns | more),
        )
        for level in _LEVELS
        for replicate, error in enumerate(errors, start=1)
    ]


def _drawn(*rows):
    return tickets.draw(pandas.DataFrame(map(dataclasses.asdict, rows)))


@pytest.fixture(scope="module")
def subsets_drawn():
    dense = [_network(replicate=replicate) for replicate in (1, 2, 3)]
    found = [row for search in _SUBSETS for row in _found(search)]
    random = _found(None, kind="random_pruning")
    random += _found(None, kind="adjusted_random")
    return _drawn(*dense, *found, *random)


def test_bars_are_standard_errors_at_the_density_of_what_is_pruned(subsets_drawn, bars):
    [axes] = subsets_drawn.axes
    x, mean, error = bars(axes)["10% of images"]
    np.testing.assert_allclose(sorted(x), sorted(100 * 0.8**n for n in _LEVELS))
    np.testing.assert_allclose(mean, 52)
    expected = 100 * np.std([0.4, 0.5, 0.54], ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(error, expected)


def test_the_papers_values_are_diamonds_in_the_lines_colour(subsets_drawn, bars):
    [axes] = subsets_drawn.axes
    labels = [container.get_label() for container in axes.containers]
    # That of the unpruned network first; the paper adjusts no random masks here.
    paper, printed = "_in the paper", [labels[0]]
    assert printed == [paper]
    assert labels[1:] == [
        *("labels", paper, "10% of images", paper, "30% of classes", paper),
        *("random pruning", paper, "adjusted random pruning"),
    ]
    by_line = dict(zip(labels[1::2], axes.containers[2::2], strict=False))
    found = by_line["10% of images"]
    line, _, (segments,) = found.lines
    assert line.get_marker() == "D" and line.get_linestyle() == "None"
    own = axes.containers[labels.index("10% of images")].lines[0]
    assert line.get_color() == own.get_color()
    points = dict(zip(*line.get_data(), strict=True))
    assert len(points) == 14
    # Table 6, at 13.4% and at 0.1%, with the error there.
    assert points[100 * 0.8**9] == 71.15
    assert points[100 * 0.8**30] == 36.62
    ends = [segment[:, 1] for segment in segments.get_segments()]
    assert np.ptp(ends[0]) / 2 == pytest.approx(0.1)


def test_the_papers_unpruned_network_is_red_and_in_the_legend_once(
    subsets_drawn, legends
):
    [axes] = subsets_drawn.axes
    line = axes.containers[0].lines[0]
    assert line.get_color() == lines.UNPRUNED_COLOR
    np.testing.assert_array_equal(line.get_xydata(), [[100, 75.26]])
    [legend] = legends(subsets_drawn)
    assert legend.count("in the paper") == 1
    assert not [label for label in legend if label.startswith("_")]


def test_the_figure_is_laid_out_and_its_legend_is_off_the_data(subsets_drawn):
    subsets_drawn.draw_without_rendering()
    [part] = subsets_drawn.subfigs
    [axes], [legend] = part.axes, part.legends
    below, panel = legend.get_window_extent(), axes.get_tightbbox()
    assert below.y1 <= panel.y0
    # Nothing unseen takes its room from the panel.
    height = subsets_drawn.bbox.height
    assert axes.get_window_extent().height > 0.5 * height
    assert panel.y0 - below.y1 < 0.05 * height
    assert below.x0 >= 0 and below.x1 <= subsets_drawn.bbox.width


def test_labels_of_densities_are_three_levels_apart(subsets_drawn):
    [axes] = subsets_drawn.axes
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert [text for text in shown if text] == [
        *("100", "51.2", "26.2", "13.4", "6.9", "3.5", "1.8", "0.9", "0.5"),
        *("0.2", "0.1"),
    ]


def test_other_rewinding_is_none_of_the_papers():
    rules = [
        *_found("10% of images", rewind_iteration=501),
        *_found("10% of images", rewind_iteration=5000),
    ]
    [axes] = _drawn(*rules).axes
    assert [container.get_label() for container in axes.containers] == [
        *("10% of images, k = 501", "10% of images, k = 5K", "_in the paper"),
    ]


def test_rules_of_rewinding_are_lines_by_their_names():
    early = _found("10% of images", rewind_iteration=501)
    rows = [dataclasses.replace(row, search="3 epochs") for row in early]
    rows += [
        dataclasses.replace(row, search="3840000 examples")
        for row in _found("10% of images")
    ]
    [axes] = _drawn(*rows).axes
    assert [container.get_label() for container in axes.containers] == [
        *("3 epochs", "3840000 examples", "_in the paper"),
    ]


def test_reinitialized_tickets_are_dashed_in_the_searchs_colour():
    rows = [*_found("labels"), *_found("labels", kind="random_reinit")]
    [axes] = _drawn(*rows).axes
    reset, _, fresh = (container.lines[0] for container in axes.containers)
    labels = [container.get_label() for container in axes.containers]
    assert labels == ["labels", "_in the paper", "labels, reinitialized"]
    assert reset.get_color() == fresh.get_color()
    assert (reset.get_linestyle(), fresh.get_linestyle()) == ("-", "--")


def test_what_is_random_is_grey(subsets_drawn):
    [axes] = subsets_drawn.axes
    colors = [
        container.lines[0].get_color()
        for container in axes.containers
        if "random" in container.get_label()
    ]
    assert len(set(colors)) == 2
    assert all(color.replace(".", "").isdigit() for color in colors)


def test_adjusted_random_pruning_is_seen_where_plain_is_the_same(legends):
    rows = _found(None, kind="adjusted_random")
    rows += _found(None, kind="random_pruning")
    drawn = _drawn(*_found("labels"), *rows)
    [axes] = drawn.axes
    by_label = {one.get_label(): one.lines[0] for one in axes.containers}
    plain, adjusted = (by_label[f"{one}random pruning"] for one in ("", "adjusted "))
    np.testing.assert_array_equal(plain.get_ydata(), adjusted.get_ydata())
    # A darker, dashed line on top of a lighter, solid one.
    assert axes.lines.index(adjusted) > axes.lines.index(plain)
    assert (plain.get_linestyle(), adjusted.get_linestyle()) == ("-", "--")
    assert float(adjusted.get_color()) < float(plain.get_color())


def test_searches_of_the_same_tickets_are_one_line_of_both_names():
    rows = [
        dataclasses.replace(row, search=f"images:0.1 to {rule}")
        for rule in ("98it", "50000ex")
        for row in _found("10% of images")
    ]
    rows += _found("labels")
    [axes] = _drawn(*rows).axes
    labels = [container.get_label() for container in axes.containers]
    assert labels == [
        *("images:0.1 to 98it, images:0.1 to 50000ex", "_in the paper"),
        *("labels", "_in the paper"),
    ]


def test_a_panel_for_each_number_of_convolutions(bars, legends):
    dense = [_network(replicate=replicate) for replicate in (1, 2, 3)]
    rows = []
    for depth in (None, 5, 1):
        for search in ("labels", None):
            kind = "imp" if search else "random_pruning"
            errors = (0.1 * (depth or 9),) * 3
            rows += _found(search, kind=kind, errors=errors, first_convolutions=depth)
    drawn = _drawn(*dense, *rows)
    titles = [axes.get_title() for axes in drawn.axes]
    assert titles == [
        *("first convolution pruned", "first 5 convolutions pruned"),
        "all layers pruned",
    ]
    heights = [np.unique(bars(axes)["labels"][1]) for axes in drawn.axes]
    np.testing.assert_allclose(np.ravel(heights), [90, 50, 10])
    # Panels beside each other are compared.
    assert len({axes.get_ylim() for axes in drawn.axes}) == 1
    # The unpruned network is in all of them, the paper's tickets in the last.
    marked = [list(bars(axes)) for axes in drawn.axes]
    assert all(found[0] == "_in the paper" for found in marked)
    counts = [len(axes.containers) for axes in drawn.axes]
    assert counts == [3, 3, 5]
    assert legends(drawn) == [["unpruned", "in the paper", "labels", "random pruning"]]


def test_an_empty_table_is_refused():
    with pytest.raises(ValueError, match="'accuracy' has no rows"):
        tickets.draw(pandas.DataFrame(columns=["test_error"]))
