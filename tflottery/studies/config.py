"""What every experiment can be told: the fields of its Config become its flags."""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence

from tflottery.components.measuring import SPLITS
from tflottery.core import durations, recipes
from tflottery.core.durations import Duration
from tflottery.core.initializers import KERNEL_INITIALIZERS
from tflottery.core.recipes import AUGMENTATIONS, LABELS, Recipe, Setting
from tflottery.core.registry import MODELS, PRETEXTS
from tflottery.studies import row_columns, schedule_options
from tflottery.training import precisions

if typing.TYPE_CHECKING:
    from tflottery.studies.study import Study

# Replicates, or copies of each: with more a plan would take longer than it may.
MOST_REPETITIONS = 1000


def option(default: object, help_: str, *, group: str | None = None) -> object:
    """Returns a Config field with a default and the help text of its flag.

    Args:
      default: of the field and of the flag.
      help_: what --help says of it.
      group: under which heading; None: that of the class, its `GROUP`.
    """
    metadata = {"help": help_} | ({"group": group} if group else {})
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The options that all experiments share and that decide results.

    None means: the model's recipe for the variant and dataset decides.

    Attributes:
      GROUP: heading of these options in --help.
      PREFERRED_VARIANT: of the experiment's paper, where the model has it and the user
        names none; None: the model's first.
      REWINDS: whether training goes on from iterations k; without, they decide nothing.
    """

    GROUP: typing.ClassVar[str] = "What is trained"
    PREFERRED_VARIANT: typing.ClassVar[str | None] = None
    REWINDS: typing.ClassVar[bool] = True

    model: str = option("lenet", "network to train")
    stem: str | None = option(
        None, "of resnet18: imagenet (7x7 and a pool) or cifar (3x3); None: imagenet"
    )
    variant: str | None = option(
        None,
        "recipe: of a paper standard, low, warmup, early_phase, limited_supervision; "
        "laptop; None: that of the experiment's paper, else the model's first",
    )
    dataset: str | None = option(
        None,
        "data set: a name, npz:FILE or folder:FOLDER; None: the one of the model's "
        "paper",
    )
    task: str = option(
        LABELS, "what is learned: labels, or a pretext task such as rotation"
    )
    subset: str | None = option(
        None,
        "part of the data set: images:0.1, a tenth of the images of every class, or "
        "classes:0.3, three tenths of the classes; None: all",
    )
    shaped_like: str | None = option(
        None,
        "another data set, to whose size and channels images are brought; None: they "
        "are as they are",
    )
    replicates: int | None = option(
        None,
        "independent repetitions, each from its own weights; None: the paper's",
    )
    rewind_iterations: tuple[Duration, ...] | None = option(
        None, "iterations k to part at or rewind to: 0,100,4ep,5%; None: the paper's"
    )
    training_iterations: Duration | None = option(
        None,
        "length of training, also as 10% of the recipe's; milestones, warmup scale "
        "with it; None: the recipe's",
    )
    batch_size: int | None = option(None, "global batch size; None: the recipe's")
    replica_batch_size: int | None = option(
        None,
        "images of each part of a batch, which batch norm sees by itself, on however "
        "many devices; None: the recipe's, else one part on each device",
    )
    optimizer: str | None = option(None, "sgd or adam; None: the recipe's")
    learning_rate: float | None = option(None, "None: the recipe's")
    momentum: float | None = option(None, "of sgd; None: the recipe's")
    weight_decay: float | None = option(
        None, "factor of the L2 term in the gradient; None: the recipe's"
    )
    milestones: tuple[Duration, ...] | None = option(
        None, "when the learning rate drops; None: the recipe's"
    )
    decay_factor: float | None = option(
        None, "by which it drops at each milestone; None: the recipe's"
    )
    final_learning_rate: float | None = option(
        None, "to which the learning rate falls linearly; None: the recipe's, if any"
    )
    warmup: Duration | None = option(
        None, "how long the learning rate rises from zero; None: the recipe's"
    )
    augmentation: str | None = option(
        None, f"{', '.join(AUGMENTATIONS)}; None: the recipe's, else the data set's"
    )
    input_scaling: str | None = option(
        None,
        "images in [0, 1]: unit_interval; or with mean 0 and deviation 1 per channel: "
        "standardized; None: the recipe's, else the data set's",
    )
    kernel_initializer: str | None = option(
        None, f"of kernels: {', '.join(KERNEL_INITIALIZERS)}; None: the recipe's"
    )
    batch_norm_scale: str | None = option(
        None,
        "initial scale of batch norm: ones, or uniform in [0, 1); None: the recipe's",
    )
    precision: str | None = option(
        None,
        f"of training's arithmetic: {' or '.join(precisions.PRECISIONS)}; weights and "
        "all that is measured are float32; None: the network's own, float32",
    )
    optimizer_state: str = option(
        "fresh", "optimizer slots of a copy at its k: fresh, or carried from the trunk"
    )
    evaluation_examples: int | None = option(
        None,
        "images measured of each split, a fixed random choice; None: all",
        group="Measuring",
    )
    splits: tuple[str, ...] | None = option(
        None,
        "splits measured: train, test or both; columns of another stay empty; None: "
        "both",
        group="Measuring",
    )

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        validate_count("replicates", self.replicates, most=MOST_REPETITIONS)
        for name in ("batch_size", "replica_batch_size", "evaluation_examples"):
            validate_count(name, getattr(self, name))
        # What replaces values of the recipe.
        given = self.recipe_values()
        if self.milestones is not None:
            given["milestones"] = self.milestones
        # Recipes check the bounds of what replaces their values.
        trained = [one.recipe()[1] for one in self.related().values()]
        _, recipe = self.recipe()
        try:
            trained = [
                recipes.replaced(self.with_batch_sizes(one), **given)
                for one in (*trained, recipe)
            ]
        except ValueError as error:
            raise ValueError(f"--{error}") from error
        if not self.measured_splits() or set(self.splits or ()) - set(SPLITS):
            raise ValueError(
                f"--splits={','.join(self.splits)!r} has to name {' or '.join(SPLITS)} "
                "or both."
            )
        if self.rewind_iterations == ():
            raise ValueError(
                "--rewind_iterations is empty: name at least one k, such as 0."
            )
        for name in ("training_iterations", "milestones", "warmup"):
            validate_durations(name, getattr(self, name))
        self.validate_iterations("rewind_iterations")
        last = self.known_length()
        schedule_options.validate_milestones(self.milestones, last=last)
        schedule_options.validate_warmup(self.warmup, last=last)
        schedule_options.validate_decay_factor(
            self.decay_factor, milestones=[one.milestones for one in trained]
        )
        optimizer = self.optimizer or recipe.optimizer
        schedule_options.validate_momentum(self.momentum, optimizer=optimizer)
        if self.precision is not None:
            _validate_one_of("precision", self.precision, precisions.PRECISIONS)
        _validate_one_of("optimizer_state", self.optimizer_state, ("fresh", "carried"))

    def validate_iterations(self, *names: str) -> None:
        """Raises ValueError if options name no durations, or times beyond the end."""
        for name in names:
            given = getattr(self, name)
            validate_durations(name, given)
            several = given if isinstance(given, tuple) else (given,)
            schedule_options.validate_within(name, several, last=self.known_length())

    def named(self) -> "Config":
        """Returns the Config with the model that --stem chooses, and no stem.

        Raises:
          ValueError: the model has no such stem.
        """
        if self.stem is None:
            return self
        _validate_one_of("stem", self.stem, ("imagenet", "cifar"))
        model = self.model if self.stem == "imagenet" else f"{self.model}_cifar_stem"
        if f"{self.model}_cifar_stem" not in MODELS:
            raise ValueError(
                f"Model {self.model!r} comes with one stem. Leave out --stem="
                f"{self.stem!r}, or take --model=resnet18."
            )
        return dataclasses.replace(self, model=model, stem=None)

    @property
    def setting(self) -> Setting:
        """What is learned, on the data set named or that of the model's paper."""
        usual = MODELS[self.model]["dataset"]
        dataset = usual if self.dataset is None else self.dataset
        return Setting(dataset, self.task, self.subset, self.shaped_like)

    def recipe(self) -> tuple[str, Recipe]:
        """Returns the name and the recipe of the variant, as the paper has it.

        Raises:
          ValueError: there is no such task, or the model has no such variant.
        """
        if self.task != LABELS and self.task not in PRETEXTS:
            tasks = ", ".join((LABELS, *PRETEXTS.names()))
            raise ValueError(f"There is no task {self.task!r}. Known: {tasks}.")
        known = MODELS[self.model]["recipes"]
        preferred = self.PREFERRED_VARIANT
        variant = self.variant or (preferred if preferred in known else None)
        return recipes.recipe_of(
            known, model=self.model, variant=variant, setting=self.setting
        )

    def known_length(self) -> int | None:
        """Returns the iteration at which training ends, None where the data decide."""
        _, recipe = self.recipe()
        return schedule_options.known_length(
            recipe, dataset=self.setting.dataset, given=self.training_iterations
        )

    def with_batch_sizes(self, recipe: Recipe) -> Recipe:
        """Returns a recipe with the batch that the options ask for, and its parts.

        The parts that a recipe has are those of its own batch.
        """
        values = self._given(("batch_size", "replica_batch_size"))
        if values.get("batch_size", recipe.batch_size) != recipe.batch_size:
            values = {"replica_batch_size": None} | values
        return dataclasses.replace(recipe, **values)

    def paper_iterations(self, recipe: Recipe) -> tuple[Duration, ...]:
        """Returns the k that the experiment's paper studies under a recipe."""
        return recipe.pruning.rewind_iterations

    def related(self) -> Mapping[str, "Config"]:
        """Returns Configs of what takes part too, by a name: other tasks or data sets.

        They have the model and the command in common; none has related ones.
        """
        return {}

    def usual_splits(self) -> tuple[str, ...]:
        """Returns the splits measured where the user names none."""
        return SPLITS

    def measured_splits(self) -> tuple[str, ...]:
        """Returns the splits measured, in the order of `SPLITS`."""
        asked = self.usual_splits() if self.splits is None else self.splits
        return tuple(split for split in SPLITS if split in asked)

    def row_decisions(self, study: "Study") -> dict[str, object]:
        """Returns what decides a row beyond its run and its columns.

        Args:
          study: of this Config; options that say what its recipe says are left out.
        """
        return {
            "evaluation_examples": study.evaluation_examples,
            "splits": self.measured_splits(),
        }

    def recipe_values(self) -> dict[str, object]:
        """Returns the options that replace a recipe's values as they are."""
        names = ("optimizer", "learning_rate", "momentum", "weight_decay")
        names += ("decay_factor", "final_learning_rate", "augmentation", "replicates")
        names += ("input_scaling", "kernel_initializer", "batch_norm_scale")
        return self._given(names)

    def resolved_values(self, study: "Study") -> dict[str, object]:
        """Returns options that can be said in several ways, each in one form.

        Args:
          study: of this Config.
        """
        return {
            "evaluation_examples": study.evaluation_examples,
            "splits": self.measured_splits(),
        }

    def _given(self, names: Sequence[str]) -> dict[str, object]:
        """Returns those of the options that do not leave it to the recipe."""
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


