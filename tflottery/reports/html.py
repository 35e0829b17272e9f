"""One page of results that opens from disk: claims, figures, tables, commands.

    python -m tflottery.reports.html results --output=report.html

begins with what `python -m tflottery.reports.claims` says of the tables, first of those
in a paper's own setting. After it comes a part for each command whose results lie in
the folders named: its answer, its figure (as vectors, with the papers' numbers in it),
what the papers print of that network, the command that makes it, all options, and the
first rows of its tables. The page needs no other file and no network; it links to the
whole tables where they lie beside it.
"""

import base64
import dataclasses
import html
import os
import pathlib
import sys
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from absl import flags
from etils import epath

from tflottery.core import table_files
from tflottery.figures import facts, reported, style
from tflottery.reports import (
    claim_tables,
    claims,
    command_tables,
    config_files,
    figure,
    html_claims,
    markup,
    saving,
)
from tflottery.studies import answers

if TYPE_CHECKING:
    import pandas

_MOST_ROWS, _MOST_LINKS, _MOST_ANSWERS = 50, 10, 30
# Columns with longer texts come last.
_LONG = 30
_TITLE = "Lottery tickets: results"


@dataclasses.dataclass(frozen=True)
class Results:
    """What a command left in its output folder.

    Attributes:
      folder: where it is.
      name: how the page calls it, its path below what they have in common.
      experiment: the experiment's module.
      said: what config.json says.
    """

    folder: str
    name: str
    experiment: types.ModuleType
    said: Mapping[str, object]


def find(sources: Sequence[str]) -> tuple[list[Results], dict[str, str]]:
    """Returns the results of all commands in folders and below, in their order.

    And why others are left out, by the path of their config.json.

    Args:
      sources: CSV files, folders or patterns of either.

    Raises:
      FileNotFoundError: a source holds no table.
      ValueError: none was named, or none lies beside the config.json of a command.
    """
    known, found, left_out = command_tables.known_experiments(), {}, {}
    for folder, names in _tables(sources).items():
        said, path = facts.beside(folder), os.path.join(folder, "config.json")
        if said.get("experiment") in list(known):
            found[folder] = said
            continue
        if isinstance(said.get("experiment"), str):
            print(
                f"{folder} is left out: it is of {said['experiment']}, which is no "
                "experiment of this package.",
                file=sys.stderr,
            )
        # What other programs wrote is none of this page.
        if said or not any(names & set(one.TABLES) for one in known.values()):
            continue
        if epath.Path(path).exists():
            left_out[path] = (
                f"{path!r} cannot be read, so that it is not known what the tables "
                "beside it are."
            )
        else:
            print(
                f"{folder} is left out: no config.json lies beside its tables.",
                file=sys.stderr,
            )
    if not found:
        raise ValueError(
            "No results of a command: name its output folder, in which config.json "
            f"lies beside the tables. {' '.join(left_out.values())}".strip()
        )
    whole = {folder: os.path.abspath(folder) for folder in found}
    common = os.path.commonpath([os.path.dirname(one) for one in whole.values()])
    results = [
        Results(
            folder,
            os.path.relpath(whole[folder], common),
            known[said["experiment"]],
            said,
        )
        for folder, said in found.items()
    ]
    return results, left_out


def _tables(sources: Sequence[str]) -> dict[str, set[str]]:
    """Returns the names of the tables in each folder, in their order."""
    found: dict[str, set[str]] = {}
    for path in table_files.find(sources):
        names = found.setdefault(os.path.dirname(path) or ".", set())
        names.add(table_files.table_name(path))
    return found


def page(sources: Sequence[str], *, beside: str = ".") -> tuple[str, dict[str, str]]:
    """Returns the page, and why tables are left out of it, by path.

    Args:
      sources: as for `find`.
      beside: the folder in which the page will be, from which its links lead.

    Raises:
      FileNotFoundError, ValueError: as `find`.
    """
    found, left_out = find(sources)
    links = [
        f"{markup.link_to(one.name)}: {html.escape(_question(one))}" for one in found
    ]
    # Where these are many, a page begins with the claims.
    contents = markup.contents(
        links, most=_MOST_LINKS, summary=f"{len(links)} results of commands"
    )
    parts = []
    for part, damaged in (
        _claims(found),
        *(_section(one, beside=beside) for one in found),
    ):
        parts.append(part)
        # The claims may have read the same file by another path to it.
        left_out |= {os.path.abspath(path): why for path, why in damaged.items()}
    parts = [_left_out(left_out), contents, *parts]
    return markup.document(_TITLE, filter(None, parts)), left_out


