"""Pieces of a page in HTML: tables, parts that a click unfolds, the look."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence

_NUMBER = re.compile(r"[-+]?[\d.]")
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 72rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; }
section { border-top: 1px solid #ccc; margin-top: 2rem; }
table { border-collapse: collapse; margin: .7rem 0; font-size: .87rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #e4e4e4; text-align: right;
  vertical-align: top; }
th { border-bottom: 1px solid #999; } .text { text-align: left; }
.wide, pre { overflow-x: auto; } img { max-width: max(100%, 44rem); }
td.number, td:first-child, pre span { white-space: nowrap; }
pre { background: #f5f5f5; padding: .6rem; white-space: pre-wrap; }
summary { cursor: pointer; color: #345; margin: .4rem 0; } a { color: #235a9f; }
.holds { color: #176b2c; } .fails { color: #a01c1c; }
.undecided { color: #8a6100; } .lacking { color: #666; }
nav li { margin: .15rem 0; } nav, p, h2, h3 { overflow-wrap: anywhere; }
@media (max-width: 40rem) { td.text:nth-child(2) { min-width: 11rem; } }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """Returns a whole page.

    Args:
      title: its heading.
      parts: what stands below, in HTML.
    """
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{html.escape(title)}</h1>",
            *parts,
            "</body></html>",
        ]
    )


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    classes: Mapping[str, str] | None = None,
) -> str:
    """Returns a table; "" without rows. Columns that no row fills are left out.

    Args:
      columns: their names.
      rows: a value a column each.
      classes: by the text of a cell, the class of its look.
    """
    texts = [[_text(value) for value in row] for row in rows]
    if not texts:
        return ""
    looks = {}
    for at in range(len(columns)):
        filled = [row[at] for row in texts if row[at]]
        if filled:
            looks[at] = "number" if all(map(_NUMBER.match, filled)) else "text"

    classes = classes or {}

    def line(cells: Sequence[str], tag: str) -> str:
        found = (
            f'<{tag} class="{look} {classes.get(cells[at], "")}">'
            f"{html.escape(cells[at])}</{tag}>"
            for at, look in looks.items()
        )
        return f"<tr>{''.join(found)}</tr>"

    head = line(list(map(str, columns)), "th")
    body = "\n".join(line(row, "td") for row in texts)
    return (
        f'<div class="wide"><table><thead>{head}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _text(value: object) -> str:
    """Returns a value as cells show it: numbers with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def folded(summary: str, content: str) -> str:
    """Returns a part of the page that a click unfolds."""
    return f"<details><summary>{html.escape(summary)}</summary>{content}</details>"


def heading(name: str) -> str:
    """Returns a heading that `link_to` leads to."""
    return f'<h2 id="{_anchor(name)}">{html.escape(name)}</h2>'


def link_to(name: str) -> str:
    """Returns a link to a place in the page."""
    return f'<a href="#{_anchor(name)}">{html.escape(name)}</a>'


def _anchor(name: str) -> str:
    """Returns what a place in the page is called in links."""
    return html.escape(name.replace(" ", "-"))
