"""Damage to the dataset cache, between two commands."""

import dataclasses

from benchmarks.attacks import damage, stored
from benchmarks.attacks.attack import Attack
from benchmarks.attacks.sandbox import Instruments, Sandbox

_NO_DATA = (".lock", "checked.json")


@dataclasses.dataclass
class CacheDamage(Attack):
    """A file of the dataset cache is damaged when the command begins.

    Attributes:
      how: what is done to it.
      at: in [0, 1): which file.
      where: in [0, 1): where in it.
      keep_time: as of `damage.spoil`.
    """

    how: str
    at: float
    where: float
    keep_time: bool = False

    # Name and digest of the damaged file.
    spoiled: tuple[str, str] = dataclasses.field(
        default=("", ""), init=False, repr=False
    )

    @property
    def kind(self) -> str:
        if self.how == damage.FLIP:
            return "dataset cache with a flipped byte"
        return "dataset cache cut short"

    def prepare(self, sandbox: Sandbox, instruments: Instruments) -> None:
        cache = sandbox.paths["cache"]
        names = [name for name in stored.contents(cache) if not name.endswith(_NO_DATA)]
        if not names:
            return
        name = names[int(self.at * len(names))]
        damage.spoil(cache / name, self.how, where=self.where, keep_time=self.keep_time)
        self.spoiled = name, stored.digests(cache).get(name, "")
        self.happened = True

    def verify(self, sandbox: Sandbox) -> list[str]:
        if not self.happened:
            return []
        name, digest = self.spoiled
        # The pointer or the description may be changed where nobody looks.
        unread = stored.digests(sandbox.paths["cache"]).get(name, "") == digest
        # A pointer that is gone is none.
        lost = name.startswith("requests/") and self.how == damage.REMOVE
        folder, _, file = name.partition("/")
        named = file in sandbox.text or folder in sandbox.text
        if unread or lost or named:
            return []
        return [f"damage to {name} of the dataset cache was not named"]
