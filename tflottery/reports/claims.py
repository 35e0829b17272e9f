"""Which claims of the papers hold in the tables of commands.

    python -m tflottery.reports.claims results

asks every claim of `tflottery.claims` of every network, recipe, data set and length in
the tables, and says of each whether it holds, with what was measured, its confidence
interval over replicates, and how the paper has it; or what is missing, and the command
that supplies it. Rows of different `config` are never put together. A table stands for
itself, a folder for all below it. --output=claims.csv saves all of that as a table,
--output=claims.md in short, as the records under experiments/ have it.

Where commands have networks in common and differ in what they measured of them, as
those made on another kind of processor do, each making is asked by itself
(`reports.claim_tables`).
"""

import dataclasses
import itertools
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import pandas
from absl import flags

from tflottery.claims import judging
from tflottery.claims.judging import NOT_ENOUGH, PAPERS_OWN, Judgement
from tflottery.core import tables
from tflottery.core.recipes import LABELS
from tflottery.core.registry import CLAIMS, Entry
from tflottery.figures.densities import SETTING
from tflottery.reports import claim_tables, saving
from tflottery.studies import answers
from tflottery.studies.answers import Answer

_ENDINGS = (".csv", ".md")
COLUMNS = ("claim", "says", "answer", "effect", "measured", "claimed", "paper", "n")
_EFFECT = COLUMNS.index("effect")
_MOST_DIGITS = 4
# Of a terminal; and of the columns that make lines longer than that.
_WIDTH = 120
_WIDTHS = {"says": 32, "claimed": 11, "paper": 13}


def judge(found: Mapping[str, pandas.DataFrame]) -> list[Judgement]:
    """Returns the judgement on every claim about every setting that it concerns.

    Args:
      found: tables by name, as `claim_tables.load` returns them.
    """
    claims = sorted((CLAIMS[name] for name in CLAIMS.names()), key=_order)
    told = []
    for _, group in itertools.groupby(claims, key=_paper):
        own = list(group)
        known = judging.papers_networks(own)
        for claim in own:
            told += _of_claim(claim, found.get(claim["table"]), known=known)
    return told


def _of_claim(
    claim: Entry,
    table: pandas.DataFrame | None,
    *,
    known: Sequence[judging.PaperNetwork],
) -> list[Judgement]:
    """Returns the judgements on one claim, also if its own setting has no rows."""
    told = []
    groups = () if table is None else table.groupby([*SETTING, "making"], sort=False)
    for (*values, making), own in groups:
        setting = dict(zip(SETTING, values, strict=True))
        about = judging.nearness(
            setting,
            claim["networks"],
            known=known,
            changes=filter(None, own["changes"].iloc[:1]),
            particular=claim["particular"],
        )
        if about is not None:
            judgement = judging.judged(
                claim, own, setting=setting, about=about, flags=own["flags"].iloc[0]
            )
            told.append(
                dataclasses.replace(
                    judgement,
                    making=making,
                    tables=", ".join(sorted(own["folder"].unique())),
                )
            )
    if not any(one.about == PAPERS_OWN for one in told):
        told.append(judging.missing(claim))
    return told


def _paper(claim: Entry) -> str:
    return claim.name.partition("-")[0]


