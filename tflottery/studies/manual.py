"""What --help prints: the question, the options by group, the models and a recipe."""

import contextlib
import dataclasses
import itertools
import textwrap
import types
from collections.abc import Iterator, Sequence

from tflottery.core import command_line, registry
from tflottery.core.recipes import (
    LABELS,
    Recipe,
    Setting,
    plain_values,
    recipe_of,
)
from tflottery.core.registry import MODELS

_WIDTH = 88
_OWN_GROUP = "This experiment"


def text(module: types.ModuleType, machine: type, arguments: Sequence[str]) -> str:
    """Returns the manual of an experiment.

    Args:
      module: the experiment.
      machine: the dataclass of options that decide no results.
      arguments: the command line; a model named there has its recipe shown.
    """
    plugins = _given(arguments).get("plugins")
    names = plugins.split(",") if plugins else ()
    registry.load_plugins(names, named_by="--plugins")
    parts = [module.__doc__.strip()]
    for group, lines in _groups(module.Config, machine).items():
        parts.append("\n".join([f"{group}:", *lines]))
    parts.append(_paragraph("Models:", ", ".join(MODELS.names())))
    recipe = _recipe(module.Config, arguments)
    return "\n\n".join([*parts, *([recipe] if recipe else [])])


def _groups(*kinds: type) -> dict[str, list[str]]:
    """Returns the lines on each option, by heading."""
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        for field in dataclasses.fields(kind):
            group = _group(kind, field.name)
            groups.setdefault(group, []).extend(_option(field))
    return groups


def _group(kind: type, name: str) -> str:
    """Returns the heading of a field: its own, or that of the class that defines it."""
    owner = next(one for one in reversed(kind.__mro__) if name in _fields(one))
    [field] = [one for one in dataclasses.fields(owner) if one.name == name]
    return field.metadata.get("group") or vars(owner).get("GROUP", _OWN_GROUP)


def _fields(kind: type) -> dict[str, object]:
    """Returns the annotations of a class itself."""
    return vars(kind).get("__annotations__", {})


def _option(field: dataclasses.Field) -> list[str]:
    """Returns the lines on an option."""
    switch = field.type in (bool, bool | None)
    help_ = field.metadata["help"]
    return command_line.described(field.name, help_, field.default, switch=switch)


def _recipe(config: type, arguments: Sequence[str]) -> str:
    """Returns the recipe of the model named, else of the default one; "" of a list."""
    given = _given(arguments)
    model = given.get("model") or config.model
    if "," in model:
        return ""
    if model not in MODELS:
        return f"There is no model {model!r}, whose recipe would stand here."
    recipes = MODELS[model]["recipes"]
    preferred = config.PREFERRED_VARIANT
    variant = given.get("variant") or (preferred if preferred in recipes else None)
    usual = MODELS[model]["dataset"]
    setting = Setting(given.get("dataset") or usual, given.get("task") or LABELS)
    with contextlib.suppress(ValueError):
        setting = dataclasses.replace(setting, subset=given.get("subset"))
    heading = f"Recipe of {model} (variants {', '.join(recipes)}; data set {usual})"
    try:
        name, recipe = recipe_of(recipes, model=model, variant=variant, setting=setting)
    except ValueError as error:
        # The manual says what an experiment is refused for.
        return _paragraph(f"{heading}:", str(error))
    return _paragraph(f"{heading}, {name}:", ", ".join(_values(recipe)))


def _given(arguments: Sequence[str]) -> dict[str, str]:
    """Returns the flags of a command line as texts, by name."""
    found = {}
    for one, after in itertools.pairwise([*arguments[1:], ""]):
        name, equals, value = one.removeprefix("--").partition("=")
        # Also as --model lenet.
        found[name] = value if equals or after.startswith("--") else after
    return found


def _values(recipe: Recipe) -> Iterator[str]:
    """Yields each value of a recipe as name=value, as one types it."""
    for name, value in plain_values(recipe).items():
        # No milestones say something; an empty grid leaves it to another value.
        if value is None or (value == () and name != "milestones"):
            continue
        if isinstance(value, tuple | list):
            value = ",".join(map(str, value)) or "none"
        yield f"{name}={value}"


def _paragraph(heading: str, words: str) -> str:
    """Returns words below a heading."""
    lines = textwrap.wrap(
        words,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([heading, *lines])
