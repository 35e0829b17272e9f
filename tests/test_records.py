"""The records under experiments/ say of the papers' claims what the program says.

`python -m tests.test_records` writes the claims into the records, as of today's program
and tables.
"""

import pathlib
import re

import pytest

import tflottery
from tflottery.reports import claims

_ROOT = pathlib.Path(tflottery.__file__).parents[1] / "experiments"
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
    told = claims.markdown(claims.judge(claims.load([str(_ROOT / record)])))
    return f"{_INTRODUCTION}{told}\n"


@pytest.mark.parametrize("record", _records())
def test_a_record_says_what_the_program_says(record):
    text = (_ROOT / record / "README.md").read_text()
    prose, heading, section = text.partition(_HEADING)
    assert heading, "its README has no section Claims: see this module's docstring"
    assert section == _section(record)
    assert not re.findall(_JUDGEMENTS, prose, re.IGNORECASE)


if __name__ == "__main__":
    for one in _records():
        path = _ROOT / one / "README.md"
        prose = path.read_text().partition(_HEADING)[0].rstrip("\n")
        path.write_text(f"{prose}\n{_HEADING}{_section(one)}")
