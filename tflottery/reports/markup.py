"""Pieces of a page in HTML: tables, parts that a click unfolds, the look."""

import html
import os
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence

# Bounds, such as "< 2 points", stand in line with numbers.
_NUMBER = re.compile(r"(?:[<>]=? )?[-+]?[\d.]")
_STYLE = """
:root { color-scheme: light dark; --text: #222; --page: #fff; --faint: #f5f5f5;
  --line: #ddd; --strong: #999; --link: #235a9f; --good: #176b2c; --bad: #a01c1c;
  --open: #8a6100; --none: #666; }
@media screen and (prefers-color-scheme: dark) { :root { --text: #ddd; --page: #16181b;
  --faint: #24272b; --line: #3a3e44; --strong: #777; --link: #8ab8f0; --good: #6fcf8a;
  --bad: #f28b82; --open: #e0b050; --none: #999; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--text);
  background: var(--page); max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; }
section { border-top: 1px solid var(--line); margin-top: 2rem; }
table { border-collapse: collapse; margin: .7rem 0; font-size: .87rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; }
th { border-bottom: 1px solid var(--strong); } .text { text-align: left; }
.wide, pre { overflow-x: auto; } img { max-width: max(100%, 44rem); }
td.number, td:first-child, pre span { white-space: nowrap; }
pre { background: var(--faint); padding: .6rem; white-space: pre-wrap; }
summary { cursor: pointer; color: var(--link); margin: .4rem 0; }
a { color: var(--link); }
.holds { color: var(--good); } .fails { color: var(--bad); }
.undecided { color: var(--open); } .lacking { color: var(--none); }
nav li { margin: .15rem 0; } li, p, h2, h3 { overflow-wrap: anywhere; }
.up { position: fixed; right: 1rem; bottom: .5rem; padding: .1rem .5rem;
  background: var(--faint); }
@media screen and (max-width: 40rem) { td.text:nth-child(2) { min-width: 9rem; }
  th, td { padding: .2rem .35rem; } }
@media print { :root { font-size: 10px; } .up { display: none; }
  body { font-size: 1rem; max-width: none; margin: 0; }
  .wide { overflow: visible; } img { max-width: 100%; } h2, h3 { break-after: avoid; }
  th, td { padding: .15rem .3rem; } tr, img, pre { break-inside: avoid; } }
"""


# The place of the contents.
CONTENTS = "contents"


def document(title: str, parts: Iterable[str]) -> str:
    """Returns a whole page.

    Args:
      title: its heading.
      parts: what stands below, in HTML; the contents first.
    """
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{html.escape(title)}</h1>",
            "<main>",
            *parts,
            "</main>",
            f'<a class="up" href="#{CONTENTS}">contents</a>',
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
    texts = [[text(value) for value in row] for row in rows]
    if not texts:
        return ""
    looks = {}
    for at in range(len(columns)):
        filled = [row[at] for row in texts if row[at]]
        if filled:
            looks[at] = "number" if all(map(_NUMBER.match, filled)) else "text"

    classes = classes or {}

    def line(cells: Sequence[str], tag: str, said: str = "") -> str:
        found = (
            f'<{tag}{said} class="{look} {classes.get(cells[at], "")}">'
            f"{html.escape(cells[at])}</{tag}>"
            for at, look in looks.items()
        )
        return f"<tr>{''.join(found)}</tr>"

    head = line(list(map(str, columns)), "th", ' scope="col"')
    body = "\n".join(line(row, "td") for row in texts)
    return (
        f'<div class="wide"><table><thead>{head}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def text(value: object) -> str:
    """Returns a value as cells show it: numbers with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def folded(summary: str, content: str) -> str:
    """Returns a part of the page that a click unfolds."""
    return f"<details><summary>{html.escape(summary)}</summary>{content}</details>"


def contents(links: Sequence[str], *, most: int, summary: str) -> str:
    """Returns the contents of the page, folded away where they are long.

    Args:
      links: to parts, in HTML.
      most: how many of them stand open.
      summary: what long ones are called.
    """
    items = "".join(f"<li>{link}</li>" for link in links)
    found = f'<nav id="{CONTENTS}" aria-label="contents"><ul>{items}</ul></nav>'
    return folded(summary, found) if len(links) > most else found


def heading(name: str, *, rank: int = 2) -> str:
    """Returns a heading that `link_to` leads to."""
    return f'<h{rank} id="{anchor(name)}">{html.escape(name)}</h{rank}>'


def link_to(name: str) -> str:
    """Returns a link to a place in the page."""
    return f'<a href="#{anchor(name)}">{html.escape(name)}</a>'


def anchor(name: str) -> str:
    """Returns a name as links have it, of places in the page and of files."""
    return urllib.parse.quote(os.fsencode(name))
