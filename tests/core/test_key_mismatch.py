"""What an error says of two sets of names."""

import pytest

from tflottery.core import key_mismatch


@pytest.mark.parametrize(
    ("found", "expected", "text"),
    [
        ([], {}, ""),
        (["b", "a"], {"a": 1, "b": 2}, ""),
        (["b"], ["c", "b", "a"], "missing ['a', 'c'], too much []"),
        ({"d": 0, "b": 0, "a": 0}, ["a", "c"], "missing ['c'], too much ['b', 'd']"),
    ],
)
def test_what_is_missing_and_what_is_too_much(found, expected, text):
    assert key_mismatch.differing(found, expected=expected) == text
