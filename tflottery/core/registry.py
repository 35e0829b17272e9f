"""Registries: which models, datasets, pretexts, criteria and perturbations exist.

Adding one is adding one file: a registry imports every file of its package at the first
look-up, and each file registers its functions by name.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping


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

    def __init__(self, kind: str, package: str, *, attributes: tuple[str, ...] = ()):
        """Args:
        kind: what is registered, in the singular, for error messages ("model").
        package: the package whose files register here ("tflottery.models").
        attributes: what every registration has to declare.
        """
        self.kind = kind
        self._package = package
        self._required = frozenset(attributes)
        self._entries: dict[str, Entry] = {}
        self._loaded = False

    def register(self, name: str, **attributes: object) -> Callable:
        """Returns a decorator that registers a function under `name`.

        Raises:
          ValueError: the name is taken, or the attributes are not those required.
        """
        missing = self._required - attributes.keys()
        unknown = attributes.keys() - self._required
        if missing or unknown:
            raise ValueError(
                f"{self.kind} {name!r} is registered with the wrong attributes: "
                f"missing {sorted(missing)}, unknown {sorted(unknown)}."
            )

        def decorator(function: Callable) -> Callable:
            if name in self._entries:
                first = _origin(self._entries[name].function)
                raise ValueError(
                    f"{self.kind} {name!r} is registered twice: in {first} and in "
                    f"{_origin(function)}. Rename one of them."
                )
            self._entries[name] = Entry(name, function, attributes)
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

    def _load(self) -> None:
        """Imports every file of the package; a broken one stops the program."""
        if self._loaded:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        self._loaded = True


def _origin(function: Callable) -> str:
    """Returns the module a function, or the function inside a partial, comes from."""
    return getattr(function, "func", function).__module__


MODELS = Registry(
    "model",
    "tflottery.models",
    attributes=("recipes", "dataset", "minimum_image_size"),
)
# A data set's version changes whenever its images or labels do: a constant, or a
# function of `data_dir` that returns what it holds now, None where that is not known.
DATASETS = Registry(
    "dataset", "tflottery.datasets", attributes=("adapt_recipe", "version")
)
PRETEXTS = Registry(
    "pretext", "tflottery.pretexts", attributes=("num_classes", "version", "seeded")
)
PERTURBATIONS = Registry(
    "perturbation", "tflottery.perturbations", attributes=("version", "options")
)
CRITERIA = Registry(
    "pruning criterion",
    "tflottery.pruning.criteria",
    attributes=("version", "scored_weights", "seeded"),
)
