"""The records under experiments/ say of the papers' claims what the program says.

`python -m tests.test_records` writes the claims into the records, as of today's program
and tables, and the table and overview of all of them into experiments/claims.
"""

import pathlib
import re

import pandas
import pytest

import tflottery
from tflottery.claims.judging import Judgement
from tflottery.core import tables
from tflottery.reports import claim_tables, claims, claims_overview

_ROOT = pathlib.Path(tflottery.__file__).parents[1] / "experiments"
_OVERVIEW = _ROOT / "claims"
_HEADING = "\n## Claims\n"
_INTRODUCTION = (
    "By `python -m tflottery.reports.claims` of this folder, with 95% intervals over\n"
    "replicates.\n\n"
)
# Of which all records of a paper have claims of their own together.
_PAPERS = ("limited_supervision",)
# What only the program says of a claim.
_JUDGEMENTS = r"\b(holds|fails|contradict\w*|undecided|not enough data)\b"

pytestmark = pytest.mark.skipif(
    not _ROOT.exists(), reason="an installed package comes without experiments/"
)


def _records():
    """Returns the folders of the records, by paper and name, and those of papers."""
    found = sorted(path.parent for path in _ROOT.glob("*/*/README.md"))
    return [*_PAPERS, *(path.relative_to(_ROOT).as_posix() for path in found)]


def _section(record):
    """Returns what a record has to say of the claims: the end of its README."""
    found, damaged = claim_tables.load([str(_ROOT / record)])
    assert not damaged
    told = claims.markdown(claims.judge(found))
    return f"{_INTRODUCTION}{told}\n"


def _one_of_each_paper_fast():
    papers = set()
    for record in _records():
        paper = record.split("/")[0]
        yield pytest.param(record, marks=pytest.mark.slow if paper in papers else ())
        papers.add(paper)


@pytest.mark.parametrize("record", list(_one_of_each_paper_fast()))
def test_a_record_says_what_the_program_says(record):
    text = (_ROOT / record / "README.md").read_text()
    prose, heading, section = text.partition(_HEADING)
    assert heading, "its README has no section Claims: see this module's docstring"
    assert section == _section(record)
    assert not re.findall(_JUDGEMENTS, prose, re.IGNORECASE)


def _all_judgements():
    found, damaged = claim_tables.load([str(_ROOT)])
    assert not damaged
    return claims.judge(found)


@pytest.mark.slow
def test_the_table_of_all_records_is_what_the_program_says(tmp_path):
    told = _all_judgements()
    tables.write(told, tmp_path / "claims.csv", row_type=Judgement)
    is_now, was = (
        tables.read(folder / "claims.csv") for folder in (tmp_path, _OVERVIEW)
    )
    pandas.testing.assert_frame_equal(is_now, was)
    _, _, overview = (_OVERVIEW / "README.md").read_text().partition("\n## ")
    assert f"## {overview}" == f"{claims_overview.markdown(told)}\n"


def test_the_index_names_every_record():
    text = (_ROOT / "README.md").read_text()
    pages = [path for path in _ROOT.rglob("README.md") if path.parent != _ROOT]
    names = {path.relative_to(_ROOT).as_posix() for path in pages}
    assert set(re.findall(r"\]\(([^\s)]+)\)", text)) == names


def _write_overview():
    """Writes the table of all records, and what it says at a glance."""
    told = _all_judgements()
    claims.save(told, output=str(_OVERVIEW / "claims.csv"))
    path = _OVERVIEW / "README.md"
    prose = path.read_text().partition("\n## ")[0].rstrip("\n")
    path.write_text(f"{prose}\n\n{claims_overview.markdown(told)}\n")


if __name__ == "__main__":
    for one in _records():
        path = _ROOT / one / "README.md"
        prose = path.read_text().partition(_HEADING)[0].rstrip("\n")
        path.write_text(f"{prose}\n{_HEADING}{_section(one)}")
    _write_overview()
