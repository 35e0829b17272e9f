"""A study: a Config resolved against facts, and the runs every experiment is made of.

Recipes, overrides and durations meet here, so that an experiment only says which of
the runs it wants.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from tflottery.components import measuring
from tflottery.components.accuracies import Accuracy
from tflottery.components.component import Artifact
from tflottery.components.gradual_pruning import GradualPruning
from tflottery.components.metadata import Facts
from tflottery.components.runs import Initialization, Run, State
from tflottery.core import fingerprints, recipes, seeds
from tflottery.core.durations import Duration
from tflottery.core.identities import Data
from tflottery.core.initializers import Initializers
from tflottery.core.recipes import LABELS, Recipe, Setting
from tflottery.core.registry import PRETEXTS
from tflottery.datasets import own_arrays
from tflottery.studies import batch_sizes, resolved_options, schedule_options
from tflottery.studies.config import Config
from tflottery.training import precisions
from tflottery.training.distribution import Placement


@dataclasses.dataclass(frozen=True)
class Study:
    """A Config with every default resolved.

    Attributes:
      config: as the user gave it.
      variant: name of the recipe.
      recipe: in iterations, with all overrides.
      rewind_iterations: the k to study, ascending.
      facts: of the network and the data.
      placement: where training takes place.
      related: the studies of `Config.related`, by their names.
    """

    config: Config
    variant: str
    recipe: Recipe
    rewind_iterations: tuple[int, ...]
    facts: Facts
    placement: Placement
    related: Mapping[str, "Study"] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def config_hash(self) -> str:
        """Short hash of all that decides a row beyond its own columns.

        Grids and counts are not in it: rows of several commands that differ in them
        alone belong together.
        """
        facts = self.facts
        decided = {
            "recipe": recipes.trajectory(self.recipe),
            "length": self.last,
            "network": facts.network,
            "data": facts.data,
            "optimizer_state": self._optimizer_state,
            "device": self.placement.device,
            "num_replicas": self.num_replicas,
        }
        # Where it was asked for; else the network's fingerprint has it.
        if self.config.precision == precisions.MIXED_BFLOAT16:
            decided["precision"] = facts.precision
        if self.placement.threads > 1:
            decided["threads"] = self.placement.threads
        drawn = fingerprints.fields(self.initialization(0))
        decided |= {name: value for name, value in drawn.items() if name != "seed"}
        decided |= self.config.row_decisions(self)
        return fingerprints.fingerprint(decided, length=8)

    def decisions(self) -> dict[str, object]:
        """Returns every option that decides results, in plain values, resolved."""
        decided = dataclasses.asdict(self.config)
        # By now it is part of the model's name.
        del decided["stem"]
        decided |= {
            name: value
            for name, value in recipes.plain_values(self.recipe).items()
            if name in decided
        }
        # They came later, and folders are named after all that is decided.
        if decided["replica_batch_size"] is None:
            del decided["replica_batch_size"]
        if decided["precision"] != precisions.MIXED_BFLOAT16:
            del decided["precision"]
        if self.placement.threads > 1:
            decided["threads"] = self.placement.threads
        decided |= {
            "variant": self.variant,
            "dataset": self.facts.data.name,
            "subset": self.facts.data.subset,
            "rewind_iterations": self.rewind_iterations,
            "config": self.config_hash,
        }
        if not self.config.REWINDS:
            del decided["rewind_iterations"], decided["optimizer_state"]
        return decided | self.config.resolved_values(self)

    @property
    def evaluation_examples(self) -> int | None:
        """Images measured of each split; None where that is all of them."""
        limit = self.config.evaluation_examples
        largest = max(measuring.sizes(self.facts.data, self.config.measured_splits()))
        return None if limit is None or limit >= largest else limit

    def accuracy(self, state: State | GradualPruning) -> Accuracy:
        """Returns what measures a trained network."""
        splits = self.config.measured_splits()
        return Accuracy(state, self.evaluation_examples, splits)

    @property
    def name(self) -> str:
        """A name for folders, unlike that of any other configuration."""
        data_name = own_arrays.short_name(self.facts.data.name)
        parts = [self.config.model, data_name, self.variant]
        if self.config.task != LABELS:
            parts.insert(2, self.config.task)
        if self.facts.data.subset is not None:
            parts.insert(2, self.facts.data.subset.replace(":", "-"))
        return "-".join((*parts, fingerprints.fingerprint(self.decisions(), length=8)))

    @property
    def title(self) -> str:
        """A line for people."""
        title = (
            f"{self.config.model} on {self.learned}, {self.variant} recipe, "
            f"{self.last:,} iterations"
        )
        if not self.config.REWINDS:
            return title
        title += f", k = {', '.join(map(str, self.rewind_iterations))}"
        return title + self.left_out

    @property
    def left_out(self) -> str:
        """For people, which k of the recipe are not studied; empty where all are."""
        beyond = [k for k in self.paper_iterations if k >= self.last]
        if self.config.rewind_iterations is not None or not beyond:
            return ""
        return f" (the recipe's {', '.join(map(str, beyond))}: beyond the end)"

    @property
    def learned(self) -> str:
        """What is learned, for people: of which data, and by which task."""
        data = self.facts.data
        learned = data.name if data.subset is None else f"{data.subset} of {data.name}"
        return (
            learned if self.config.task == LABELS else f"{learned}, {self.config.task}"
        )

    @property
    def paper_iterations(self) -> tuple[int, ...]:
        """The k that the experiment's paper studies, beyond the end too."""
        given = self.config.paper_iterations(self.recipe)
        return resolved_options.in_iterations(given, self.recipe, self.facts)

    @property
    def last(self) -> int:
        """The iteration at which training ends."""
        return self.recipe.training_iterations

    @property
    def num_replicas(self) -> int:
        """Parts of a batch: those of the recipe, or one on each device."""
        size = self.recipe.replica_batch_size
        return self.recipe.batch_size // size if size else self.facts.num_devices

    @property
    def replicates(self) -> range:
        """The numbers of the replicates."""
        return range(1, self.recipe.replicates + 1)

    def iterations(self, duration: Duration) -> int:
        """Returns a duration in iterations of this study."""
        (iterations,) = resolved_options.in_iterations(
            (duration,), self.recipe, self.facts
        )
        return iterations

    def grid(self, name: str, given: Sequence[Duration]) -> tuple[int, ...]:
        """Returns the iterations that an option names, ascending, each once.

        Args:
          name: of the option.
          given: its durations.

        Raises:
          ValueError: one is beyond the end of training.
        """
        iterations = resolved_options.in_iterations(given, self.recipe, self.facts)
        schedule_options.refuse_beyond(
            name, iterations, last=self.last, learned=self.learned
        )
        return tuple(sorted(set(iterations)))

    def columns(self) -> dict[str, object]:
        """Returns the columns that all rows of all tables share."""
        return {
            "model": self.config.model,
            "variant": self.variant,
            "dataset": self.facts.data.name,
            "task": self.config.task,
            "training_iterations": self.last,
            "config": self.config_hash,
            "precision": self.facts.precision,
        }

    def data(self, replicate: int) -> Data:
        """Returns what a replicate trains on; a seeded pretext is its own."""
        data = self.facts.data
        if data.pretext is None or not PRETEXTS[data.pretext]["seeded"]:
            return data
        seed = seeds.pretext_seed(replicate, pretext=data.pretext)
        return dataclasses.replace(data, pretext_seed=seed)

    @property
    def initializers(self) -> Initializers:
        """What fresh weights are drawn from."""
        return Initializers(
            self.recipe.kernel_initializer, self.recipe.batch_norm_scale
        )

    def initialization(self, seed: int) -> Initialization:
        """Returns weights drawn afresh as the recipe says, of a seed."""
        return Initialization(seed, self.initializers)

    def trunk(self, replicate: int) -> Run:
        """Returns a replicate's dense run from its initial weights, data order 0."""
        if replicate not in self._trunks:
            self._trunks[replicate] = self.branch(
                self.initialization(seeds.init_seed(replicate)),
                rewind_iteration=0,
                replicate=replicate,
                data_order=0,
            )
        return self._trunks[replicate]

    @functools.cached_property
    def _trunks(self) -> dict[int, Run]:
        """The trunks asked for so far: everything comes from them, over and over."""
        return {}

    def trunk_state(self, replicate: int, iteration: int) -> State:
        """Returns the trunk at an iteration; it is kept so that others start there."""
        return State(self.trunk(replicate), iteration, keeps_slots=True)

    def branch(
        self,
        initial: Initialization | Artifact,
        *,
        rewind_iteration: int,
        replicate: int,
        data_order: int,
        level: int = 0,
        mask: Artifact | None = None,
        recipe: Recipe | None = None,
    ) -> Run:
        """Returns a run under a recipe, on a data order of its own.

        From k it goes on with schedule and data order there, or begins both anew, as
        the recipe says; its iterations count from where it is on them.

        Args:
          initial: the weights it begins from.
          rewind_iteration: k, to whose weights it was set.
          replicate: whose order it is.
          data_order: 0 is the trunk's, copies are numbered from 1.
          level: prunings so far.
          mask: holds the masks; None is dense.
          recipe: how it trains; None: as the study says.
        """
        order = {"level": level, "data_order": data_order}
        goes_on = self.recipe.pruning.schedule == "continued"
        return Run(
            network=self.facts.network,
            data=self.data(replicate),
            recipe=recipe or self.recipe,
            initial=initial,
            mask=mask,
            data_order_seed=seeds.data_order_seed(replicate, **order),
            augmentation_seed=seeds.augmentation_seed(replicate, **order),
            dropout_seed=seeds.dropout_seed(replicate, **order),
            first_iteration=rewind_iteration if goes_on else 0,
            optimizer_state=self._optimizer_state,
            device=self.placement.device,
            num_replicas=self.num_replicas,
            precision=self.facts.precision,
            threads=self.placement.threads,
        )

    @property
    def _optimizer_state(self) -> str:
        """What copies begin with: nothing is carried where updates remember nothing."""
        carries = recipes.has_memory(self.recipe)
        return self.config.optimizer_state if carries else "fresh"