def listed(text: str) -> list[str]:
    """Returns the names in a list with commas, each once."""
    names = (name.strip() for name in text.split(","))
    return list(dict.fromkeys(name for name in names if name))


def validate_count(name: str, value: int | None, *, most: int | None = None) -> None:
    """Raises ValueError if an option that counts something is below 1, or too many."""
    if value is not None and value < 1:
        raise ValueError(f"--{name}={value!r} has to be at least 1.")
    if value is not None and most is not None and value > most:
        raise ValueError(f"--{name}={value!r} has to be at most {most:,}.")


def validate_durations(name: str, given: Duration | Sequence[Duration] | None) -> None:
    """Raises ValueError if an option names what is no duration; None is nothing."""
    for one in given if isinstance(given, tuple) else (given,):
        try:
            if one is not None:
                durations.validate(one)
        except ValueError as error:
            raise ValueError(f"--{name}: {error}") from error


def validate_names(
    name: str,
    given: Sequence[str],
    *,
    known: Sequence[str] | None = None,
    example: str | None = None,
) -> None:
    """Raises ValueError unless an option names something, known, and nothing twice.

    Args:
      name: of the option.
      given: what it names.
      known: all that it may name; None: that is seen elsewhere.
      example: of what it may name, where `known` does not say.
    """
    text = f"--{name}={','.join(given)!r}"
    if known is not None and not (given and set(given) <= set(known)):
        raise ValueError(f"{text} has to name some of {', '.join(known)}.")
    if not given:
        raise ValueError(f"--{name} is empty: name at least one, such as {example}.")
    twice = [one for one in dict.fromkeys(given) if list(given).count(one) > 1]
    if twice:
        raise ValueError(f"{text} names {', '.join(twice)} twice.")


