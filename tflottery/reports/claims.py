"""Which claims of the papers hold in the tables of commands.

    python -m tflottery.reports.claims results

asks every claim of `tflottery.claims` of every network, recipe, data set and length in
the tables, and says of each whether it holds, with what was measured, its confidence
interval over replicates, and how the paper has it; or what is missing, and the command
that supplies it. Rows of different `config` are never put together. A table stands for
itself, a folder for all below it. --output=claims.csv saves all of that as a table,
--output=claims.md in short, as the records under experiments/ have it.

Tables of the same name come from different experiments, and are asked by these names:
`instability` and `interpolation` (pairs at the end of training), `throughout` (at every
epoch), `accuracy` (networks neither perturbed nor pre-trained), `perturbed` and
`pretrained` (with those that were, and what they are compared with), `tickets` (found
in different ways), and every other table by its own.
"""

import itertools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas
from absl import flags

from tflottery.claims import judging
from tflottery.claims.judging import NOT_ENOUGH, Judgement
from tflottery.core import table_files, tables
from tflottery.core.registry import CLAIMS, MODELS, Entry
from tflottery.figures import facts, merging
from tflottery.figures.densities import SETTING
from tflottery.reports import saving
from tflottery.studies import answers
from tflottery.studies.answers import Answer

# What claims compare with all of its command is worked out from the rows themselves.
_NO_KEYS = (*merging.UNTELLING, "diverged_iteration", "changes")
# What the papers say of a training beyond its length, and what they measured all of.
_PUBLISHED = ("optimizer", "learning_rate", "batch_size", "momentum", "weight_decay")
_PUBLISHED += ("decay_factor", "augmentation", "kernel_initializer")
_PUBLISHED += ("batch_norm_scale", "input_scaling")
# What a command had that does not say it, being older than the option.
_BEFORE_OPTIONS = {"batch_norm_scale": "ones"}
# Columns by which a table of some experiment is known, and its name here.
_KINDS = {"search": "tickets", "perturbation": "perturbed", "pretext": "pretrained"}

_ENDINGS = (".csv", ".md")
COLUMNS = ("claim", "says", "answer", "effect", "measured", "claimed", "paper", "n")
_EFFECT = COLUMNS.index("effect")


def load(sources: Sequence[str]) -> dict[str, pandas.DataFrame]:
    """Returns the rows of tables by the names that claims have for them, each once.

    Args:
      sources: CSV files, folders (all below them) or patterns of either.

    Raises:
      FileNotFoundError: a source holds no table.
      ValueError: a file is not a table, none was named, or tables contradict.
    """
    parts: dict[str, list[pandas.DataFrame]] = {}
    incomplete = set()
    wanted = {CLAIMS[name]["table"] for name in CLAIMS.names()}
    for path in table_files.find(sources):
        # Others, such as weights one by one, may be large.
        if table_files.table_name(path) not in {*wanted, "instability", "accuracy"}:
            continue
        table = tables.read(path)
        if not len(table):
            continue
        said = facts.beside(os.path.dirname(path))
        if not said.get("complete", True):
            incomplete.add(os.path.dirname(path))
        table = facts.with_facts(tables.filled(table, ["task"]), said)
        table = table.assign(changes=", ".join(changes(said)))
        # A table of one's own has no settings, and no claim is about it.
        if set(SETTING) <= set(table.columns):
            for name, part in named(table_files.table_name(path), table):
                if name in wanted:
                    parts.setdefault(name, []).append(part)
    for folder in sorted(incomplete):
        print(f"{folder} is incomplete: its command has not ended.", file=sys.stderr)
    if not parts:
        raise ValueError(
            "No claim is about these tables: name those of experiments, which have "
            f"columns {', '.join(SETTING)}."
        )
    return {name: _united(own, name=name) for name, own in parts.items()}


def changes(said: Mapping[str, object]) -> list[str]:
    """Returns which options of a command are not those of the recipe that it names.

    Of a network without a recipe here, or a command that says nothing, that is not
    known: none.

    Args:
      said: what its config.json says.
    """
    options = said.get("decisions") or {}
    model = options.get("model")
    recipes = MODELS[model]["recipes"] if model in MODELS else {}
    recipe = recipes.get(options.get("variant"))
    used = _BEFORE_OPTIONS | said["recipe"] if said.get("recipe") else {}
    found = [
        name
        for name in _PUBLISHED
        # What the recipe leaves open is the data set's.
        if used.get(name) is not None
        and getattr(recipe, name, None) not in (None, used[name])
    ]
    parts = ("evaluation_examples", "subset")
    return found + [name for name in parts if options.get(name) is not None]


def named(name: str, table: pandas.DataFrame) -> Iterator[tuple[str, pandas.DataFrame]]:
    """Yields the parts of an experiment's table under the names that claims have."""
    if name in ("instability", "interpolation") and "iteration" in table:
        at_end = table["iteration"] == table["training_iterations"]
        yield name, table[at_end]
        if name == "instability" and not at_end.all():
            yield "throughout", table
    elif name == "accuracy":
        kinds = [kind for column, kind in _KINDS.items() if column in table]
        for kind in kinds:
            yield kind, table
        plain = _plain(table)
        if len(plain) and "tickets" not in kinds:
            yield name, plain
    else:
        yield name, table


