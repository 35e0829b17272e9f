"""Pairs of copies, arranged: what a block of the figure of instability shows."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import pandas

from tflottery.core.amounts import counted
from tflottery.figures import lines, panels
from tflottery.figures.densities import SETTING
from tflottery.figures.timescales import Timescale, timescale

DENSE = "dense"

# A line's colour and its name in the legend, by what tells it from the others.
Looks = Mapping[object, tuple[object, str | None]]


@dataclasses.dataclass(frozen=True, eq=False)
class ShownPairs:
    """What a block shows.

    Attributes:
      pairs: rows of instability.csv; not empty.
      points: rows of interpolation.csv.
      kinds: of the networks, the dense one first.
      by_k: how lines of each k look, in the whole figure.
      scale: how k are told.
    """

    pairs: pandas.DataFrame
    points: pandas.DataFrame
    kinds: Sequence[str]
    by_k: Looks
    scale: Timescale

    @property
    def splits(self) -> list[str]:
        """The splits that were measured; each has a panel along the line."""
        return [
            split
            for split in lines.SPLIT_COLORS
            if self.pairs[f"{split}_instability"].notna().any()
        ]

    @property
    def split(self) -> str:
        """The split of panels that have room for one: test, if it was measured."""
        return "train" if self.splits == ["train"] else "test"

    @property
    def by_kind(self) -> Looks:
        """How lines of each kind look."""
        colors = lines.kind_colors(self.kinds)
        return {kind: (colors[kind], lines.kind_name(kind)) for kind in self.kinds}

    @property
    def dense_error(self) -> pandas.Series:
        """The dense network's test error, a value a replicate."""
        # Of a replicate whose first pair diverged another one knows it.
        known = self.pairs.dropna(subset=["dense_test_error"])
        return known.drop_duplicates("replicate")["dense_test_error"]

    @property
    def ended(self) -> pandas.DataFrame:
        """The pairs at the last iteration measured, the end of training."""
        return self.pairs[self.pairs["iteration"] == self.pairs["iteration"].max()]

    def along_the_line(self, kind: str | None = None) -> pandas.DataFrame:
        """Returns the points at the end of training, of one kind or of all."""
        ended = self.points["iteration"] == self.pairs["iteration"].max()
        own = self.points[ended]
        return own if kind is None else own[own["subnetwork"] == kind]


def arranged(
    instability: pandas.DataFrame, interpolation: pandas.DataFrame
) -> Iterator[ShownPairs]:
    """Yields what each block shows, in the order of the table.

    The dense network of a setting is shown beside its subnetworks of each level.

    Args:
      instability: rows of instability.csv.
      interpolation: rows of interpolation.csv.
    """
    colors = lines.iteration_colors(instability["rewind_iteration"].astype(int))
    for key, own in instability.groupby(SETTING, sort=False):
        points = interpolation[(interpolation[SETTING] == list(key)).all(axis=1)]
        scale = timescale(own)
        by_k = {k: (color, f"k = {scale.name(k)}") for k, color in colors.items()}
        levels = sorted(set(own["level"]) - {0}) or [0]
        for level in levels:
            pairs = own[own["level"].isin((0, level))]
            kinds = list(lines.kind_colors(pairs["subnetwork"]))
            here = points[points["level"].isin((0, level))]
            yield ShownPairs(pairs, here, kinds, by_k, scale)


def title(shown: ShownPairs) -> str:
    """Returns what a block shows."""
    pairs = shown.pairs
    sparse = pairs[pairs["level"] > 0]
    details = []
    if len(sparse):
        density = sparse["axis_density"].iloc[0]
        single = len(shown.kinds) == 1
        kinds = lines.kind_name(shown.kinds[0]) if single else "subnetworks"
        details = [f"{kinds} at {density:.1%}"]
    replicates = counted(pairs["replicate"].nunique(), "replicate")
    each = pairs.drop_duplicates(["replicate", "data_order_a", "data_order_b"])
    details.append(f"{counted(len(each), 'pair')} of {replicates}")
    return panels.title(pairs, *details)
