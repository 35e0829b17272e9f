"""Registries: which models, datasets, pretexts, criteria and perturbations exist.

Adding one is adding one file: a registry imports every file of its package at the first
look-up, and each file registers its functions by name. A module outside the package
registers in the same way; it is named by --plugins (`load_plugins`), or its
distribution names it as an entry point of the group "tflottery.plugins".
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import os
import pkgutil
import traceback
from collections.abc import Callable, Mapping, Sequence

_ENTRY_POINTS = "tflottery.plugins"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered function and what was declared beside it.

    Attributes:
      name: the name users type.
      function: the registered function itself.
      attributes: what the registration declared, by name.
    """

    name: str
    function: Callable
    attributes: Mapping[str, object]

    def __getitem__(self, attribute: str) -> object:
        return self.attributes[attribute]


class Registry:
    """The functions of one package, by name."""

    def __init__(
        self,
        kind: str,
        package: str,
        *,
        attributes: tuple[str, ...] = (),
        defaults: Mapping[str, object] | None = None,
    ):
        """Args:
        kind: what is registered, in the singular, for error messages ("model").
        package: the package whose files register here ("tflottery.models").
        attributes: what every registration has to declare.
        defaults: what it may declare besides, and what holds where it does not.
        """
        self.kind = kind
        self._package = package
        self._required = frozenset(attributes)
        self._defaults = dict(defaults or {})
        self._entries: dict[str, Entry] = {}
        self._loaded = False

    def register(self, name: str, **attributes: object) -> Callable:
        """Returns a decorator that registers a function under `name`.

        Raises:
          ValueError: the name is taken, or the attributes are not those required.
        """
        missing = self._required - attributes.keys()
        unknown = attributes.keys() - self._required - self._defaults.keys()
        if missing or unknown:
            raise ValueError(
                f"{self.kind} {name!r} is registered with the wrong attributes: "
                f"missing {sorted(missing)}, unknown {sorted(unknown)}."
            )

        def decorator(function: Callable) -> Callable:
            if name in self._entries:
                first = origin(self._entries[name].function)
                raise ValueError(
                    f"{self.kind} {name!r} is registered twice: in {first} and in "
                    f"{origin(function)}. Rename one of them."
                )
            self._entries[name] = Entry(name, function, self._defaults | attributes)
            return function

        return decorator

    def __getitem__(self, name: str) -> Entry:
        """Returns the entry of that name; an unknown name lists the known ones."""
        self._load()
        if name not in self._entries:
            raise ValueError(
                f"There is no {self.kind} {name!r}. Known: {', '.join(self.names())}."
            )
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._entries

    def names(self) -> list[str]:
        """Returns the registered names, sorted."""
        self._load()
        return sorted(self._entries)

    def names_from(self, module: str) -> set[str]:
        """Returns the names that a module has registered by now."""
        entries = self._entries.items()
        return {name for name, one in entries if origin(one.function) == module}

    def _load(self) -> None:
        """Imports every file of the package; a broken one stops the program."""
        if self._loaded:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        self._loaded = True
        _load_entry_points()


def load_plugins(names: Sequence[str], *, named_by: str | None = None) -> None:
    """Imports modules outside the package, which register what they add.

    Args:
      names: of modules, as `import` takes them.
      named_by: the flag that names them, for messages; None: they are arguments.

    Raises:
      ValueError: there is no such module, or it fails; says where it is looked for, or
        in which line it fails.
    """
    for name in names:
        if name.endswith(".py") or "/" in name:
            module = name.rpartition("/")[2].removesuffix(".py")
            raise ValueError(
                f"{name!r} is a path, expected the name of a module, as `import` takes "
                f"it: {module}, in the folder of which the command is run."
            )
        there = f"{named_by} names {name!r}, and there" if named_by else "There"
        try:
            importlib.import_module(name)
        except Exception as error:
            lacking = getattr(error, "name", None)
            # What the module itself lacks is its own trouble, and told as such.
            if (
                isinstance(error, ModuleNotFoundError)
                and lacking is not None
                and f"{name}.".startswith(f"{lacking}.")
            ):
                raise ValueError(
                    f"{there} is no module {lacking!r}: run the command in its folder, "
                    "put that into PYTHONPATH, or install it."
                ) from error
            named = f"{named_by} names {name!r}, which" if named_by else f"{name!r}"
            raise ValueError(
                f"{named} cannot be imported:\n{_told_from_the_module(error)}"
            ) from error


def _told_from_the_module(error: Exception) -> str:
    """Returns an error with the lines that led to it, those of the import left out.

    A ValueError of this package says by itself what is wrong with what it was given.
    """
    package = os.path.dirname(os.path.dirname(__file__)) + os.sep
    skipped = ("<frozen ", __file__, importlib.__file__)
    if isinstance(error, ValueError):
        skipped += (package,)
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if not one.filename.startswith(skipped)]
    lines = [*traceback.format_list(own), *traceback.format_exception_only(error)]
    return "".join(lines).rstrip()


@functools.cache
def _load_entry_points() -> None:
    """Imports the modules that installed distributions name as plugins, once."""
    for point in importlib.metadata.entry_points(group=_ENTRY_POINTS):
        point.load()


def origin(function: Callable) -> str:
    """Returns the module a function, or the function inside a partial, comes from."""
    return getattr(function, "func", function).__module__


MODELS = Registry(
    "model",
    "tflottery.models",
    attributes=("recipes", "dataset", "minimum_image_size"),
    # Height and width of what it is shown of images that have many sizes.
    defaults={"image_size": 224},
)
# A data set's version changes whenever its images or labels do: a constant, or a
# function of `data_dir` that returns what it holds now, None where that is not known.
DATASETS = Registry(
    "dataset",
    "tflottery.datasets",
    attributes=("adapt_recipe", "version"),
    # Whether it is the same whatever size a model needs: then it is read once for all;
    # and whether its images stay in files, encoded, also where they have one size.
    defaults={"keeps_size": False, "stays_in_files": False},
)
PRETEXTS = Registry(
    "pretext",
    "tflottery.pretexts",
    attributes=("num_outputs", "version", "seeded"),
    # Labels as they are, and all that are trained on are seen; one view and
    # classification, as `training.tasks` has it.
    defaults={
        "relabel": None,
        "unlabeled": False,
        "smallest_batch": 1,
        "num_views": 1,
        "losses": None,
        "errors": None,
    },
)
PERTURBATIONS = Registry(
    "perturbation", "tflottery.perturbations", attributes=("version", "options")
)
# What the papers claim, as functions of tables (`tflottery.claims`).
CLAIMS = Registry(
    "claim",
    "tflottery.claims",
    attributes=("says", "source", "effect", "unit", "claimed", "table", "networks"),
    # How the paper puts it, if by a number; the command that measures it: an experiment
    # and its flags beyond the network's; whether it is about these networks alone.
    defaults={"reported": "", "command": "", "particular": False},
)
CRITERIA = Registry(
    "pruning criterion",
    "tflottery.pruning.criteria",
    attributes=("version", "scored_weights", "seeded"),
    # Training images it is shown with the network; None: it reads weights alone.
    defaults={"examples": None},
)
ALL = (MODELS, DATASETS, PRETEXTS, PERTURBATIONS, CRITERIA)
