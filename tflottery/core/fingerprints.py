"""Fingerprints: a short, stable hash of how a thing comes about.

What is hashed is text, put together of the texts of its parts: those of a recipe, a
network or a data set are the same in thousands of runs, and written once.
"""

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Callable, Iterable, Mapping

# Metadata of a dataclass field that older fingerprints do not know.
LATER = {"later": True}

_MAX_KNOWN = 1000
_known: dict[tuple, tuple[object, object]] = {}
_quoted = json.encoder.encode_basestring_ascii


class _Field(typing.NamedTuple):
    """A field of a dataclass; `default` counts where it came later."""

    name: str
    is_later: bool
    default: object


def text(value: object) -> str:
    """Returns JSON of plain lists, objects, numbers and text that stands for a value.

    A dataclass becomes its fields and its class's `KIND`; a value with an attribute
    `key` stands as that key, so that derivations nest without growing. Dataclasses, and
    tuples in them, are held to never change.

    Raises:
      TypeError: the value is none of these; its `repr` might change between runs.
    """
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        # repr is the shortest text that reads back as the same float; that of numpy's
        # float64, which is a float too, would name its type.
        return _object({"float": _quoted(repr(float(value)))})
    if isinstance(value, list | tuple):
        return _list(map(text, value))
    if isinstance(value, dict):
        return _object({str(name): text(item) for name, item in value.items()})
    if hasattr(value, "key"):
        return _object({kind(value): text(value.key)})
    if dataclasses.is_dataclass(value):
        return once(_nested, value)
    raise TypeError(
        f"{value!r} of type {type(value).__name__} cannot enter a fingerprint: use "
        "numbers, text, lists, dicts and dataclasses."
    )


def kind(value: object) -> str:
    """Returns what the value's class is called in fingerprints: its `KIND`.

    Not the class's name, so that a class can be renamed and everything that was made
    under its keys is still found.

    Raises:
      TypeError: the class has no `KIND` of its own; an inherited one would give two
        classes the same fingerprints.
    """
    name = type(value).__name__
    found = vars(type(value)).get("KIND")
    if not isinstance(found, str):
        raise TypeError(
            f"Class {name} has KIND={found!r} of its own, expected text, by which the "
            "class is called in fingerprints. Give it one that is never changed, such "
            f"as KIND = {name.lower()!r}."
        )
    return found


def fields(value: object, **instead: str) -> dict[str, object]:
    """Returns the fields of a dataclass by name, as their texts read.

    What is given by keyword is the text of the field of that name. A field added later,
    with `metadata=LATER`, is left out at its default, so that what was made before
    keeps its key.
    """
    return {name: json.loads(one) for name, one in _texts(value, instead).items()}


def key_of(value: object, **instead: str) -> str:
    """Returns the key of a dataclass of a `KIND` and a `VERSION`.

    Args:
      value: the dataclass.
      **instead: as of `fields`.
    """
    parts = text(kind(value)), text(value.VERSION), _object(_texts(value, instead))
    return digest(_list(parts))


def fingerprint(value: object, *, length: int = 32) -> str:
    """Returns the first `length` hexadecimal digits of the sha256 of a value's text."""
    return digest(text(value), length=length)


def digest(text: str, *, length: int = 32) -> str:
    """Returns the first `length` hexadecimal digits of the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def once(function: Callable[[object], object], value: object) -> object:
    """Returns what a function makes of an object that never changes.

    Worked out once while the same object comes again and again, as the recipe does in
    thousands of runs.
    """
    key = function, id(value)
    known = _known.get(key)
    # Held on to, the object keeps its id to itself.
    if known is None or known[0] is not value:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        known = _known[key] = value, function(value)
    return known[1]


def _texts(value: object, instead: Mapping[str, str]) -> dict[str, str]:
    """Returns the texts of a dataclass's fields by name: as of `fields`."""
    found = {}
    for name, is_later, default in _fields_of(type(value)):
        one = getattr(value, name)
        if not is_later or one != default:
            found[name] = instead.get(name) or _text_of_field(one)
    return found


def _text_of_field(value: object) -> str:
    # Thousands of masks are of the same tuple of kernels.
    return once(text, value) if isinstance(value, tuple) else text(value)


@functools.cache
def _fields_of(owner: type) -> tuple[_Field, ...]:
    return tuple(
        _Field(one.name, one.metadata == LATER, one.default)
        for one in dataclasses.fields(owner)
    )


def _nested(value: object) -> str:
    """Returns the text of a dataclass without a key of its own."""
    return _object({kind(value): _object(_texts(value, {}))})


def _object(texts: Mapping[str, str]) -> str:
    pairs = (f"{_quoted(name)}:{one}" for name, one in sorted(texts.items()))
    return f"{{{','.join(pairs)}}}"


def _list(texts: Iterable[str]) -> str:
    return f"[{','.join(texts)}]"