def _plain(networks: pandas.DataFrame) -> pandas.DataFrame:
    """Returns the networks that were neither perturbed nor pre-trained."""
    plain = networks
    if "perturbation" in plain:
        plain = plain[plain["perturbation"] == "none"]
        plain = plain.drop(columns=["perturbation", "condition"])
        plain = plain[[name for name in plain if not name.startswith("effective_")]]
    if "pretext" in plain:
        plain = plain[plain["pretext"].isna()]
        new = ["pretext", "pretraining_epochs", "sparse_pretraining"]
        plain = plain.drop(columns=new)
    return plain


def _united(parts: Sequence[pandas.DataFrame], *, name: str) -> pandas.DataFrame:
    """Returns the rows of tables of one name, those that several have once.

    Raises:
      ValueError: rows that nothing tells apart differ in what was measured.
    """
    if len(parts) == 1:
        return parts[0]
    table = pandas.concat(parts, ignore_index=True)
    keys = [key for key in (*SETTING, *merging.NAMES, "alpha") if key in table]
    several = table.duplicated(keys, keep=False)
    if not several.any():
        return table
    measured = [one for one in table if one not in (*keys, *_NO_KEYS)]
    groups = table[several].groupby(keys, dropna=False, sort=False)
    numbers = groups[measured].nunique()
    if (numbers > 1).any(axis=None):
        first = numbers[(numbers > 1).any(axis="columns")]
        told = dict(zip(keys, first.index[0], strict=True))
        columns = [one for one in measured if (first[one] > 1).any()]
        raise ValueError(
            f"Several rows of the tables {name!r} are of {told} and differ in "
            f"{', '.join(columns)}: give the folders of one of their commands only."
        )
    once = groups.first().reset_index()
    return pandas.concat([table[~several], once], ignore_index=True)


def judge(found: Mapping[str, pandas.DataFrame]) -> list[Judgement]:
    """Returns the judgement on every claim about every setting that it concerns.

    Args:
      found: tables by name, as `load` returns them.
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
    """Returns the judgements on one claim: that rows are missing, if nothing else."""
    told = []
    groups = [] if table is None else table.groupby(SETTING, sort=False)
    for values, own in groups:
        setting = dict(zip(SETTING, values, strict=True))
        about = judging.nearness(
            setting,
            claim["networks"],
            known=known,
            changes=filter(None, own["changes"].iloc[:1]),
            particular=claim["particular"],
        )
        if about is not None:
            told.append(judging.judged(claim, own, setting=setting, about=about))
    return told or [judging.missing(claim)]


def _paper(claim: Entry) -> str:
    return claim.name.partition("-")[0]


def _order(claim: Entry) -> list[object]:
    """Returns what sorts claims as people do: F2 before F10, and before A1."""
    parts = re.split(r"(\d+)", claim.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def text(told: Sequence[Judgement]) -> str:
    """Returns judgements for people: a table a setting, then what is missing.

    What exactly is measured stands in the other forms, which may be wider.
    """
    found = []
    for setting, own in by_setting(told).items():
        rows = [COLUMNS, *map(cells, own)]
        columns, *rows = [[*row[:_EFFECT], *row[_EFFECT + 1 :]] for row in rows]
        answer = Answer(setting, columns, rows, num_labels=_EFFECT)
        found += [answers.lines(answer), ""]
    missing = _missing(told)
    if missing:
        found.append("Not enough data:")
    for (lacking, command), ids in missing.items():
        found += [f"  {', '.join(ids)}: {lacking}", f"    {command}"]
    return "\n".join(found)


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
    network = f"{one.model} ({one.variant}) on {one.dataset}"
    length = f"{one.training_iterations:,} iterations, config {one.config}"
    return f"{paper}: {network}, {length}: {one.about}"


def cells(one: Judgement) -> list[str]:
    """Returns what people read of a judgement, a text a column."""
    measured = f"{one.value:.2f} [{one.interval_low:.2f}, {one.interval_high:.2f}]"
    unit = "" if one.unit in ("correlation", "ratio") else f" {one.unit}"
    claimed = f"{one.claimed}{unit}"
    count = f"{one.num_replicates}{judging.diverged(one)}"
    words = [one.claim, one.says, one.answer, one.effect]
    return [*words, measured, claimed, one.reported, count]


def _missing(told: Iterable[Judgement]) -> dict[tuple[str, str], list[str]]:
    """Returns the claims without enough data by what is missing and its command."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in told:
        if one.answer == NOT_ENOUGH:
            ids = found.setdefault((one.lacking, one.command), [])
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


def tell(sources: Sequence[str], *, output: str | None = None) -> str:
    """Returns the judgements on tables for people, and saves them.

    Args:
      sources: as for `load`.
      output: as for `save`; None: nothing is saved.

    Raises:
      FileNotFoundError: a source holds no table.
      ValueError: an argument is wrong, or tables are.

    Changes: writes `output`, and the folder it is in where there is none.
    """
    if output is not None:
        # Before anything is read.
        saving.path_of(output, endings=_ENDINGS)
    if not sources:
        raise ValueError("Name the results: CSV files, folders or patterns.")
    told = judge(load(sources))
    if output is None:
        return text(told)
    save(told, output=output)
    return f"{text(told)}\nThe claims are in {output}"


def main() -> None:
    """Runs the report as a program: defines its flags, parses them, exits."""
    flags.DEFINE_string(
        "output", None, "file to save to: .csv, or .md for the short form"
    )
    saving.run(
        lambda arguments: tell(arguments[1:], output=flags.FLAGS["output"].value)
    )


if __name__ == "__main__":
    main()
