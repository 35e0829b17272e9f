"""Which trials there are, and which attacks they are made of: all from a seed."""

import dataclasses
import random
from collections.abc import Callable, Sequence

from benchmarks.attacks import damage, signals
from benchmarks.attacks.attack import Attack, Moment
from benchmarks.attacks.caches import CacheDamage
from benchmarks.attacks.crowds import CONTESTED, OWN, SAME, Companion
from benchmarks.attacks.damage import Damage, Deletion, Swap, Vanishing
from benchmarks.attacks.disks import FullDisk, SmallFiles
from benchmarks.attacks.reference import EMPTY, FINISHED, Reference
from benchmarks.attacks.signals import Signal
from benchmarks.attacks.trial import Trial

_MOST_COMPANIONS = 3


@dataclasses.dataclass(frozen=True)
class References:
    """The undisturbed commands that trials draw from.

    Attributes:
      commands: those that are attacked.
      other: one with other options, which no output folder may hold as well.
    """

    commands: Sequence[Reference]
    other: Reference


class _Draw:
    """Everything that a trial draws at random."""

    def __init__(self, chance: random.Random, references: References):
        self.chance = chance
        self.other = references.other
        self.reference = chance.choice(references.commands)
        self._references = references

    def trial(
        self, *rounds: Sequence[Attack], beginnings: Sequence[str] = (EMPTY,)
    ) -> Trial:
        """Returns a trial of these attacks."""
        there = [one for one in beginnings if one in self.reference.beginnings]
        beginning = self.chance.choice(there)
        return Trial(
            reference=self.reference,
            beginning=beginning,
            cached=beginning != EMPTY or self.chance.random() < 0.5,
            workers=self.chance.choice((1, 1, 1, 2)),
            rounds=tuple(map(tuple, rounds)),
        )

    def signal(self, name: str, target: str, *, twice: bool = False) -> Signal:
        """Returns a signal at any moment."""
        drawn = {"name": name, "target": target, "twice": twice}
        return Signal.draw(self.chance, self.reference, **drawn)

    def stop(self, target: str, *, twice: bool = False) -> Signal:
        """Returns any of the signals that ask to stop."""
        return self.signal(self.chance.choice(signals.STOPS), target, twice=twice)

    def damage(
        self,
        how: str,
        *,
        among: tuple[str, ...] = damage.RESULTS,
        manifest: bool = False,
        moment: Moment | None = None,
    ) -> Damage:
        """Returns damage to any artifact."""
        return Damage(
            how=how,
            among=among,
            manifest=manifest,
            at=self.share(),
            where=self.share(),
            keep_time=self.chance.random() < 0.5,
            moment=moment,
        )

    def cache_damage(self, how: str) -> CacheDamage:
        """Returns damage to any file of the dataset cache."""
        keep_time = self.chance.random() < 0.5
        return CacheDamage(how, self.share(), self.share(), keep_time)

    def cut(self) -> str:
        """Returns a way to damage a file that its size betrays."""
        return self.chance.choice((damage.CUT, damage.EMPTY, damage.REMOVE))

    def deletion(self) -> Deletion:
        """Returns the loss of some of what was made."""
        share = round(self.chance.uniform(0.2, 0.9), 2)
        return Deletion(share, self.chance.randrange(1000))

    def made(self) -> Moment:
        """Returns a moment when some artifacts are made."""
        number = self.chance.randint(1, len(self.reference.artifacts))
        return Moment("store", "artifacts", number)

    def companions(self, output: str, *, most: int = 1) -> list[Companion]:
        """Returns other commands beside the one attacked."""
        found = []
        meets = output != OWN and self.chance.random() < 0.5
        for number in range(self.chance.randint(1, most)):
            reference = self.reference
            if output == CONTESTED:
                reference = self.other
            elif output == OWN:
                reference = self.chance.choice(self._references.commands)
            delay = round(self.chance.uniform(0, 1.5) ** 2, 2)
            found.append(Companion(number + 1, reference, delay, output, meets))
        return found

    def share(self) -> float:
        """Returns a number in [0, 1)."""
        return round(self.chance.random(), 4)


