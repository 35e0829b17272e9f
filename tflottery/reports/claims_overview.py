"""All claims at a glance: a row a claim, a column for each distance from the paper.

A cell counts judgements, each about a setting of its own: nothing is pooled. A paper
claims opposite things of some of its networks, such as that tickets of k = 0 match, and
that they do not; of any other network at most one of these holds.
"""

import collections
import itertools
from collections.abc import Collection, Sequence

from tflottery.claims import judging
from tflottery.claims.judging import NOT_ENOUGH, PAPERS_OWN, Judgement

PAPERS = {
    "EP": "The Early Phase of Neural Network Training",
    "LMC": "Linear Mode Connectivity and the Lottery Ticket Hypothesis",
    "LS": "Finding Winning Tickets with Limited (or No) Supervision",
}
# How near settings are to the paper's, from near to far.
_NEARNESS = ("in the paper's setting", "its network, otherwise", "another network")
COLUMNS = ("claim", "says", "claimed of", "paper", *_NEARNESS)
# Of the columns the last ones.
NUM_ANSWERS = len(_NEARNESS)


def by_paper(told: Sequence[Judgement]) -> dict[str, list[Judgement]]:
    """Returns judgements by the paper that makes the claim, in their order."""
    groups = itertools.groupby(told, key=lambda one: one.claim.partition("-")[0])
    return {paper: list(own) for paper, own in groups}


def rows(told: Sequence[Judgement]) -> list[list[str]]:
    """Returns a row a claim of one paper, with the texts of `COLUMNS`."""
    everyone = {name for one in told for name in one.claimed_of.split(", ")}
    found = []
    for _, group in itertools.groupby(told, key=lambda one: one.claim):
        own = list(group)
        first = own[0]
        networks = _among(first.claimed_of, everyone)
        cells = [
            answers([one for one in own if _nearness(one) == place])
            for place in _NEARNESS
        ]
        cells[0] = cells[0] or NOT_ENOUGH
        found.append([first.claim, first.says, networks, first.reported, *cells])
    return found


def _among(names: str, everyone: Collection[str]) -> str:
    """Returns names of networks, in short where only one of all is missing, or none."""
    others = set(everyone) - set(names.split(", "))
    if len(others) > 1 or len(everyone) < 3:
        return names
    return f"all but {others.pop()}" if others else "all"


def answers(told: Sequence[Judgement]) -> str:
    """Returns how many judgements have which answer, those that are decided.

    One alone is not counted; "" where none is decided.
    """
    decided = [one.answer for one in told if one.answer != NOT_ENOUGH]
    counts = collections.Counter(decided)
    if len(decided) == 1:
        return decided[0]
    return ", ".join(f"{count} {answer}" for answer, count in sorted(counts.items()))


def _nearness(one: Judgement) -> str | None:
    """Returns the column of a judgement; None if it is about no setting."""
    if one.model is None:
        return None
    places = {PAPERS_OWN: _NEARNESS[0], judging.ANOTHER_NETWORK: _NEARNESS[2]}
    return places.get(one.about, _NEARNESS[1])


def counts(told: Sequence[Judgement]) -> dict[str, str]:
    """Returns how many judgements have which answer, by nearness, if any is decided."""
    found = {}
    for place in _NEARNESS:
        own = [one for one in told if _nearness(one) == place]
        if answers(own):
            found[place] = answers(own)
    return found


def markdown(told: Sequence[Judgement]) -> str:
    """Returns the overview, a table a paper."""
    found = []
    for paper, own in by_paper(told).items():
        grid = [list(COLUMNS), ["---"] * len(COLUMNS), *rows(own)]
        summary = "; ".join(f"{place}: {text}" for place, text in counts(own).items())
        found += [f"## {paper}: {PAPERS.get(paper, '')}".rstrip(": "), ""]
        found += [f"{summary[0].upper()}{summary[1:]}.", ""] if summary else []
        found += ["| " + " | ".join(row) + " |" for row in grid]
        found.append("")
    return "\n".join(found).strip()