def _order(claim: Entry) -> list[object]:
    """Returns what sorts claims as people do: F2 before F10, and before A1."""
    parts = re.split(r"(\d+)", claim.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def text(told: Sequence[Judgement]) -> str:
    """Returns judgements for people: a table a setting, then what is missing.

    First of what was measured, then all that was not. As wide as a terminal. What
    exactly is measured stands in the other forms.
    """
    found = []
    for setting, own in by_setting(told).items():
        sources = sorted({name for one in own for name in one.tables.split(", ")})
        told_of = _wrapped(f"  from {', '.join(sources)}")
        rows = [
            [
                textwrap.fill(cell, _WIDTHS[name], break_long_words=False)
                if name in _WIDTHS
                else cell
                for name, cell in zip(COLUMNS, cells(one), strict=True)
            ]
            for one in own
        ]
        columns, *rows = [
            [*row[:_EFFECT], *row[_EFFECT + 1 :]] for row in (COLUMNS, *rows)
        ]
        title_ = _wrapped(setting)
        answer = Answer(f"{title_}\n{told_of}", columns, rows, num_labels=_EFFECT)
        found += [answers.lines(answer), ""]
    for heading, own in (
        ("Not enough data:", [one for one in told if one.model]),
        ("Not measured:", _without_table(told)),
    ):
        missing = _missing(own)
        found += [heading] if missing else []
        for (lacking, command), ids in missing.items():
            found.append(_wrapped(f"  {', '.join(ids)}: {lacking}"))
            # Where no more rows help there is no command.
            found += [f"    {command}"] if command else []
    return "\n".join(found)


def _wrapped(line: str) -> str:
    """Returns a line as several where it is wider than a terminal."""
    return textwrap.fill(line, _WIDTH, subsequent_indent="    ", break_long_words=False)


def markdown(told: Sequence[Judgement]) -> str:
    """Returns judgements as the records have them: a table a setting.

    After it stand the claims about that setting for which there is not enough data;
    those of which no table has rows are left out.
    """
    known = [one for one in told if one.model]
    decided = by_setting(known)
    found = []
    for setting, every in by_setting(known, decided=False).items():
        rows = [COLUMNS, ["---"] * len(COLUMNS), *map(cells, decided.get(setting, []))]
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lacking = [one.claim for one in every if one.answer == NOT_ENOUGH]
        found += [f"**{setting}**", ""]
        found += [*lines, ""] if setting in decided else []
        found += [f"Not enough data: {', '.join(lacking)}.", ""] if lacking else []
    return "\n".join(found).strip()


def by_setting(
    told: Sequence[Judgement], *, decided: bool = True
) -> dict[str, list[Judgement]]:
    """Returns judgements by paper and setting in words; the decided ones, or all."""
    found: dict[str, list[Judgement]] = {}
    for one in told:
        if not decided or one.answer != NOT_ENOUGH:
            found.setdefault(title(one), []).append(one)
    return found


def title(one: Judgement) -> str:
    """Returns the paper and the setting of a judgement in words."""
    paper = one.claim.partition("-")[0]
    task = "" if one.task == LABELS else f", {one.task}"
    network = f"{one.model} ({one.variant}) on {one.dataset}{task}"
    length = f"{one.training_iterations:,} iterations, config {one.config}"
    making = f", making {one.making}" if one.making > 1 else ""
    return f"{paper}: {network}, {length}{making}: {one.about}"


def cells(one: Judgement) -> list[str]:
    """Returns what people read of a judgement, a text a column."""
    value, low, high = _numbers(one.value, one.interval_low, one.interval_high)
    measured = f"{value} [{low}, {high}]"
    unit = "" if one.unit in ("correlation", "ratio") else f" {one.unit}"
    claimed = f"{one.claimed}{unit}"
    count = f"{one.num_replicates}{judging.diverged(one)}"
    words = [one.claim, one.says, one.answer, one.effect]
    return [*words, measured, claimed, one.reported, count]


def _numbers(*values: float) -> list[str]:
    """Returns numbers with two digits after the point, or two that are not zeros.

    As many for all of them, so that small ones are told apart; zero has no sign.
    """
    largest = max(map(abs, values))
    digits = 2 if largest >= 0.1 or not largest else 1 - math.floor(math.log10(largest))
    if digits > _MOST_DIGITS:
        digits = 2
    return [f"{round(value, digits) + 0.0:.{digits}f}" for value in values]


def _without_table(told: Sequence[Judgement]) -> list[Judgement]:
    """Returns the judgements on claims of which no table has any setting."""
    asked = {one.claim for one in told if one.model}
    return [one for one in told if one.claim not in asked]


def _missing(told: Iterable[Judgement]) -> dict[tuple[str, str], list[str]]:
    """Returns the claims without enough data by what is missing and its command."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in told:
        if one.answer == NOT_ENOUGH:
            # A command says of which network.
            of = "" if one.command else f" ({one.model}, {one.variant}, {one.dataset})"
            ids = found.setdefault((f"{one.lacking}{of}", one.command), [])
            ids += [] if one.claim in ids else [one.claim]
    return found


def save(told: Sequence[Judgement], *, output: str) -> None:
    """Writes judgements as a table (.csv) or in short (.md).

    Raises:
      ValueError: `output` has another ending, or cannot be written.

    Changes: writes `output`, and the folder it is in where there is none.
    """
    path = saving.path_of(output, endings=_ENDINGS)
    with saving.writing(path, output=output):
        if path.suffix == ".md":
            path.write_text(markdown(told) + "\n")
        else:
            tables.write(told, path, row_type=Judgement)


def tell(
    sources: Sequence[str], *, output: str | None = None
) -> tuple[str, dict[str, str]]:
    """Returns the judgements on tables for people, and saves them.

    And what is wrong with tables that are left out, by path.

    Args:
      sources: as for `claim_tables.load`.
      output: as for `save`; None: nothing is saved.

    Raises:
      FileNotFoundError: a source holds no table.
      ValueError: an argument is wrong, or all tables are.

    Changes: writes `output`, and the folder it is in where there is none.
    """
    if output is not None:
        # Before anything is read.
        saving.path_of(output, endings=_ENDINGS)
    if not sources:
        raise ValueError("Name the results: CSV files, folders or patterns.")
    found, damaged = claim_tables.load(sources)
    told = judge(found)
    if output is None:
        return text(told), damaged
    save(told, output=output)
    return f"{text(told)}\nThe claims are in {output}", damaged


def main() -> None:
    """Runs the report as a program: defines its flags, parses them, exits."""
    flags.DEFINE_string(
        "output", None, "file to save to: .csv, or .md for the short form"
    )
    saving.run_on_tables(
        lambda arguments: tell(arguments[1:], output=flags.FLAGS["output"].value)
    )


if __name__ == "__main__":
    main()