def resolve(
    config: Config,
    facts: Facts,
    placement: Placement,
    *,
    related: Mapping[str, Study] | None = None,
) -> Study:
    """Returns the study of a Config.

    Args:
      config: with the model's full name (`Config.named`).
      facts: of its network and data.
      placement: where training takes place.
      related: the studies of `Config.related`.

    Raises:
      ValueError: a k beyond the end of training, or each k that the paper studies; a
        batch that the replicas cannot share; an unknown variant.
    """
    variant, recipe = config.recipe()
    recipe = resolved_options.recipe_of(recipe, config, facts)
    facts = resolved_options.facts_of(facts, recipe, config)
    study = Study(config, variant, recipe, (), facts, placement, related or {})
    batch_sizes.validate(recipe.batch_size, facts, num_replicas=study.num_replicas)
    if config.rewind_iterations is not None:
        grid = study.grid("rewind_iterations", config.rewind_iterations)
    else:
        grid = [k for k in study.paper_iterations if k < study.last]
        if config.REWINDS:
            schedule_options.refuse_none_within(
                study.paper_iterations, last=study.last, learned=study.learned
            )
    return dataclasses.replace(study, rewind_iterations=tuple(sorted(set(grid))))


def study_of(
    config: Config,
    facts_of: Callable[[str, Setting], Facts],
    placement: Placement,
) -> Study:
    """Returns the study of a Config, with its related ones.

    Args:
      config: with the model's full name (`Config.named`).
      facts_of: a function of the name of a model and what it learns.
      placement: where training takes place.

    Raises:
      ValueError: as `resolve`.
    """
    facts = facts_of(config.model, config.setting)
    related = {
        name: study_of(one, facts_of, placement)
        for name, one in config.related().items()
    }
    return resolve(config, facts, placement, related=related)