def trial(
    seed: int, number: int, references: References, families: Sequence[str]
) -> Trial:
    """Returns a trial: the same for the same seed and number.

    Args:
      seed: of the whole schedule.
      number: of the trial, from 1; `len(slots(families))` in a row have all kinds.
      references: undisturbed commands.
      families: which families of attacks take part.
    """
    chosen = slots(families)
    draw = _Draw(random.Random(f"{seed} {number}"), references)
    return chosen[(number - 1) % len(chosen)](draw)


def slots(families: Sequence[str]) -> list[Callable[[_Draw], Trial]]:
    """Returns what makes the trials of a cycle, in which every kind comes once."""
    return [make for family in families for make in FAMILIES[family]]


def _kills(draw: _Draw) -> Trial:
    return draw.trial(
        [draw.signal(signals.KILL, "worker")], [draw.signal(signals.KILL, "parent")]
    )


def _kill_and_stop(draw: _Draw) -> Trial:
    return draw.trial([draw.signal(signals.KILL, "group")], [draw.stop("worker")])


def _stops(draw: _Draw) -> Trial:
    return draw.trial([draw.stop("parent")], [draw.stop("group")])


def _double_stops(draw: _Draw) -> Trial:
    return draw.trial(
        [draw.stop("parent", twice=True)], [draw.stop("group", twice=True)]
    )


def _flips(draw: _Draw) -> Trial:
    attacks = [draw.deletion(), draw.damage(damage.FLIP), Swap(draw.share())]
    attacks += [draw.cache_damage(damage.FLIP)]
    return draw.trial(attacks, beginnings=(FINISHED,))


def _cuts(draw: _Draw) -> Trial:
    how = draw.chance.choice((damage.FLIP, damage.CUT, damage.EMPTY))
    attacks = [draw.deletion(), draw.damage(draw.cut())]
    attacks += [draw.damage(how, manifest=True)]
    attacks += [draw.cache_damage(draw.cut())]
    return draw.trial(attacks, beginnings=(FINISHED,))


def _unfinished(draw: _Draw) -> Trial:
    manifest = draw.chance.random() < 0.3
    # What has no manifest was never there.
    how = draw.chance.choice((damage.FLIP, damage.CUT, damage.EMPTY))
    attacks = [draw.damage(how, among=damage.UNFINISHED, manifest=manifest)]
    return draw.trial(attacks, beginnings=("training", "measuring"))


def _vanishing_rows(draw: _Draw) -> Trial:
    return draw.trial([Vanishing(draw.share(), None)], beginnings=(EMPTY, FINISHED))


def _vanishing(draw: _Draw) -> Trial:
    if draw.chance.random() < 0.5:
        return draw.trial([Vanishing(draw.share(), draw.made())])
    return draw.trial([draw.damage(damage.FLIP, moment=draw.made())])


def _together(draw: _Draw) -> Trial:
    attacks: list[Attack] = list(draw.companions(OWN, most=_MOST_COMPANIONS))
    if draw.chance.random() < 0.5:
        attacks.append(draw.signal(signals.KILL, draw.chance.choice(signals.TARGETS)))
    return draw.trial(attacks)


def _same_output(draw: _Draw) -> Trial:
    return draw.trial(draw.companions(SAME, most=2), beginnings=(EMPTY, FINISHED))


def _contested(draw: _Draw) -> Trial:
    return draw.trial(draw.companions(CONTESTED), beginnings=(EMPTY, FINISHED))


def _small_disk(draw: _Draw) -> Trial:
    return draw.trial([FullDisk.draw(draw.chance, draw.reference, filling=False)])


def _filling_disk(draw: _Draw) -> Trial:
    return draw.trial([FullDisk.draw(draw.chance, draw.reference, filling=True)])


def _small_files(draw: _Draw) -> Trial:
    return draw.trial([SmallFiles.draw(draw.chance, draw.reference)])


FAMILIES = {
    "signals": (_kills, _stops, _kill_and_stop, _double_stops),
    "damage": (_flips, _cuts, _unfinished, _vanishing_rows, _vanishing),
    "crowds": (_together, _same_output, _contested),
    "disks": (_small_disk, _filling_disk, _small_files),
}
