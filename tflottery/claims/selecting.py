"""Rows that a claim is about, and one number a replicate out of them.

All functions return new tables or series, and raise `Lacking` where there are no rows.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tflottery.analysis import statistics
from tflottery.core import durations
from tflottery.core.recipes import PruningRecipe
from tflottery.core.registry import MODELS

if TYPE_CHECKING:
    import pandas

PERCENT = 100.0
K = "rewind_iteration"
# Levels of one grid are up to 36% apart; nearer than half of that is the same density.
_SAME_DENSITY = 1.3


class Lacking(Exception):
    """Rows that a claim needs are not in the table; says which.

    Attributes:
      experiment: what supplies them, with its options; None: the claim's own.
      options: flags that it takes besides, "--name=value" with spaces between.
    """

    def __init__(self, told: str, *, experiment: str | None = None, options: str = ""):
        super().__init__(told)
        self.experiment = experiment
        self.options = options


class NotAsked(Lacking):
    """A claim is not about such a network, so that no more rows help; says why."""


def select(table: "pandas.DataFrame", **columns: object) -> "pandas.DataFrame":
    """Returns the rows in which columns have these values, or one of a tuple of them.

    Raises:
      Lacking: there are none.
    """
    refuse_lacking(table, columns)
    found = table
    for name, value in columns.items():
        values = value if isinstance(value, tuple) else (value,)
        found = found[found[name].isin(values)]
    if not len(found):
        told = ", ".join(f"{name} = {value}" for name, value in columns.items())
        raise Lacking(f"no rows with {told}")
    return found


def mean(table: "pandas.DataFrame", column: str) -> "pandas.Series":
    """Returns the mean of a column by replicate, over its pairs or data orders.

    Raises:
      Lacking: nothing was measured, or every training diverged.
    """
    refuse_lacking(table, [column])
    found = table.groupby("replicate")[column].mean().dropna().astype("float64")
    if not len(found):
        raise Lacking(f"{column} was not measured")
    return found


def refuse_lacking(table: "pandas.DataFrame", columns: Iterable[str]) -> None:
    """Raises Lacking if a table, of an earlier version, has not all columns."""
    missing = [name for name in columns if name not in table]
    if missing:
        raise Lacking(f"the table has no {', '.join(missing)}")


def num_diverged(table: "pandas.DataFrame") -> int:
    """Returns how many rows are of trainings that diverged."""
    known = "diverged_iteration" in table
    return int(table["diverged_iteration"].notna().sum()) if known else 0


def accuracy(table: "pandas.DataFrame", **columns: object) -> "pandas.Series":
    """Returns the test accuracy (%) by replicate of the rows that `select` finds."""
    return PERCENT * (1 - mean(select(table, **columns), "test_error"))


def best(table: "pandas.DataFrame", *, by: str) -> int:
    """Returns the value of a column, such as k, with the lowest mean test error.

    Of those that the most replicates were measured at: the best of three is no match
    for the luck of one.

    Raises:
      Lacking: nothing was measured, or every training diverged.
    """
    refuse_lacking(table, [by, "test_error"])
    measured = table[table["test_error"].notna()].groupby(by)
    counts = measured["replicate"].nunique()
    if not len(counts):
        raise Lacking("test_error was not measured")
    errors = measured["test_error"].mean()[counts == counts.max()]
    return int(errors.idxmin())


def at_every(
    table: "pandas.DataFrame", column: str, *, along: str = K
) -> "pandas.DataFrame":
    """Returns the mean of a column, a row a replicate and a column a k.

    Of replicates that were measured at every k: the best or worst k of others would be
    that of fewer. So with what else `along` names, such as lengths.

    Raises:
      Lacking: there are none.
    """
    refuse_lacking(table, [column])
    places = table.groupby(["replicate", along])[column].mean()
    found = places.unstack().astype("float64")
    found = found.dropna(axis="columns", how="all")
    if not found.size:
        raise Lacking(f"{column} was not measured")
    found = found.dropna()
    if not len(found):
        name = "k" if along == K else along
        raise Lacking(f"{column} was measured at every {name} in no replicate")
    return found


def matching_margin(own: "pandas.Series", dense: "pandas.Series") -> "pandas.Series":
    """Returns by how much networks match the dense one, by replicate, in points.

    The papers' networks match whose accuracy is within one standard deviation of the
    dense mean: the margin is how far they lie above that limit. It is the difference
    to the dense network of the same replicate plus that deviation.

    Args:
      own: accuracies (%) by replicate.
      dense: likewise, of dense networks.
    """
    if len(dense) < 2:
        raise Lacking(
            "1 dense network, or none: what matches is within the standard deviation "
            "of several, see --replicates"
        )
    return (own - dense + dense.std()).dropna()


def rank_correlation(
    table: "pandas.DataFrame", column: str, *, along: str
) -> "pandas.Series":
    """Returns Spearman's correlation of a column with another, by replicate.

    The column is averaged first over all rows of one place. 1 is a steady rise, -1 a
    steady fall, 0 also what never changes. Replicates with fewer than three places
    have none.

    Raises:
      Lacking: no replicate has three places, such as k.
    """
    refuse_lacking(table, [column])
    places = table.groupby(["replicate", along])[column].mean().dropna()
    found = places.groupby("replicate").apply(_steadiness).dropna()
    if not len(found):
        most = places.groupby("replicate").size().max() if len(places) else 0
        name = "k" if along == K else along
        raise Lacking(f"a trend takes at least 3 values of {name}, there are {most}")
    return found


def _steadiness(places: "pandas.Series") -> float:
    """Returns the rank correlation of values by place; NaN of fewer than three."""
    if len(places) < 3:
        return math.nan
    along = places.index.get_level_values(-1).to_series()
    r, _ = statistics.pearson(places.rank(), along.rank())
    # Of ranks, which are whole or half: the last digits are those of rounding.
    return 0.0 if math.isnan(r) else round(r, 12)


def whole_length(table: "pandas.DataFrame") -> int:
    """Returns the length of a whole training in iterations, the same in all rows."""
    if not len(table):
        raise Lacking("no rows")
    return int(table["training_iterations"].iloc[0])


def k_within(
    table: "pandas.DataFrame", fraction: float, *, grid: str | None = None
) -> int:
    """Returns the last k above 0 up to a fraction of the training.

    Args:
      table: rows of one length.
      fraction: of it.
      grid: the k to measure where there is none, as --rewind_iterations has them; None:
        0 and this one.

    Raises:
      Lacking: there is none in its second half.
    """
    found = k_near(table, fraction)
    if found is None:
        options = f"--rewind_iterations={grid or f'0,{fraction:.1%}'}"
        told = f"no k of about {part(table, fraction)} iterations"
        raise Lacking(told, options=options)
    return found


def k_near(table: "pandas.DataFrame", fraction: float) -> int | None:
    """Returns what `k_within` does; None where there is none."""
    # The papers round: 2,000 of 63,000 iterations are "3%".
    most = max(1.05 * fraction * whole_length(table), part(table, fraction))
    known = [k for k in table[K].unique() if most / 2 < k <= most]
    return int(max(known)) if known else None


def part(table: "pandas.DataFrame", fraction: float) -> int:
    """Returns a part of the training in iterations, as options have it: rounded up."""
    length = whole_length(table)
    # In whole tenths of a percent, all that is asked for.
    return durations.iterations(
        f"{fraction:.1%}", num_examples=1, batch_size=1, training_iterations=length
    )


def refuse_one_k(table: "pandas.DataFrame") -> None:
    """Raises Lacking if what is claimed of every k was measured at one alone."""
    known = table[K].unique()
    if len(known) < 2:
        told = f"k = {known[0]} alone" if len(known) else "no k"
        raise Lacking(f"{told}, a claim on all takes several: see --rewind_iterations")


def perturbed_k(table: "pandas.DataFrame", position: int) -> int | None:
    """Returns the first (0) or second (1) k at which a network's recipe perturbs it.

    None where it says none, or is not known.
    """
    pruning = _pruning(table.iloc[0]) if len(table) else None
    known = [] if pruning is None else list(pruning.perturbed_iterations)
    return known[position] if position < len(known) else None


def studied(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """Returns the rows of the level that is studied in the network, by its recipe.

    Of a network without a recipe here it is the sparsest level of the table.

    Raises:
      Lacking: no level is near that density.
    """
    sparse = table[table["level"] > 0]
    if not len(sparse):
        raise Lacking("no subnetworks")
    densities = sparse["axis_density"].unique()
    wanted = _studied_density(sparse.iloc[0]) or min(densities)
    at = nearest(wanted, densities)
    if at is None:
        raise without_level(wanted, sparse)
    return sparse[sparse["axis_density"] == at]


def without_level(density: float, sparse: "pandas.DataFrame") -> Lacking:
    """Returns what to raise where subnetworks have no level near a density.

    Args:
      density: the one.
      sparse: rows of subnetworks of one setting, at least one.
    """
    one = sparse.iloc[0]
    kept = one["density"] ** (1 / one["level"])
    level = round(math.log(density) / math.log(kept))
    if not level or nearest(density, [kept**level]) is None:
        told = f"levels keep {kept:.0%} of the weights of the one before"
        return NotAsked(f"{told}: none is near a density of {density:.3g}")
    told = f"no level near a density of {density:.3g}"
    return Lacking(told, options=f"--levels={level}")


def nearest(wanted: float, densities: Iterable[float]) -> float | None:
    """Returns the density nearest to one, by ratio; None where none is the same."""
    found = min(densities, key=lambda one: abs(math.log(one / wanted)), default=None)
    if found is None or abs(math.log(found / wanted)) > math.log(_SAME_DENSITY):
        return None
    return found


def _studied_density(setting: "pandas.Series") -> float | None:
    """Returns at which density the recipe of a row compares subnetworks."""
    pruning = _pruning(setting)
    return None if pruning is None else pruning.studied_density


def _pruning(setting: "pandas.Series") -> PruningRecipe | None:
    """Returns how a row's network is pruned by its recipe; None if not known."""
    model, variant = setting["model"], setting["variant"]
    recipes = MODELS[model]["recipes"] if model in MODELS else {}
    return getattr(recipes.get(variant), "pruning", None)
