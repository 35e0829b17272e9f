"""The table by kind of attack."""

import collections
from collections.abc import Iterable

from benchmarks.attacks.trial import Trial, Verdict


class Report:
    """Counts attacks and what came of them."""

    def __init__(self) -> None:
        self._tried: collections.Counter[str] = collections.Counter()
        self._happened: collections.Counter[str] = collections.Counter()
        self._wrong: collections.Counter[str] = collections.Counter()
        self.num_trials = 0
        self.wrong_trials: list[int] = []

    def add(self, number: int, trial: Trial, verdict: Verdict) -> None:
        """Counts a trial that was carried out."""
        self.num_trials += 1
        if verdict.complaints:
            self.wrong_trials.append(number)
        for one in trial.attacks:
            self._tried[one.kind] += 1
            self._happened[one.kind] += one.happened
            self._wrong[one.kind] += bool(verdict.complaints)

    def lines(self) -> Iterable[str]:
        """Yields the table: attacks drawn, that happened, in trials that went wrong."""
        width = max(map(len, self._tried), default=0)
        yield f"{'attack':{width}}  tried  happened  wrong"
        for kind in sorted(self._tried):
            yield (
                f"{kind:{width}}  {self._tried[kind]:5}  {self._happened[kind]:8}  "
                f"{self._wrong[kind]:5}"
            )
        total = sum(self._happened.values())
        yield (
            f"{self.num_trials} trials, {total} attacks, "
            f"{len(self.wrong_trials)} trials wrong"
        )
