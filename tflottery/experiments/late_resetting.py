"""To what is a ticket of few images reset? (Finding Winning Tickets, Figure 7, Table 1)

IMP finds tickets on a part of the data (--ticket_subset), once for each rule of what
weights are reset to (--rewind_rules): as many epochs as on all data, as large a part of
the training, as many updates, or as many examples seen. Each is then trained on all
data, beside tickets of all of it, random pruning and the unpruned network. Accuracy
against density, a line a rule.

`resetting.csv` is Table 1: what tickets of all data and of its parts (--subsets) are
reset to under the recipe, in epochs, examples, updates and as part of the training. It
takes no training, and is there once the first tables are written.

All counts are rounded up to whole updates. The paper's 3.3% stands for 3 of 90 epochs.
Rules that come to the same k, as updates and examples do where batches are of one size,
find the same tickets: they are trained once and have rows of both, in the figure a line
of both names.
"""

import dataclasses
import typing
from collections.abc import Iterator, Sequence

from tflottery.core import subsets
from tflottery.core.durations import Duration
from tflottery.execution.results_reader import ResultsReader
from tflottery.studies import config as shared
from tflottery.studies import program, search_options, ticket_searches
from tflottery.studies.columns import StudyKeys
from tflottery.studies.config import option
from tflottery.studies.pruning_config import PruningConfig
from tflottery.studies.search_options import Search, TicketConfig
from tflottery.studies.study import Study
from tflottery.studies.ticket_searches import answer, figure, plan, subject

__all__ = ["TABLES", "Config", "answer", "figure", "plan", "rows", "subject"]

# By data set: epochs, part of the training, updates, examples (Figure 7). On CIFAR-10
# likewise one of 160 epochs, which the paper resets tickets of all images to.
_RULES = {
    "imagenet2012": ("3ep", "3.3%", "2500it", "3840000ex"),
    "cifar10": ("1ep", "0.625%", "98it", "50000ex"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TicketConfig):
    """Options of the experiment."""

    SUBSET_REMEDY: typing.ClassVar[str] = (
        "Say with --ticket_subset which part finds them."
    )

    ticket_subset: str = option(
        "images:0.1", "part of the data on which tickets are found"
    )
    rewind_rules: tuple[Duration, ...] | None = option(
        None,
        "what these are reset to, one after the other: 3ep,3.3%,2500it,3840000ex; "
        "None: the paper's on imagenet2012, else an epoch in each of these ways",
    )
    subsets: tuple[str, ...] = option(
        ("images:0.3", "images:0.1", "images:0.01"),
        "parts of the data of which resetting.csv tells, beside all of them",
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        return dataclasses.replace(
            super().tiny(),
            ticket_subset="images:0.5",
            rewind_rules=("25%", "10"),
            subsets=("images:0.5",),
        )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        if subsets.parse(self.ticket_subset) is None:
            raise ValueError(
                f"--ticket_subset={self.ticket_subset!r} is all data, and has to be a "
                "part of them, such as images:0.1."
            )
        search_options.validate_parts("subsets", self.subsets)
        if self.rewind_rules is not None:
            rules = [str(rule) for rule in self.rewind_rules]
            shared.validate_names("rewind_rules", rules, example="3ep")
            shared.validate_durations("rewind_rules", self.rewind_rules)
        super().validate()

    def searches(self) -> Sequence[Search]:
        """Returns a search on all data, and one on a part of them for each rule."""
        part = str(subsets.parse(self.ticket_subset))
        on_part = (
            self.search(f"{part} to {rule}", subset=part, rewind_iterations=(rule,))
            for rule in self._rules()
        )
        return [self.own_search(), *on_part]

    def parts(self) -> Sequence[Search]:
        """Returns what is trained on each part of the data, as the recipe has it."""
        return self.searches_on_parts(self.subsets)

    def related(self) -> dict[str, PruningConfig]:
        """Returns the searches on parts of the data, and the parts by themselves."""
        return super().related() | {one.key: one.config for one in self.parts()}

    def _rules(self) -> tuple[Duration, ...]:
        """Returns what tickets of a part of the data are reset to."""
        if self.rewind_rules is not None:
            return self.rewind_rules
        # As many examples as an epoch of all has, where their number is not known.
        epochs = round(1 / subsets.parse(self.ticket_subset).fraction)
        return _RULES.get(self.setting.dataset, ("1ep", "0.625%", f"{epochs}ep"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResetPoint(StudyKeys):
    """A row of resetting.csv: what tickets of some data are reset to by their recipe.

    Of the study in which they are found.

    Attributes:
      ticket_subset: the part of the data; None: all.
      rewind_iteration: k, in updates.
      rewind_examples: images seen by then.
      rewind_epochs: how often each was seen by then.
      rewind_fraction: k as part of the training, in [0, 1].
    """

    ticket_subset: str | None
    rewind_iteration: int
    rewind_examples: int
    rewind_epochs: float
    rewind_fraction: float


TABLES = ticket_searches.TABLES | {"resetting": ResetPoint}


def rows(study: Study, results: ResultsReader) -> dict[str, list]:
    """Returns the tables of tickets, and `resetting`."""
    return ticket_searches.rows(study, results) | {"resetting": [*_points(study)]}


def _points(study: Study) -> Iterator[ResetPoint]:
    """Yields what tickets of all data and of parts of them are reset to."""
    for one in (study, *(study.related[part.key] for part in study.config.parts())):
        for k in one.rewind_iterations:
            examples = k * one.recipe.batch_size
            yield ResetPoint(
                **one.columns(),
                ticket_subset=one.facts.data.subset,
                rewind_iteration=k,
                rewind_examples=examples,
                rewind_epochs=examples / one.facts.data.num_train,
                rewind_fraction=k / one.last,
            )


if __name__ == "__main__":
    program.run(__spec__.name)
