"""Puts what a module registers to the contracts of the package.

    python -m tflottery.check my_module [another_module ...]

imports the module as --plugins does, tries the models, data sets, pretexts,
perturbations and pruning criteria that it registers, and the module itself where it is
an experiment. A line a check; the exit code is 0 where all contracts hold, else 1.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence

from absl import app

from tflottery.check import contract, experiments
from tflottery.core import command_line, registry
from tflottery.core.registry import Registry
from tflottery.training import process

REGISTRIES = {
    "models": registry.MODELS,
    "datasets": registry.DATASETS,
    "pretexts": registry.PRETEXTS,
    "perturbations": registry.PERTURBATIONS,
    "criteria": registry.CRITERIA,
}
FAILED = 1


def main() -> None:
    """Runs the tool as a program: parses the command line, exits."""
    app.run(_main, flags_parser=command_line.parsed)


def verdicts(modules: Sequence[str]) -> Iterator[contract.Verdict]:
    """Yields how every check of what the modules register ends, as it does.

    Args:
      modules: names of modules, as `import` takes them.

    Raises:
      ValueError: there is no such module, or it registers nothing.
    """
    before = {kind: set(one.names()) for kind, one in REGISTRIES.items()}
    registry.load_plugins(modules)
    found = {
        kind: _own(one, before=before[kind], modules=modules)
        for kind, one in REGISTRIES.items()
    }
    found["experiments"] = [
        name
        for name in modules
        if experiments.is_experiment(importlib.import_module(name))
    ]
    if not any(found.values()):
        raise ValueError(
            f"{', '.join(modules)} registers nothing and is no experiment. Expected a "
            "module with functions under @MODELS.register(...) and the like; see "
            "docs/extending.md."
        )
    yield from _checked(found)


def _own(known: Registry, *, before: set[str], modules: Sequence[str]) -> list[str]:
    """Returns the names that are new, or whose functions come from the modules."""
    names = []
    for name in known.names():
        origin = registry.origin(known[name].function)
        ours = any(f"{origin}.".startswith(f"{module}.") for module in modules)
        if ours or name not in before:
            names.append(name)
    return names


def _checked(found: Mapping[str, Sequence[str]]) -> Iterator[contract.Verdict]:
    """Yields how every check of these names ends, by kind."""
    for kind, names in found.items():
        if names:
            checks = importlib.import_module(f"tflottery.check.{kind}").CHECKS
            subject = REGISTRIES[kind].kind if kind in REGISTRIES else "experiment"
            for name in names:
                for check in checks:
                    yield contract.verdict(subject, check, name)


def _main(arguments: Sequence[str]) -> int:
    """Checks the modules of a command line; returns the exit code."""
    modules = arguments[1:]
    if not modules:
        print("error: name a module to check. See --help.", file=sys.stderr)
        return command_line.WRONG_INPUT
    process.configure()
    failed = count = 0
    try:
        for verdict in verdicts(modules):
            print(verdict.line, flush=True)
            failed, count = failed + (not verdict.holds), count + 1
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return command_line.WRONG_INPUT
    print(f"{count} checks, {failed} failed.")
    return FAILED if failed else 0


if __name__ == "__main__":
    main()
