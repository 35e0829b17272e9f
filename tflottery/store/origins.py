"""How what lies in a store came about: as the manifests tell it, without a plan.

A manifest holds the derivation that its artifact's key is the hash of. Artifacts that
it was made from stand there by their keys, which are looked up among the addresses.
"""

import dataclasses
import functools
from collections.abc import Mapping

from tflottery.core import fingerprints
from tflottery.store.store import Store

RUNS, CHECKPOINTS, PARTIAL = "runs", "checkpoints", "partial"
_STATE = "state"
_KEY_DIGITS = 32
_MOST_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Reference:
    """An artifact that another one was made from.

    Attributes:
      key: its key.
      address: where it lies; None if the store does not have it.
    """

    key: str
    address: str | None

    def __str__(self) -> str:
        return self.address or f"{self.key} (not in this store)"


# A number, text, truth, list, nothing, or an artifact.
Value = object


class Origins:
    """The origins of a store's artifacts; the store is listed once."""

    def __init__(self, store: Store):
        """Args:
        store: what is asked about.
        """
        self.store = store
        self._manifests: dict[str, dict[str, object]] = {}

    @functools.cached_property
    def listing(self) -> dict[str, frozenset[str]]:
        """The files at each address."""
        return self.store.listing()

    def manifest(self, address: str) -> dict[str, object]:
        """Returns the manifest of an artifact; {} if it does not count any more."""
        if address not in self._manifests:
            self._manifests[address] = self.store.peek(address) or {}
        return self._manifests[address]

    def fields(self, address: str) -> dict[str, Value]:
        """Returns what an artifact's key is made of, by dotted name.

        Of a state that is what decides its run. {} where a manifest does not say.
        """
        manifest = self.manifest(address)
        if "derivation" in manifest:
            return self._flat(manifest["derivation"])
        names = ("component", "version")
        own = {name: manifest[name] for name in names if name in manifest}
        return own | self._flat(manifest.get("parameters", {}))

    def inputs(self, address: str) -> list[Reference]:
        """Returns the artifacts that one was made from directly, each once."""
        found = self.fields(address).values()
        return list(dict.fromkeys(one for one in found if isinstance(one, Reference)))

    def ancestors(self, address: str) -> set[str]:
        """Returns the addresses of all that an artifact comes from, with its own.

        As far as the store has them.
        """
        found, waiting = set(), [address]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += [each.address for each in self.inputs(one) if each.address]
        return found

    def beginning(self, prefix: str) -> list[str]:
        """Returns the addresses that begin with a prefix, sorted; "" is all.

        Raises:
          ValueError: nothing begins like it.
        """
        prefix = prefix.strip("/")
        found = [one for one in sorted(self.listing) if one.startswith(prefix)]
        if prefix and not found:
            raise ValueError(
                f"No address in {self.store.root!r} begins with {prefix!r}."
            )
        return found

    def named(self, text: str) -> str:
        """Returns the address that somebody means.

        Args:
          text: an address, the beginning of one or of a key, or of a run; of which the
            last state is meant.

        Raises:
          ValueError: nothing is called like it, or several things are.
        """
        wanted = text.strip("/")
        if wanted in self.listing:
            return wanted
        found = [
            address
            for address in sorted(self.listing)
            if wanted
            and (address.startswith(wanted) or _rest(address).startswith(wanted))
        ]
        if not found:
            raise ValueError(
                f"Nothing in {self.store.root!r} is called {text!r}. Give an address, "
                "as the columns network and mask of results have it, or its beginning."
            )
        owners = {of_run(address) or address for address in found}
        if len(owners) > 1:
            told = ", ".join(sorted(owners)[:_MOST_NAMED])
            more = ", ..." if len(owners) > _MOST_NAMED else ""
            raise ValueError(f"{text!r} may be {told}{more}: give more of it.")
        states = [one for one in found if one.startswith(f"{RUNS}/")]
        return (states or found)[-1]

    @functools.cached_property
    def _by_key(self) -> dict[str, str]:
        """Addresses by the keys by which derivations name them."""
        found = {}
        for address in self.listing:
            folder, rest = address.partition("/")[0], _rest(address)
            run, _, iteration = rest.partition("/")
            if folder == RUNS and iteration.isdigit():
                found[fingerprints.fingerprint([_STATE, run, int(iteration)])] = address
            elif folder not in (RUNS, CHECKPOINTS, PARTIAL):
                found[rest] = address
        return found

    def _flat(self, value: object, name: str = "") -> dict[str, Value]:
        """Returns the leaves of a canonical derivation by dotted name."""
        if not isinstance(value, Mapping):
            return {name: value}
        if len(value) == 1:
            # What a class is called, around its fields or an artifact's key.
            ((kind, inner),) = value.items()
            if kind == "float":
                return {name: float(inner)}
            if isinstance(inner, str) and _is_key(inner):
                return {name: Reference(inner, self._by_key.get(inner))}
            if name and isinstance(inner, Mapping):
                return self._flat(inner, name)
        found: dict[str, Value] = {}
        for part, inner in value.items():
            found |= self._flat(inner, f"{name}.{part}" if name else part)
        return found


def of_run(address: str) -> str | None:
    """Returns the folder of the run that a state belongs to; None if it is no state."""
    if address.partition("/")[0] != RUNS:
        return None
    return f"{RUNS}/{_rest(address).partition('/')[0]}"


def _rest(address: str) -> str:
    """Returns an address without its folder: a key, or a run's and more."""
    return address.partition("/")[2]


def _is_key(text: str) -> bool:
    """Returns whether text has the form of a key."""
    return len(text) == _KEY_DIGITS and set(text) <= set("0123456789abcdef")
