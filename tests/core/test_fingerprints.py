"""Fingerprints: equal for what is equal, different for what differs, stable."""

import dataclasses
import fractions
import subprocess
import sys

import numpy as np
import pytest

from tflottery.core import fingerprints


@dataclasses.dataclass(frozen=True)
class Point:
    KIND = "Point"

    x: object
    y: object = 0


@dataclasses.dataclass(frozen=True)
class Other:
    KIND = "other"

    x: object
    y: object = 0


@dataclasses.dataclass(frozen=True)
class Renamed:
    """As a class is after its name was changed."""

    KIND = "Point"

    x: object
    y: object = 0


@dataclasses.dataclass(frozen=True)
class Nameless(Point):
    pass


@dataclasses.dataclass(frozen=True)
class Keyed:
    KIND = "keyed"

    x: object

    @property
    def key(self):
        return "k"


def test_known_value():
    """Stores hold artifacts by these: a change of it is a change of every address."""
    value = ["Run", 1, {"rate": 0.1, "seeds": (1, 2), "mask": None, "of": Point(1.5)}]
    assert fingerprints.fingerprint(value) == "dc2dd370e672f769abee0054a1d02653"
    assert fingerprints.fingerprint(value, length=8) == "dc2dd370"


def test_same_in_every_process():
    code = (
        "from tflottery.core import fingerprints\n"
        "print(fingerprints.fingerprint({'b': {'x', 'y'} and 1, 'a': 0.3}))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == fingerprints.fingerprint({"a": 0.3, "b": 1})


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((1, 2), [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (Point(1, (2, 3)), Point(1, [2, 3])),
        (Keyed(1), Keyed(2)),
        (0.1, np.float64(0.1)),
        (Point(1), Renamed(1)),
    ],
)
def test_equal(one, two):
    assert fingerprints.fingerprint(one) == fingerprints.fingerprint(two)


def test_different():
    values = [
        None,
        0,
        1,
        1.0,
        "1",
        "",
        [],
        [[]],
        {},
        True,
        False,
        0.1,
        0.1 + 2**-56,
        float("inf"),
        [1, 2],
        [2, 1],
        {"a": 1},
        {"a": 2},
        Point(1),
        Other(1),
        Point(1, 1),
        Keyed(1),
        [Keyed(1)],
    ]
    found = [fingerprints.fingerprint(value) for value in values]
    assert len(set(found)) == len(values)
    assert all(len(one) == 32 for one in found)


@pytest.mark.parametrize(
    "value", [{1, 2}, np.zeros(2), np.int64(1), b"x", object(), fractions.Fraction(1)]
)
def test_what_has_no_stable_text_is_refused(value):
    with pytest.raises(TypeError, match=f"type {type(value).__name__} cannot enter"):
        fingerprints.fingerprint(["fine", {"inside": value}])


def test_fields_are_canonical_by_name():
    assert fingerprints.fields(Point((1, 2.5), Keyed(3))) == {
        "x": [1, {"float": "2.5"}],
        "y": {"keyed": "k"},
    }


def test_a_class_without_a_kind_of_its_own_is_refused():
    """Its parent's would give both classes the same fingerprints."""
    with pytest.raises(TypeError, match="Class Nameless has KIND=None of its own"):
        fingerprints.fingerprint(["fine", {"inside": Nameless(1)}])


def test_what_stands_for_a_field_enters_in_its_place():
    assert fingerprints.fields(Point(object(), 2), x="3") == {"x": 3, "y": 2}


def test_a_field_added_later_counts_only_where_it_says_something():
    @dataclasses.dataclass(frozen=True)
    class Grown:
        KIND = "grown"

        x: int
        y: int = dataclasses.field(default=0, metadata=fingerprints.LATER)

    assert fingerprints.fields(Grown(1)) == fingerprints.fields(Grown(1, 0)) == {"x": 1}
    assert fingerprints.fields(Grown(1, 2)) == {"x": 1, "y": 2}


def test_the_text_of_a_field_that_comes_again_is_written_once(monkeypatch):
    """A mask of each level has the same tuple of kernels."""
    kernels = tuple((f"layer_{number}/kernel", (3, 3, 16, 16)) for number in range(50))
    points = [Point(kernels, number) for number in range(3)]
    expected = {fingerprints.fingerprint(one) for one in points}
    written, quoted = [], fingerprints._quoted
    monkeypatch.setattr(
        fingerprints, "_quoted", lambda one: written.append(one) or quoted(one)
    )
    points = [Point(kernels, number) for number in range(3)]
    assert {fingerprints.fingerprint(one) for one in points} == expected
    assert not any(one.startswith("layer") for one in written)