def refuse_carried(config: Config) -> None:
    """Raises ValueError if optimizer slots are to go with weights that they do not fit.

    Slots of the trunk say nothing of weights that were changed or trained elsewhere;
    the tickets these are compared with have to begin as they do.
    """
    if config.optimizer_state == "carried":
        raise ValueError(
            "--optimizer_state='carried' does not suit changed or pre-trained weights, "
            "which begin with fresh slots. Leave it out."
        )


def _validate_one_of(name: str, value: object, allowed: tuple) -> None:
    """Raises ValueError if an option has a value that it does not take."""
    if value not in allowed:
        known = ", ".join(allowed)
        raise ValueError(f"--{name}={value!r} is not known. Known: {known}.")


def members_of(module: types.ModuleType, config: Config) -> list[Config]:
    """Returns the Configs of an experiment's studies, each with its model's name.

    Args:
      module: the experiment.
      config: as it is asked for, of one study or of several.
    """
    members = module.members(config) if hasattr(module, "members") else (config,)
    return [one.named() for one in members]


def validated_members(module: types.ModuleType, config: Config) -> list[Config]:
    """As `members_of`; raises ValueError for what makes no sense in options or rows."""
    row_columns.refuse_unknown(module)
    found = members_of(module, config)
    for one in found:
        one.validate()
    return found
