"""The tables in READMEs of records, beside the tables that they are read from."""

import pathlib
import re

import pandas
import pytest

import tflottery

_ROOT = pathlib.Path(tflottery.__file__).parents[1] / "experiments"
_SUPERVISION = sorted(
    path.parent for path in (_ROOT / "limited_supervision").glob("*/accuracy.csv")
)
_CELL = re.compile(r"([\d.]+) \+- ([\d.]+)")

pytestmark = pytest.mark.skipif(
    not _ROOT.exists(), reason="an installed package comes without experiments/"
)


def _printed(record):
    """Returns the rows of a README that have a mean and a deviation a level."""
    prose = (record / "README.md").read_text().partition("\n## Claims\n")[0]
    rows = [_CELL.findall(line) for line in prose.splitlines() if line[:1] == "|"]
    return [[tuple(map(float, cell)) for cell in row] for row in rows if len(row) > 1]


def _measured(record):
    """Returns means and deviations of test accuracy in percent, a row a network."""
    table = pandas.read_csv(record / "accuracy.csv", dtype={"search": str})
    table = table[table["level"] > 0].fillna({"search": "", "first_convolutions": 0})
    accuracy = 100 * (1 - table["test_error"])
    by = ["subnetwork", "search", "first_convolutions", "level"]
    found = accuracy.groupby([table[name] for name in by]).agg(["mean", "std"])
    return [
        list(own.itertuples(index=False, name=None))
        for _, own in found.groupby(level=by[:-1])
    ]


def _agree(printed, measured):
    return len(printed) == len(measured) and all(
        abs(one - other) < 0.0501
        for cells in zip(printed, measured, strict=True)
        for one, other in zip(*cells, strict=True)
    )


@pytest.mark.parametrize("record", _SUPERVISION, ids=lambda path: path.name)
def test_accuracies_are_those_of_the_table(record):
    printed, measured = _printed(record), _measured(record)
    assert len(printed) == len(measured)
    for row in measured:
        assert any(_agree(one, row) for one in printed), row
    for row in printed:
        assert any(_agree(row, one) for one in measured), row
