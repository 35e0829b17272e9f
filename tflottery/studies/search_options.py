"""What experiments on how tickets are found can be told: which searches there are.

A search is IMP on some task, data set or part of one (`studies.ticket_searches`).
"""

import dataclasses
import typing
from collections.abc import Sequence

from tflottery.core import recipes, subsets
from tflottery.core.recipes import LABELS
from tflottery.core.registry import PRETEXTS
from tflottery.studies import config as shared
from tflottery.studies.config import option
from tflottery.studies.pruning_config import PruningConfig
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import (
    ADJUSTED_RANDOM,
    IMP,
    RANDOM_PRUNING,
    sparse_kinds,
)


@dataclasses.dataclass(frozen=True)
class Search:
    """A way to find tickets.

    Attributes:
      name: what tables and figures call it.
      config: what finds the tickets; of another number of pruned convolutions it may be
        another search of the same name.
    """

    name: str
    config: PruningConfig

    @property
    def key(self) -> str:
        """What tells it apart from the other searches of its experiment."""
        depth = self.config.first_convolutions
        return self.name if depth is None else f"{self.name} in first {depth}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TicketConfig(PruningConfig):
    """The options of experiments on how tickets are found.

    Attributes:
      TICKET_KINDS: the kinds of subnetwork that each search's tickets are judged as.
      SUBSET_REMEDY: how to find tickets on a part of the data, which --subset does not.
    """

    PREFERRED_VARIANT: typing.ClassVar[str | None] = "limited_supervision"
    TICKET_KINDS: typing.ClassVar[tuple[str, ...]] = (IMP,)
    SUBSET_REMEDY: typing.ClassVar[str] = (
        "Tickets of parts of the data are those of the experiment low_shot, --subsets."
    )

    baselines: tuple[str, ...] = option(
        (RANDOM_PRUNING, ADJUSTED_RANDOM),
        "kinds of subnetworks that tickets are compared with",
    )

    @classmethod
    def tiny(cls) -> "TicketConfig":
        """Returns a Config that a test runs in seconds."""
        return cls(
            model="lenet",
            dataset="digits",
            replicates=1,
            rewind_iterations=(8,),
            training_iterations=24,
            evaluation_examples=100,
            levels=("1-2",),
            baselines=(RANDOM_PRUNING,),
        )

    def searches(self) -> Sequence[Search]:
        """Returns how tickets are found, in the order in which figures show them."""
        raise NotImplementedError

    def search(self, name: str, **changes: object) -> Search:
        """Returns a search with the options of the command, but for changes."""
        names = (field.name for field in dataclasses.fields(PruningConfig))
        given = {name: getattr(self, name) for name in names}
        # A search is of the same variant, which is the paper's.
        variant, _ = self.recipe()
        return Search(name, PruningConfig(**(given | {"variant": variant} | changes)))

    def own_search(self) -> Search:
        """Returns the search on what tickets are judged by: the command's own task."""
        return self.search(self.task)

    def searches_on_parts(self, texts: Sequence[str]) -> list[Search]:
        """Returns a search on each part of the data; one that is the whole is none."""
        parts = [str(part) for part in map(subsets.parse, texts) if part]
        return [self.search(part, subset=part) for part in parts]

    def related(self) -> dict[str, PruningConfig]:
        """Returns the searches that are not on the command's own task and data."""
        own = self.own_search().config
        others = (one for one in self.searches() if one.config != own)
        return {one.key: one.config for one in others}

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        if self.subset is not None:
            raise ValueError(
                f"--subset={self.subset!r} is the part that tickets are judged on, "
                f"which is all data here. {self.SUBSET_REMEDY}"
            )
        shared.refuse_carried(self)
        super().validate()
        for one in self.searches():
            one.config.validate()
        if self.baselines:
            known = [kind for kind in sparse_kinds() if kind != IMP]
            shared.validate_names("baselines", self.baselines, known=known)

    def row_decisions(self, study: Study) -> dict[str, object]:
        """Returns what decides a row beyond its run and its columns.

        What a search has of its own is the column ticket_config, so that networks which
        several commands share are the same rows in all of them.
        """
        decided = super().row_decisions(study)
        # A column tells it.
        decided.pop("first_convolutions", None)
        return decided

    def resolved_values(self, study: Study) -> dict[str, object]:
        """Returns options in one form, and what tickets were found with instead."""
        return super().resolved_values(study) | _recipes_of_searches(study)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TasksConfig(TicketConfig):
    """The options of experiments whose tickets are found on several tasks."""

    ticket_tasks: tuple[str, ...] = option(
        (LABELS, "rotation"), "tasks on which tickets are found: labels, or pretexts"
    )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        shared.validate_names("ticket_tasks", self.ticket_tasks, example=LABELS)
        for task in self.ticket_tasks:
            if task in PRETEXTS and PRETEXTS[task]["unlabeled"]:
                raise ValueError(
                    f"--ticket_tasks names {task!r}, which learns from images with "
                    "labels and without. Its tickets are those of the experiment "
                    "semi_supervised, whose --labeled says which part has labels."
                )
        super().validate()

    def searches(self) -> Sequence[Search]:
        """Returns a search on each of the tasks."""
        return [self.search(task, task=task) for task in self.ticket_tasks]


def validate_parts(name: str, given: Sequence[str]) -> None:
    """Raises ValueError unless an option names parts of the data, and none twice."""
    parts = [str(subsets.parse(part)) for part in given]
    shared.validate_names(name, parts, example="images:0.1")


def _recipes_of_searches(study: Study) -> dict[str, dict[str, object]]:
    """Returns, by search, what its recipe has of its own.

    As `ticket_recipes`; {} where all are the recipe of the command itself. An option
    that says of that what it says anyway changes the tickets of others.
    """
    own = recipes.plain_values(study.recipe)
    searches = {one.key for one in study.config.searches()}
    unlike = {
        key: {
            field: value
            for field, value in recipes.plain_values(finder.recipe).items()
            if value != own[field]
        }
        for key, finder in study.related.items()
        if key in searches
    }
    unlike = {key: values for key, values in unlike.items() if values}
    return {"ticket_recipes": unlike} if unlike else {}
