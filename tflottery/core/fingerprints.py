"""Fingerprints: a short, stable hash of how a thing comes about."""

import dataclasses
import hashlib
import json

# Metadata of a dataclass field that older fingerprints do not know.
LATER = {"later": True}


def canonical(value: object) -> object:
    """Returns plain lists, dicts, numbers and text that stand for `value`.

    A dataclass becomes its fields and its type's name; a value with an attribute `key`
    stands as that key, so that derivations nest without growing.

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
        return {type(value).__name__: value.key}
    if dataclasses.is_dataclass(value):
        return {type(value).__name__: fields(value)}
    raise TypeError(
        f"{value!r} of type {type(value).__name__} cannot enter a fingerprint: use "
        "numbers, text, lists, dicts and dataclasses."
    )


def fields(value: object) -> dict[str, object]:
    """Returns the fields of a dataclass, canonical, by name.

    A field added later, with `metadata=LATER`, is left out at its default, so that what
    was made before keeps its key.
    """
    return {
        field.name: canonical(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if not (field.metadata == LATER and getattr(value, field.name) == field.default)
    }


def fingerprint(value: object, *, length: int = 32) -> str:
    """Returns the first `length` hexadecimal digits of the value's sha256."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