def _left_out(reasons: Mapping[str, str]) -> str:
    """Returns what is not in the page, and what to do; "" if all is."""
    if not reasons:
        return ""
    items = "".join(f"<li>{html.escape(why)}</li>" for why in reasons.values())
    return (
        f'<p class="fails">Left out of this page:</p><ul>{items}</ul>'
        f"<p>{html.escape(saving.WHAT_TO_DO)}</p>"
    )


def _claims(found: Sequence[Results]) -> tuple[str, dict[str, str]]:
    """Returns what the papers' claims come to in these results.

    And what is wrong with tables that they are not asked of, by path.
    """
    heading = f"<section>{markup.heading('Claims of the papers')}"
    try:
        tables, damaged = claim_tables.load([one.folder for one in found])
    except ValueError as error:
        return f"{heading}<p>{html.escape(str(error))}</p></section>", {}
    told = claims.judge(tables)
    parts = html_claims.parts(told, where=lambda config: _where(config, found))
    return "\n".join([heading, *filter(None, parts), "</section>"]), damaged


def _where(config: str | None, found: Sequence[Results]) -> str:
    """Returns links to the results that a `config` belongs to."""
    links = [markup.link_to(one.name) for one in found if config in _configs(one.said)]
    return f"<p>{', '.join(links)}</p>" if links else ""


def _configs(said: Mapping[str, object]) -> list[object]:
    """Returns the `config` of each network; older files say it beside the decisions."""
    members = config_files.members(said).values()
    return [one.get("config", said.get("config")) for one in members]


def _section(results: Results, *, beside: str) -> tuple[str, dict[str, str]]:
    """Returns the part of the page about one command.

    And what is wrong with its tables that are left out, by path.
    """
    module, said = results.experiment, results.said
    found, damaged = figure.of_command(module, results.folder)
    parts = [
        f"<section>{markup.heading(results.name)}",
        f"<p>{html.escape(_question(results))}</p>",
    ]
    if not said.get("complete", True):
        parts.append('<p class="undecided">Incomplete: its command has not ended.</p>')
    parts += [f'<p class="fails">{html.escape(why)}</p>' for why in damaged.values()]
    answer = answers.of(module, found)
    if answer is not None:
        parts.append(f"<h3>{html.escape(answer.title)}</h3>")
        grid = markup.table(answer.columns, answer.rows)
        is_long = len(answer.rows) > _MOST_ANSWERS
        parts.append(
            markup.folded(f"{len(answer.rows)} rows", grid) if is_long else grid
        )
    parts.append(_drawn(module, found, says=f"{results.name}: {_question(results)}"))
    parts.append(_printed(next(iter(found.values()))))
    words = config_files.command(said).split()
    words = [f"<span>{html.escape(word)}</span>" for word in words]
    parts.append(f"<pre>{' '.join(words)}</pre>")
    parts.append(_options(said))
    for table_name, table in found.items():
        parts.append(_rows(table_name, table, folder=results.folder, beside=beside))
    return "\n".join([*filter(None, parts), "</section>"]), damaged


def _question(results: Results) -> str:
    """Returns which experiment it is, and what that asks."""
    question = (results.experiment.__doc__ or "").partition("\n")[0]
    return f"{results.said['experiment']}: {question}"


def _drawn(
    module: types.ModuleType, found: Mapping[str, "pandas.DataFrame"], *, says: str
) -> str:
    """Returns the experiment's figure; "" where there is nothing to draw.

    Args:
      says: what it is a figure of, for those who do not see it.
    """
    first = next(iter(found.values()))
    is_drawn = hasattr(module, "figure") and len(first)
    image = style.svg(lambda: module.figure(found)) if is_drawn else None
    if image is None:
        return ""
    data = base64.b64encode(image).decode()
    alt = html.escape(f"Figure of {says}")
    image = f'<img alt="{alt}" src="data:image/svg+xml;base64,{data}">'
    return f'<div class="wide">{image}</div>'


