"""In what two artifacts of a store differ, and which ones are nearest to each other.

Who wonders why something was trained again finds here the field that is another one.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from tflottery.store.origins import Origins, Reference, Value, of_run

# What a field is called that only one of two artifacts has.
ABSENT = "-"
_SEED = "seed"
_NUM_NEAREST, _NUM_COMPARED = 3, 200


@dataclasses.dataclass(frozen=True)
class Difference:
    """A field in which two artifacts differ.

    Attributes:
      of: the address of the first of them, or of what it was made from.
      than: that of the second, or of what it was made from.
      field: dotted name of the field.
      first: its value in `of`.
      second: its value in `than`.
    """

    of: str
    than: str
    field: str
    first: Value
    second: Value


def between(origins: Origins, one: str, other: str) -> list[Difference]:
    """Returns in what two artifacts differ, down to what explains it.

    Where they differ in nothing but what they were made from, the differences of that
    follow, and so on, as far as the store has it, to the first that are of another
    kind.

    Args:
      origins: of the store they are in.
      one: address of an artifact.
      other: address of another of its kind.
    """
    found: list[Difference] = []
    waiting, seen = [(one, other)], set()
    while waiting:
        pair = waiting.pop(0)
        if pair in seen:
            continue
        seen.add(pair)
        fields = list(_differing(*map(origins.fields, pair)))
        found += [Difference(*pair, *each) for each in fields]
        made_from = [values for _, *values in fields]
        # Another value explains all that was made with it.
        if not all(isinstance(one, Reference) for each in made_from for one in each):
            break
        waiting += [
            (first.address, second.address)
            for first, second in made_from
            if first.address and second.address
        ]
    return found


def nearest(
    origins: Origins, address: str, *, most: int = _NUM_NEAREST
) -> list[tuple[str, list[Difference]]]:
    """Returns what else of its kind a store holds, in what it differs; nearest first.

    Of one run the newest state stands for all. What has other seeds is another
    repetition, and comes last.

    Args:
      origins: of the store.
      address: of an artifact.
      most: how many of them.
    """
    own = origins.fields(address)
    folder = address.partition("/")[0]
    others = {
        of_run(one) or one: one
        for one in sorted(origins.listing)
        # What is damaged does not tell.
        if one.partition("/")[0] == folder and origins.manifest(one)
    }
    others.pop(of_run(address) or address)
    # By its own fields first, of which there may be very many.
    ranked = sorted(
        (*_distance(name for name, *_ in _differing(own, origins.fields(one))), one)
        for one in others.values()
    )
    compared = [
        (one, between(origins, address, one)) for *_, one in ranked[:_NUM_COMPARED]
    ]
    compared.sort(key=lambda each: (*_distance(one.field for one in each[1]), each[0]))
    return compared[:most]


def _distance(fields: Iterable[str]) -> tuple[bool, int]:
    """Returns how far apart two artifacts are that differ in some fields."""
    names = list(fields)
    return any(name.endswith(_SEED) for name in names), len(names)


def _differing(
    one: Mapping[str, Value], other: Mapping[str, Value]
) -> Iterator[tuple[str, Value, Value]]:
    """Yields the fields in which two artifacts differ, with both values."""
    for name in {**one, **other}:
        first, second = one.get(name, ABSENT), other.get(name, ABSENT)
        if first != second:
            yield name, first, second
