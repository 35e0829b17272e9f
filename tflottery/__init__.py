"""Instability analysis and lottery ticket experiments in Keras and TensorFlow.

`import tflottery` imports no TensorFlow; what needs it is loaded where it is used.
"""

import importlib

__version__ = "0.1.0"

_DOORS = ("datasets", "plan", "results")
# Experiments as functions, and what serves a model of one's own, by the module that has
# it.
_FUNCTIONS = {
    "MagnitudePruning": "training.magnitude_pruning",
    "find_ticket": "own_models.ticket_search",
    "mask": "layers",
    "measure_instability": "own_models.instability_measurement",
    "run": "studies.calls",
}


def __dir__() -> list[str]:
    """Returns what a notebook completes: what is meant to be used from here."""
    return sorted({"__doc__", "__version__", *_DOORS, *_FUNCTIONS})


def __getattr__(name: str) -> object:
    """Loads a door of the package, such as `tflottery.results`, when it is used."""
    if name in _DOORS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        module = importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
