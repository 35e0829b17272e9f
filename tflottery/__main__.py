"""`python -m tflottery`, or `tflottery`: what there is, and the way to run it.

tflottery                          lists experiments, reports and tools
tflottery instability --help       the options of one
tflottery instability --model=lenet --dataset=digits
"""

import ast
import importlib.util
import os
import pkgutil
import runpy
import sys

from tflottery.core import stopping

# What programs there are: heading, package, and what its modules are named by.
_PACKAGES = (
    ("Experiments", "tflottery.experiments"),
    ("Reports", "tflottery.reports"),
    ("Tools", "tflottery.check"),
    ("Tools", "tflottery.datasets"),
    ("Tools", "tflottery.export"),
    ("Tools", "tflottery.plan"),
    ("Tools", "tflottery.status"),
    ("Tools", "tflottery.store"),
)
# What other programs start, and people do not.
_INTERNAL = ("tflottery.datasets.tfds_reader",)
WRONG_INPUT = 2


def main() -> None:
    """Lists the programs, or runs the one named as it would be run by itself.

    Changes: how this process handles the signals that ask it to stop.
    """
    # Imports take most of a second, and would end with a traceback: none comes before.
    stopping.handle(stopping.exit_at_once)
    from tflottery.core import command_line

    found = programs()
    names = sys.argv[1:2]
    if not names or names[0] in ("--help", "-h", "help"):
        command_line.tell(_listing(found))
        return
    (name,) = names
    modules = [module for group in found.values() for module in group]
    chosen = [module for module in modules if _short(module) == name]
    if not chosen:
        known = ", ".join(map(_short, modules))
        print(f"error: there is no program {name!r}. Known: {known}.", file=sys.stderr)
        sys.exit(WRONG_INPUT)
    del sys.argv[1]
    # As with `python -m`, modules in the current folder can be named by --plugins.
    sys.path.insert(0, os.getcwd())
    runpy.run_module(chosen[0], run_name="__main__", alter_sys=True)


def programs() -> dict[str, dict[str, str]]:
    """Returns what each program is about, by heading and module; imports none."""
    found: dict[str, dict[str, str]] = {}
    for heading, package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for module in pkgutil.iter_modules(spec.submodule_search_locations):
            name = f"{package}.{module.name}"
            if name in _INTERNAL:
                continue
            text = importlib.util.find_spec(name).loader.get_source(name)
            if '__name__ == "__main__"' in text:
                docstring = ast.get_docstring(ast.parse(text)) or ""
                first = docstring.partition("\n")[0]
                found.setdefault(heading, {})[name] = first
    return found


def _short(module: str) -> str:
    """Returns what a program is called here: "instability", "store" for a tool."""
    package, _, name = module.rpartition(".")
    return package.rpartition(".")[2] if name == "__main__" else name


def _listing(found: dict[str, dict[str, str]]) -> str:
    """Returns the programs, a line each."""
    lines = ["Usage: tflottery PROGRAM [--flags], or python -m MODULE [--flags]"]
    for heading, modules in found.items():
        lines += ["", f"{heading}:"]
        lines += [f"  {_short(name):18} {text}" for name, text in modules.items()]
    return "\n".join([*lines, "", "tflottery PROGRAM --help lists its options."])


if __name__ == "__main__":
    main()
