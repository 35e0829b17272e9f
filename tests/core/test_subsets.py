"""Subsets of a data set, as users name them."""

import pytest

from tflottery.core import subsets
from tflottery.core.recipes import Setting


def test_kind_and_fraction():
    found = subsets.parse("images:0.1")
    assert (found.kind, found.fraction) == ("images", 0.1)
    assert str(subsets.parse("classes:3e-1")) == "classes:0.3"


def test_all_of_it_is_no_subset():
    assert subsets.parse("images:1") is None
    assert Setting("digits", subset="classes:1.0") == Setting("digits")


def test_one_subset_is_written_in_one_way():
    assert Setting("digits", subset="images:.10").subset == "images:0.1"


@pytest.mark.parametrize(
    "text",
    ["", "0.1", "images", "images:", "images:0", "images:2", "pixels:0.1"]
    + ["images:-0.1", "images:nan", "images:1e", "images:0.1.2", " images:0.1"],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="no subset. Write images:0.1 "):
        subsets.parse(text)
