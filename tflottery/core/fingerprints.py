"""Fingerprints: a short, stable hash of how a thing comes about."""

import dataclasses
import hashlib
import json
from collections.abc import Callable

# Metadata of a dataclass field that older fingerprints do not know.
LATER = {"later": True}

_MAX_KNOWN = 100
_known: dict[tuple, tuple[object, object]] = {}


def canonical(value: object) -> object:
    """Returns plain lists, dicts, numbers and text that stand for `value`.

    A dataclass becomes its fields and its class's `KIND`; a value with an attribute
    `key` stands as that key, so that derivations nest without growing.

    Raises:
      TypeError: the value is none of these; its `repr` might change between runs.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # repr is the shortest text that reads back as the same float; that of numpy's
        # float64, which is a float too, would name its type.
        return {"float": repr(float(value))}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {str(name): canonical(item) for name, item in sorted(value.items())}
    if hasattr(value, "key"):
        return {kind(value): value.key}
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


def fields(value: object, **instead: object) -> dict[str, object]:
    """Returns the fields of a dataclass, canonical, by name.

    What is given by keyword stands for the field of that name. A field added later,
    with `metadata=LATER`, is left out at its default, so that what was made before
    keeps its key.
    """
    return {
        field.name: canonical(instead.get(field.name, getattr(value, field.name)))
        for field in dataclasses.fields(value)
        if not (field.metadata == LATER and getattr(value, field.name) == field.default)
    }


def fingerprint(value: object, *, length: int = 32) -> str:
    """Returns the first `length` hexadecimal digits of the value's sha256."""
    return digest(canonical(value), length=length)


def digest(derivation: object, *, length: int = 32) -> str:
    """Returns the fingerprint of what is canonical already."""
    text = json.dumps(derivation, sort_keys=True, separators=(",", ":"))
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


def _nested(value: object) -> dict[str, object]:
    """Returns a dataclass without a key of its own, canonical."""
    return {kind(value): fields(value)}