def _printed(table: "pandas.DataFrame") -> str:
    """Returns the papers' numbers about the networks of a table; "" if there are none.

    Args:
      table: the experiment's first; tells models and data sets.
    """
    numbers = reported.load()
    rows = []
    pairs = table[["model", "dataset"]].drop_duplicates()
    for model, dataset in pairs.itertuples(index=False):
        own = numbers[numbers["network"] == reported.NETWORKS.get(model)]
        own = own[own["dataset"] == reported.DATASETS.get(dataset)]
        rows += _values(own)
    if not rows:
        return ""
    grid = markup.table(list(numbers.columns), rows)
    return markup.folded(f"{len(rows)} numbers in the papers", grid)


def _options(said: Mapping[str, object]) -> str:
    """Returns all that decided the results, folded away."""
    parts = {**config_files.members(said), "data": said.get("data") or {}}
    named = len(parts) > 2
    rows = [
        [
            f"{part}: {name}" if named and part != "data" else name,
            ", ".join(map(str, value)) if isinstance(value, list) else str(value),
        ]
        for part, options in parts.items()
        for name, value in options.items()
    ]
    return markup.folded("options and data", markup.table(("option", "value"), rows))


def _rows(name: str, table: "pandas.DataFrame", *, folder: str, beside: str) -> str:
    """Returns the first rows of a table, folded away, and a link to the whole."""
    path = epath.Path(folder) / f"{name}.csv"
    if not path.exists() or not len(table):
        return ""
    table = table.drop(columns=[one for one in facts.COLUMNS if one in table])
    shown = table.head(_MOST_ROWS)
    count = f"{len(table):,} row{'s' if len(table) > 1 else ''}"
    if len(table) > len(shown):
        count += f", the first {len(shown)} here"
    link = f'<p><a href="{_link(path, beside=beside)}">{name}.csv</a></p>'
    alike = _alike(table)
    said = ", ".join(f"{one} {markup.text(shown[one].iloc[0])}" for one in alike)
    said = f"<p>In all rows: {html.escape(said)}.</p>" if said else ""
    shown = shown.drop(columns=alike)
    # Addresses in the store would push all numbers off the page.
    names = sorted(shown, key=lambda one: _longest(shown[one]) > _LONG)
    grid = markup.table(names, _values(shown[names]))
    return markup.folded(f"{name}: {count}", f"{link}{said}{grid}")


def _longest(column: "pandas.Series") -> int:
    """Returns how many characters the longest text of a column has; 0 of numbers."""
    return max((len(one) for one in column if isinstance(one, str)), default=0)


def _alike(table: "pandas.DataFrame") -> list[str]:
    """Returns the columns that say the same in all of several rows."""
    if len(table) < 2:
        return []
    return [
        name
        for name, column in table.items()
        if column.notna().all() and column.nunique() == 1
    ]


def _values(table: "pandas.DataFrame") -> list[list[object]]:
    """Returns a table's rows; "" is a missing value."""
    return table.astype(object).where(table.notna(), "").to_numpy().tolist()


def _link(path: epath.Path, *, beside: str) -> str:
    """Returns how a page in a folder links to a file."""
    text = str(path)
    if "://" not in text:
        relative = os.path.relpath(os.path.abspath(text), os.path.abspath(beside))
        text = markup.anchor(pathlib.PurePath(relative).as_posix())
    return html.escape(text)


def save(sources: Sequence[str], *, output: str) -> dict[str, str]:
    """Writes the page; returns why tables are left out of it, by path.

    Raises:
      FileNotFoundError: a source holds no table.
      ValueError: an argument is wrong, or `output` cannot be written.

    Changes: writes `output`, and the folder it is in where there is none.
    """
    path = saving.path_of(output, endings=[".html"])
    if not sources:
        raise ValueError("Name the results: output folders, or a folder of them.")
    text, left_out = page(sources, beside=str(path.parent))
    with saving.writing(path, output=output):
        # Names of folders are bytes, not always letters.
        path.write_bytes(text.encode(errors="replace"))
    return left_out


def main() -> None:
    """Runs the report as a program: defines its flags, parses them, exits."""
    flags.DEFINE_string("output", "report.html", "file to save to, a page")
    saving.run_on_tables(_saved)


def _saved(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Saves the page of the folders in the arguments; says where, and what lacks."""
    output = flags.FLAGS["output"].value
    left_out = save(arguments[1:], output=output)
    return f"The page is in {output}", left_out


if __name__ == "__main__":
    main()
