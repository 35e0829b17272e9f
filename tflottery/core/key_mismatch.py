"""Two sets of names that should be the same: what is missing, and what is too much."""

from collections.abc import Collection


def differing(found: Collection[str], *, expected: Collection[str]) -> str:
    """Returns how names differ from those expected: "" where they do not.

    Otherwise "missing ['a'], too much ['b']", for the end of an error's sentence.
    """
    missing = sorted(set(expected) - set(found))
    unknown = sorted(set(found) - set(expected))
    return f"missing {missing}, too much {unknown}" if missing or unknown else ""
