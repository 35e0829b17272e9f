"""What a page of results says of the papers' claims: at a glance, then by setting."""

import collections
import html
import itertools
from collections.abc import Callable, Iterable, Sequence

from tflottery.claims.judging import (
    CONTRADICTED,
    FAILS,
    HOLDS,
    NOT_ENOUGH,
    PAPERS_OWN,
    UNDECIDED,
    Judgement,
)
from tflottery.reports import claims, claims_overview, markup

# How answers look, by their class in the page's style; the worst first.
_LOOKS = {
    CONTRADICTED: "fails",
    FAILS: "fails",
    UNDECIDED: "undecided",
    HOLDS: "holds",
    NOT_ENOUGH: "lacking",
}


def parts(
    told: Sequence[Judgement], *, where: Callable[[str | None], str]
) -> list[str]:
    """Returns pieces of the page, in HTML.

    Args:
      told: judgements on tables.
      where: what leads from a setting's `config` to its results.
    """
    known = [one for one in told if one.model]
    is_own = [one.about == PAPERS_OWN for one in known]
    found = [
        _counts("In the papers' settings", itertools.compress(known, is_own)),
        _counts("In others", itertools.compress(known, (not own for own in is_own))),
        _at_a_glance(known),
        markup.heading("Setting by setting", rank=3),
        "<p>Effects are means over replicates with 95% confidence intervals; "
        "differences are paired.</p>",
    ]
    by_setting = claims.by_setting(known, decided=False)
    for title, every in sorted(by_setting.items(), key=_importance):
        own = [one for one in every if one.answer != NOT_ENOUGH]
        rows = [[*claims.cells(one), one.source] for one in own]
        columns = (*claims.COLUMNS, "source")
        found += [
            f"<h3>{html.escape(title)}</h3>",
            where(every[0].config),
            markup.table(columns, rows, classes=_LOOKS),
            _lacking([one for one in every if one.answer == NOT_ENOUGH]),
        ]
    return found


def _at_a_glance(told: Sequence[Judgement]) -> str:
    """Returns a table for each paper of whose claims any is decided."""
    found = []
    for paper, own in claims_overview.by_paper(told).items():
        rows = [row for row in claims_overview.rows(own) if _look(row)]
        if rows:
            title = claims_overview.PAPERS.get(paper, paper)
            answers = [row[-claims_overview.NUM_ANSWERS :] for row in rows]
            texts = {cell for row in answers for cell in row}
            looks = {cell: _look([cell]) or _LOOKS[NOT_ENOUGH] for cell in texts}
            order = [_answers_first(row) for row in (claims_overview.COLUMNS, *rows)]
            grid = markup.table(order[0], order[1:], classes=looks)
            found += [markup.heading(title, rank=3), grid]
    return "\n".join(found)


def _answers_first(row: Sequence[str]) -> list[str]:
    """Returns a row with its answers next to the claim: a narrow page ends there."""
    rest = len(row) - claims_overview.NUM_ANSWERS
    return [*row[:2], *row[rest:], *row[2:rest]]


def _look(row: Sequence[str]) -> str:
    """Returns the look of a cell with answers, of the worst; "" if none is decided."""
    text = " ".join(row[-claims_overview.NUM_ANSWERS :])
    decided = (answer for answer in _LOOKS if answer != NOT_ENOUGH)
    return next((_LOOKS[answer] for answer in decided if answer in text), "")


def _counts(place: str, told: Iterable[Judgement]) -> str:
    """Returns how many claims have which answer; "" if there are none."""
    counts = collections.Counter(one.answer for one in told)
    words = [
        f'<span class="{look}">{counts[answer]} {answer}</span>'
        for answer, look in _LOOKS.items()
        if counts[answer]
    ]
    return f"<p>{html.escape(place)}: {', '.join(words)}.</p>" if words else ""


def _importance(setting: tuple[str, Sequence[Judgement]]) -> tuple[bool, bool]:
    """Returns what sorts settings: decided ones first, of these the papers' own."""
    _, told = setting
    is_decided = any(one.answer != NOT_ENOUGH for one in told)
    return not is_decided, told[0].about != PAPERS_OWN


def _lacking(told: Sequence[Judgement]) -> str:
    """Returns the claims without enough data, folded away; "" if there are none."""
    if not told:
        return ""
    rows = [[one.claim, one.says, one.lacking, one.command] for one in told]
    grid = markup.table(("claim", "says", "lacks", "command"), rows)
    return markup.folded(f"Not enough data for {len(told)} more", grid)
