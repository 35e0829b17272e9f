"""The options of experiments on subnetworks: how they are pruned, and which."""

import dataclasses
import typing

from tflottery.core.durations import Duration
from tflottery.core.recipes import Recipe
from tflottery.pruning import counts
from tflottery.studies.config import Config, option, refuse_carried, validate_count

if typing.TYPE_CHECKING:
    from tflottery.studies.study import Study


@dataclasses.dataclass(frozen=True, kw_only=True)
class PruningConfig(Config):
    """The options of experiments on subnetworks."""

    GROUP: typing.ClassVar[str] = "Pruning"

    levels: tuple[str, ...] | None = option(
        None,
        "which levels, that is numbers of prunings: 3, 1-14, or 1-6,9-30:3; None: "
        "--density decides, else the recipe",
    )
    density: float | None = option(
        None, "kept fraction of prunable weights (nearest level); None: see --levels"
    )
    pruning_fraction: float | None = option(
        None,
        "fraction of the surviving weights that a pruning removes; None: the recipe's",
    )
    one_shot: bool | None = option(
        None, "prune the dense network to each level at once; None: the recipe's"
    )
    first_convolutions: int | None = option(
        None, "prune only the first n convolutions; None: all that the recipe prunes"
    )
    random_counts: str | None = option(
        None,
        "survivors of random pruning: global, or per_layer as many as IMP's in each; "
        "None: the recipe's",
    )
    schedule: str | None = option(
        None,
        "of what trains from weights at k: continued, from k on, or restarted, as long "
        "as if from the beginning; None: the recipe's",
    )
    first_pruning: str | None = option(
        None,
        "the dense network that is pruned first: trunk, trained without a break, or "
        "copy, which parts from it at k; None: the recipe's",
    )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        super().validate()
        _, recipe = self.recipe()
        schedule = self.schedule or recipe.pruning.schedule
        if schedule == "restarted" and self.optimizer_state == "carried":
            raise ValueError(
                "--optimizer_state='carried' goes with the schedule of the trunk, and "
                "--schedule='restarted' begins anew. Leave one of them out."
            )
        if self.levels is not None and self.density is not None:
            raise ValueError(
                f"--levels={','.join(self.levels)} and --density={self.density!r} say "
                "the same thing twice. Give one of them."
            )
        if self.levels is not None:
            counts.levels(self.levels)
        if self.density is not None and not 0 < self.density <= 1:
            raise ValueError(
                f"--density={self.density!r} has to be above 0 and at most 1; 3.5% is "
                "0.035."
            )
        validate_count("first_convolutions", self.first_convolutions)

    def row_decisions(self, study: "Study") -> dict[str, object]:
        """Returns what decides a row beyond its run and its columns."""
        _, recipe = self.recipe()
        usual = {
            "pruning_fraction": recipe.pruning.pruning_fraction,
            "one_shot": recipe.pruning.one_shot,
            "first_convolutions": None,
            "random_counts": recipe.pruning.random_counts,
            "schedule": recipe.pruning.schedule,
            "first_pruning": recipe.pruning.first_pruning,
        }
        given = self._given(tuple(usual))
        unusual = {name: value for name, value in given.items() if value != usual[name]}
        return super().row_decisions(study) | unusual

    def recipe_values(self) -> dict[str, object]:
        """Returns the options that replace a recipe's values as they are."""
        names = ("pruning_fraction", "one_shot", "random_counts", "schedule")
        names += ("first_pruning",)
        return super().recipe_values() | self._given(names)

    def resolved_values(self, study: "Study") -> dict[str, object]:
        """Returns options that can be said in several ways, each in one form."""
        levels = self.asked_levels(study.recipe)
        return super().resolved_values(study) | {"levels": levels, "density": None}

    def asked_levels(self, recipe: Recipe) -> tuple[int, ...] | None:
        """Returns the levels that --levels or --density names; None if none does."""
        if self.levels is not None:
            return counts.levels(self.levels)
        if self.density is None:
            return None
        fraction = recipe.pruning.pruning_fraction
        return (counts.level_of(self.density, pruning_fraction=fraction),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerturbedConfig(PruningConfig):
    """The options of experiments on perturbed tickets (EP, section 5)."""

    PREFERRED_VARIANT: typing.ClassVar[str | None] = "early_phase"

    model: str = option("resnet20", "network to train")

    def paper_iterations(self, recipe: Recipe) -> tuple[Duration, ...]:
        """Returns the k at which the paper perturbs; else all of the grid but 0."""
        pruning = recipe.pruning
        return pruning.perturbed_iterations or tuple(
            k for k in pruning.rewind_iterations if k != 0
        )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        super().validate()
        refuse_carried(self)
