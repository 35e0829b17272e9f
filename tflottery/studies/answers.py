"""The answer of a command: a small table of its result, for the end of the terminal.

An experiment gives its own (`answer(tables)`). Without one, the accuracy of its
networks against density is shown, or else rows of its first table. The CSVs hold
everything.
"""

import dataclasses
import io
import types
import typing
from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich import console as rich_console
from rich import table as rich_table

from tflottery.analysis import statistics
from tflottery.core.percentages import percent
from tflottery.studies import columns

if typing.TYPE_CHECKING:
    import pandas

_MAX_ROWS, _MAX_DENSITIES, _MAX_COLUMNS = 16, 5, 8
_WIDTH = 200


@dataclasses.dataclass(frozen=True)
class Answer:
    """A small table for people.

    Attributes:
      title: what it shows, with units.
      columns: their names.
      rows: a text a column each.
      num_labels: columns of words, which begin at the left; all others are numbers.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    num_labels: int = 1


def text(module: types.ModuleType, tables: Mapping[str, "pandas.DataFrame"]) -> str:
    """Returns the answer of an experiment in lines, "" where there is none yet.

    Args:
      module: the experiment.
      tables: its tables as DataFrames, by name.
    """
    answer = of(module, tables)
    return "" if answer is None else lines(answer, most=_MAX_ROWS)


def of(
    module: types.ModuleType, tables: Mapping[str, "pandas.DataFrame"]
) -> Answer | None:
    """Returns the answer of an experiment, None where there is none yet.

    Args:
      module: the experiment.
      tables: its tables as DataFrames, by name.
    """
    answer = getattr(module, "answer", _usual)(tables)
    return answer if answer is not None and answer.rows else None


def lines(answer: Answer, *, most: int | None = None) -> str:
    """Returns a table for people in lines, its title first.

    Args:
      answer: the table; has rows.
      most: rows that are shown of more, the first and the last among them; None: all.
    """
    shown = answer.rows if most is None else thinned(answer.rows, most=most)
    grid = rich_table.Table(box=box.SIMPLE_HEAD, pad_edge=False)
    # What no row has is not shown.
    filled = [at for at in range(len(answer.columns)) if any(row[at] for row in shown)]
    for at in filled:
        justify = "left" if at < answer.num_labels else "right"
        grid.add_column(answer.columns[at], justify=justify, no_wrap=True)
    for row in shown:
        grid.add_row(*(row[at] for at in filled))
    screen = io.StringIO()
    # Text in a notebook, too, where rich would show the table below the cell instead.
    console = rich_console.Console(
        file=screen,
        width=_WIDTH,
        markup=False,
        emoji=False,
        force_terminal=False,
        force_jupyter=False,
    )
    console.print(grid)
    found = [line.rstrip() for line in screen.getvalue().splitlines() if line.strip()]
    if len(shown) < len(answer.rows):
        found.append(f"({len(shown)} of {len(answer.rows)} rows)")
    return "\n".join([answer.title, *found])


def mean_and_std(
    values: "pandas.Series", *, scale: float = 1.0, digits: int = 1
) -> str:
    """Returns "12.3 ± 0.4" of those values that are there; "" of none.

    Args:
      values: numbers; missing ones are left out.
      scale: by which they are multiplied, such as 100 for percent.
      digits: after the point.
    """
    known = [scale * value for value in values.dropna()]
    if not known:
        return ""
    std = statistics.std_of_several(known)
    mean = f"{statistics.mean(known):.{digits}f}"
    return mean if std is None else f"{mean} ± {std:.{digits}f}"


def accuracy(networks: "pandas.DataFrame") -> str:
    """Returns the accuracy of networks in percent, with a star where all match.

    Of test images, or of training images where no others were measured; where every
    training diverged it says so.
    """
    error = networks[f"{split(networks)}_error"]
    if not error.notna().any():
        return "diverged" if networks["diverged_iteration"].notna().any() else ""
    star = "*" if networks["matching"].eq(True).all() else ""
    return mean_and_std(1 - error, scale=100) + star


def split(networks: "pandas.DataFrame") -> str:
    """Returns the split that errors are told of: "test", unless only "train" was."""
    columns = ("test_error", "train_error")
    known = [name for name in columns if networks[name].notna().any()]
    return (known or columns)[0].removesuffix("_error")


def matching(networks: "pandas.DataFrame") -> str:
    """Returns "2 of 3" of those networks of which it is known; "" of none."""
    known = networks["matching"].dropna()
    return f"{known.eq(True).sum()} of {len(known)}" if len(known) else ""


def accuracy_by_density(
    networks: "pandas.DataFrame",
    *,
    by: Sequence[str],
    label: Callable[..., str],
    name: str,
) -> Answer:
    """Returns accuracies against density: a row a line of the figure.

    Args:
      networks: a row a network, as in accuracy.csv.
      by: columns that tell lines apart; missing values count as one.
      label: names a line by the values of these columns.
      name: of the first column.
    """
    # Parts of a network have densities of their own that read the same.
    told = networks.assign(percent=networks["density"].map(percent))
    sparse = told[told["level"] > 0].sort_values("density", ascending=False)
    found = thinned(list(sparse["percent"].unique()), most=_MAX_DENSITIES)
    densities = [percent(1.0), *found]
    # A line may begin with a dense network of the same name.
    lines: dict[str, list[str]] = {}
    for key, own in told.groupby(list(by), sort=False, dropna=False):
        cells = lines.setdefault(label(*key), [""] * len(densities))
        for density, part in own.groupby("percent", sort=False):
            if density in densities:
                index = densities.index(density)
                cells[index] = cells[index] or accuracy(part)
    columns = (name, *densities)
    rows = [(line, *cells) for line, cells in lines.items()]
    return Answer(accuracy_title(networks), columns, rows)


def accuracy_title(networks: "pandas.DataFrame") -> str:
    """Returns what a table of accuracies shows."""
    star = networks["matching"].eq(True).any()
    return (
        f"Accuracy on {split(networks)} images, in % (mean ± std over networks"
        f"{'; * all match the dense networks' if star else ''})"
    )


def thinned(items: Sequence, *, most: int) -> list:
    """Returns at most so many of some items, evenly, with the first and the last."""
    if len(items) <= most:
        return list(items)
    step = (len(items) - 1) / (most - 1)
    return [items[round(index * step)] for index in range(most)]


def _usual(tables: Mapping[str, "pandas.DataFrame"]) -> Answer | None:
    """Returns accuracy against density, of the first table that has such columns.

    Where none has, rows of the first table that has any.
    """
    needed = {"subnetwork", "level", "density", "rewind_iteration", "test_error"}
    for table in tables.values():
        if needed | {"matching", "diverged_iteration"} <= set(table) and len(table):
            return accuracy_by_density(
                table,
                by=("subnetwork", "rewind_iteration"),
                label=lambda kind, k: f"{kind}, k = {k}",
                name="subnetwork",
            )
    found = (_rows_of(name, table) for name, table in tables.items() if len(table))
    return next(found, None)


def _rows_of(name: str, table: "pandas.DataFrame") -> Answer:
    """Returns a table's rows, without columns that all rows have in common."""
    settings = {field.name for field in dataclasses.fields(columns.NetworkKeys)}
    told = [
        column
        for column in table
        if table[column].nunique(dropna=False) > 1 or column not in settings
    ][:_MAX_COLUMNS]
    rows = [
        [_told(value) for value in row]
        for row in table[told].itertuples(index=False, name=None)
    ]
    return Answer(f"{name}.csv", told, rows)


def _told(value: object) -> str:
    """Returns a value of a table as people read it; "" where it is missing."""
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
