"""Addresses: the relative folder names under which artifacts lie in a store."""

import re
from collections.abc import Iterable, Sequence

# Folders of the store's own; no address starts with them.
DRAFTS, LOCKS, DAMAGED = ".drafts", ".locks", "damaged"
# Who writes the store: the hosts' claims, and the commands of a host.
CLAIMS, COMMANDS = ".claims", ".commands"
# Of what lies in a bucket, on this machine.
COPIES = ".copies"
# By these a folder is known as a store: it makes one of the first two before anything
# else, and a copy without hidden files has trained states.
OF_A_STORE = frozenset({DRAFTS, LOCKS, "runs"})

_NAME = r"[A-Za-z0-9_=+,@-][A-Za-z0-9._=+,@-]*"
_ADDRESS = re.compile(rf"(?!{DAMAGED}(?:/|$)){_NAME}(?:/{_NAME})*")
_PART = re.compile(_NAME)


def validated(address: str) -> str:
    """Returns the address if it is one.

    Raises:
      ValueError: it could lead out of the store or into the store's own folders.
    """
    if not is_address(address):
        raise ValueError(
            f"{address!r} is no address in a store. Write names of letters, digits "
            f"and ._=+,@- joined by '/', none starting with '.', the first not "
            f"{DAMAGED!r}."
        )
    return address


def above(address: str) -> list[str]:
    """Returns the addresses that this one lies inside of."""
    parts = address.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def by_iteration(addresses: Iterable[str]) -> dict[int, str]:
    """Returns those of some addresses that are named after an iteration, by that."""
    named = {address.rsplit("/", 1)[-1]: address for address in addresses}
    return {int(name): address for name, address in named.items() if name.isdigit()}


def refuse_inside(address: str, others: Sequence[str]) -> None:
    """Raises ValueError if artifacts lie above or below an address."""
    if others:
        raise ValueError(
            f"{address!r} cannot be an artifact's address: {others[0]!r} is one, "
            "and artifacts do not lie inside each other."
        )


def is_address(text: str) -> bool:
    """Returns whether a path below a store's root is an address in it."""
    return _ADDRESS.fullmatch(text) is not None


def is_part(name: str) -> bool:
    """Returns whether a folder's name can be part of an address."""
    return _PART.fullmatch(name) is not None
