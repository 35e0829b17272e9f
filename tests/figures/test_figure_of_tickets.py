"""The figure of other tasks' tickets shows what the table says."""

import dataclasses

import numpy as np
import pandas
import pytest

from tflottery.figures import tickets
from tflottery.studies.ticket_searches import EvaluatedTicket

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


@pytest.fixture
def drawn():
    rows = [_DENSE, dataclasses.replace(_DENSE, replicate=2)]
    rows += _tickets("imp", "labels", error=0.02)
    rows += _tickets("imp", "rotation", error=0.03)
    rows += _tickets("random_pruning", None, error=0.06)
    return tickets.draw(pandas.DataFrame(map(dataclasses.asdict, rows)))


def test_a_line_for_each_task_and_k(drawn):
    [part] = drawn.subfigs
    [axes] = part.axes
    lines = {
        container.get_label(): container.lines[0].get_xydata()
        for container in axes.containers
    }
    assert list(lines) == [
        "tickets of labels, k = 0",
        "tickets of labels, k = 50",
        "tickets of rotation, k = 0",
        "tickets of rotation, k = 50",
        "random pruning, k = 0",
        "random pruning, k = 50",
    ]
    found = lines["tickets of rotation, k = 50"]
    expected = [[80, 96.88], [64, 96.78], [51.2, 96.68]]
    np.testing.assert_allclose(sorted(found.tolist(), reverse=True), expected)
    legend = [text.get_text() for text in part.legends[0].get_texts()]
    assert legend == ["unpruned", *lines]


def test_a_task_has_a_colour(drawn):
    [axes] = drawn.subfigs[0].axes
    colors = {}
    for container in axes.containers:
        task = container.get_label().split(",")[0]
        colors.setdefault(task, set()).add(container.lines[0].get_color())
    assert [len(found) for found in colors.values()] == [1, 1, 1]
    assert len(set.union(*colors.values())) == 3


def test_an_empty_table_is_refused():
    with pytest.raises(ValueError, match="'accuracy' has no rows"):
        tickets.draw(pandas.DataFrame(columns=["test_error"]))
