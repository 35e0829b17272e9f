"""Which options of a command are not those of the recipe that it names.

Its config.json says: what a claim is about that a paper makes of the recipe, and what a
command takes besides to supply more rows of the same.
"""

import dataclasses
import json
from collections.abc import Mapping

from tflottery.core import recipes
from tflottery.core.recipes import LABELS, Recipe, Setting
from tflottery.core.registry import MODELS

# What the papers say of a training beyond its length, and what they measured all of.
_PUBLISHED = ("optimizer", "learning_rate", "batch_size", "momentum", "weight_decay")
_PUBLISHED += ("milestones", "decay_factor", "final_learning_rate", "warmup")
_PUBLISHED += ("augmentation", "kernel_initializer", "batch_norm_scale")
_PUBLISHED += ("input_scaling", "pruning_fraction", "one_shot", "schedule")
_MEASURED = ("evaluation_examples", "subset", "shaped_like", "first_convolutions")
_MEASURED += ("precision",)
# What they leave to the reader: another reading is no other setting.
_SILENT = ("random_counts", "first_pruning")
# What a recipe may leave to the data set.
_LEFT_OPEN = ("augmentation", "input_scaling")
# What a command had that does not say it, being older than the option.
_BEFORE_OPTIONS = {"batch_norm_scale": "ones"}
# What is told where no config.json says anything.
UNKNOWN = "recipe, as far as is known: no config.json says what was trained"


@dataclasses.dataclass(frozen=True)
class Changes:
    """How a command departs from the recipe that it names.

    Attributes:
      names: of the options that the paper says, or that measure a part only.
      flags: what a command takes to do the same, "--name=value" with spaces between.
    """

    names: tuple[str, ...] = ()
    flags: str = ""


def of(said: Mapping[str, object], *, variant: str, config: str) -> Changes:
    """Returns how a command departs from the recipe that it names.

    Of a network without a recipe here that is not known: no changes.

    Args:
      said: what its config.json says; of one network, or of several.
      variant: of the rows that are asked about.
      config: likewise.
    """
    options, used, data = _parts(said, variant=variant, config=config)
    if not used:
        return Changes((UNKNOWN,))
    recipe = _recipe(options, used, data)
    found = {name: options[name] for name in _MEASURED if options.get(name) is not None}
    silent: dict[str, object] = {}
    if options.get("optimizer_state", "fresh") != "fresh":
        silent["optimizer_state"] = options["optimizer_state"]
    if options.get("splits") == ["test"]:
        # Rows of both splits are of another `config`.
        silent["splits"] = options["splits"]
    if recipe is not None:
        own = json.loads(json.dumps(recipes.plain_values(recipe)))
        found |= _differing(_PUBLISHED, _BEFORE_OPTIONS | used, own)
        silent |= _differing(_SILENT, used, own)
    flags = [f"--{name}={_text(value)}" for name, value in (found | silent).items()]
    order = (*_PUBLISHED, *_MEASURED)
    return Changes(tuple(sorted(found, key=order.index)), " ".join(flags))


def _differing(
    names: tuple[str, ...], used: Mapping[str, object], own: Mapping[str, object]
) -> dict[str, object]:
    """Returns the values that were used and are not those of a recipe, by name."""
    return {
        name: used[name]
        for name in names
        if name in used
        and used[name] != own[name]
        and not (name in _LEFT_OPEN and None in (used[name], own[name]))
    }


def _parts(
    said: Mapping[str, object], *, variant: str, config: str
) -> tuple[Mapping, Mapping, Mapping]:
    """Returns the decisions, recipe and data of one network of a command."""
    parts = (said.get(part) for part in ("decisions", "recipe", "data"))
    decisions, used, data = (one if isinstance(one, dict) else {} for one in parts)
    if "model" in decisions:
        return decisions, used, data
    # Of several networks each has a name.
    for name, own in decisions.items():
        if not isinstance(own, dict):
            continue
        if (own.get("variant"), own.get("config")) == (variant, config):
            return own, used.get(name, {}), data.get(name, {})
    return {}, {}, {}


def _recipe(
    options: Mapping[str, object],
    used: Mapping[str, object],
    data: Mapping[str, object],
) -> Recipe | None:
    """Returns the recipe that a command names, of its length; None if not known."""
    model, variant = options["model"], options.get("variant")
    is_known = isinstance(model, str) and model in MODELS
    known = MODELS[model]["recipes"] if is_known else {}
    # Of a data set that is not told a recipe is what it is of any other.
    dataset, task = options.get("dataset") or "any", options.get("task", LABELS)
    try:
        shape = options.get("shaped_like")
        setting = Setting(dataset, task, options.get("subset"), shape)
        _, recipe = recipes.recipe_of(
            known, model=model, variant=variant, setting=setting
        )
    except (ValueError, StopIteration):
        return None
    if not data.get("num_train") or "training_iterations" not in used:
        return recipe
    # Epochs are those of the batch that was used.
    batch_size = used.get("batch_size", recipe.batch_size)
    parts = dataclasses.replace(recipe, batch_size=batch_size, replica_batch_size=None)
    whole = recipes.resolved(parts, num_examples=data["num_train"])
    whole = recipes.with_length(whole, used["training_iterations"])
    return dataclasses.replace(recipe, milestones=whole.milestones, warmup=whole.warmup)


def _text(value: object) -> str:
    """Returns a value as the flag of an option has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
