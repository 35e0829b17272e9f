"""Tables as experiments write them, of numbers made up, and what a figure shows."""

import itertools
import math

import numpy as np
import pandas
import pytest

from tflottery.core import tables as csv_tables

ALPHAS = np.linspace(0.0, 1.0, 30)
_SETTING = {
    "model": "resnet20",
    "variant": "standard",
    "dataset": "cifar10",
    "task": "labels",
    "config": "0123abcd",
    "subnetwork": "dense",
    "level": 0,
    "density": 1.0,
    "axis_density": 1.0,
}


def _errors(random, *, height, reestimated):
    """Returns errors along a line, by column."""
    columns = {}
    for split, base in (("train", 0.01), ("test", 0.085)):
        for reading in ("", "_reestimated"):
            top = height * (0.6 if reading else 1.0)
            errors = base + top * np.sin(np.pi * ALPHAS) ** 2
            if reading and not reestimated:
                errors = np.full(30, np.nan)
            columns[f"{split}_error{reading}"] = errors + random.normal(0, 0.001, 30)
    return columns


def _tables(
    *,
    iterations=(63000,),
    rewind_iterations=(0, 100, 250, 500, 1000, 2000, 5000),
    replicates=3,
    reestimated=True,
    **setting,
):
    """Returns the tables instability and interpolation."""
    random = np.random.default_rng(0)
    pairs, points = [], []
    grid = itertools.product(
        range(1, replicates + 1),
        rewind_iterations,
        iterations,
        itertools.combinations((1, 2, 3), 2),
    )
    for replicate, k, iteration, (a, b) in grid:
        keys = {
            **_SETTING,
            "training_iterations": max(iterations),
            "replicate": replicate,
            "data_order_a": a,
            "data_order_b": b,
            "rewind_iteration": k,
            "iteration": iteration,
            **setting,
        }
        share = min(1.0, 2.5 * iteration / max(iterations))
        height = 0.8 * share * math.exp(-k / 600) * random.uniform(0.9, 1.1)
        columns = _errors(random, height=height, reestimated=reestimated)
        instabilities = {
            name.replace("error", "instability"): errors.max() - errors[[0, -1]].mean()
            for name, errors in columns.items()
        }
        ends = {
            f"{name}_{end}": errors[at]
            for name, errors in columns.items()
            for end, at in (("a", -1), ("b", 0))
        }
        distance = 40 - 3 * math.log(k + 25) + random.normal()
        measured = {**instabilities, **ends, "l2_distance": distance}
        pairs.append({**keys, **measured, "dense_test_error": np.nan})
        points += [
            {**keys, "alpha": alpha, **{name: c[i] for name, c in columns.items()}}
            for i, alpha in enumerate(ALPHAS)
        ]
    return pandas.DataFrame(pairs), pandas.DataFrame(points)


@pytest.fixture(scope="session")
def tables():
    """The function that makes the two tables."""
    return _tables


@pytest.fixture
def table(tmp_path):
    """The function that writes rows as an experiment does, and reads them back."""

    def written(rows, row_type):
        csv_tables.write(rows, tmp_path / "table.csv", row_type=row_type)
        return csv_tables.read(tmp_path / "table.csv")

    return written


@pytest.fixture
def bars():
    """The function that returns (x, y, deviation) of a panel's bars, by label."""

    def found(axes):
        by_label = {}
        for container in axes.containers:
            line, _, (segments,) = container.lines
            x, y = line.get_data(orig=False)
            ends = [segment[:, 1] for segment in segments.get_segments()]
            ends = np.array(ends).reshape(-1, 2)
            by_label[container.get_label()] = (x, y, (ends[:, 1] - ends[:, 0]) / 2)
        return by_label

    return found


@pytest.fixture
def show():
    """The function that draws all of a figure where it is: nothing of it is refused.

    To lay it out first takes as long again; test_panels.py does, and so do commands.
    """

    def shown(figure):
        figure.set_layout_engine("none")
        figure.draw_without_rendering()

    return shown


@pytest.fixture
def legends():
    """The function that returns the labels of the legend below each block."""

    def found(figure):
        return [
            [text.get_text() for text in legend.get_texts()]
            for row in figure.subfigs
            for legend in row.legends
        ]

    return found
