"""The layout of the package: who imports whom, what a door loads, how long code is."""

import ast
import collections
import functools
import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest

import tflottery

_ROOT = pathlib.Path(tflottery.__file__).parent
# A module imports only from folders above its own.
_ORDER = (
    "core",
    "layers",
    "datasets",
    "pretexts",
    "models",
    "pruning",
    "perturbations",
    "training",
    "analysis",
    "store",
    "components",
    "execution",
    "own_models",
    "figures",
    "claims",
    "studies",
    "experiments",
    "reports",
    "check",
    "export",
    "plan",
    "status",
    "results",
    "__main__",
)
# Names that were given up for ones a reader guesses right, and what is said instead.
_RETIRED_MODULES = {
    "advancing": "training_job",
    "agreement": "key_mismatch",
    "cluster_pool": "multi_worker_pool",
    "cluster_session": "multi_worker_session",
    "clusters": "training_hosts",
    "drafts": "staging",
    "findings": "results_reader",
    "inline_execution": "execution",
    "inspection": "metadata",
    "keys": "columns",
    "making": "component_job",
    "perturbed": "perturbed_runs",
    "places": "backends",
    "pretrained": "pretraining_runs",
    "shelves": "run_index",
    "trained": "accuracy_table",
    "workshop": "runtime",
}
# One name, one thing: an experiment, and what draws it; a paper, and what it claims.
# Nothing else is called like it.
_FOLDERS_OF_NAMESAKES = {"experiments", "figures", "reports", "check", "__main__"}
_FOLDERS_OF_NAMESAKES |= {"claims"}
_RETIRED_NAMES = {
    "Bench": "JobContext",
    "Drafts": "Staging",
    "Findings": "ResultsReader",
    "Workshop": "Runtime",
    "bench": "context",
    "num_wrong": "num_misclassified",
    "perform": "execute",
    "share": "fraction",
    "shares": "fractions",
    "shelf": "run_index",
    "shelves": "run_index",
    "workshop": "runtime",
    "wrong_answers": "misclassified_examples",
}
_RETIRED_FUNCTIONS = {"check": "validate", "place": "restore"}
# As people read them: docstrings, comments, messages and documentation.
_RETIRED_PHRASES = {
    "share of": "fraction of",
    "shares in": "fractions in",
    "wrong answers": "misclassified examples",
    "whatever the data are": "with any data",
}
# Each experiment has its own of these.
_NAMES_OF_MANY = {"Config", "Row"}
_MAX_FUNCTION_LINES = 60
_MAX_MODULE_LINES = 400
_HEAVY = ("tensorflow", "keras", "sklearn", "pandas", "matplotlib")
# What a worker alone imports, once it has started TensorFlow.
_WORKERS_OWN = ("tflottery.execution.training_job",)


def _files():
    return sorted(_ROOT.rglob("*.py"))


def _name(path):
    parts = path.relative_to(_ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _folder(module):
    """Returns the folder of the package, or the module at its top, by name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


@functools.cache
def _nodes(path):
    return tuple(ast.walk(ast.parse(path.read_text())))


def _imported(path):
    """Returns every module of the package that a file imports, anywhere in it."""
    found = set()
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports by a relative path"
            names = [alias.name for alias in node.names]
            # `from tflottery import core` imports tflottery.core.
            found |= {f"{node.module}.{name}" for name in names}
    ours = {name for name in found if name.split(".")[0] == "tflottery"}
    # The package itself is a door without a room: its version.
    return ours - {"tflottery"}


def _functions(path):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in _nodes(path) if isinstance(node, kinds)]


def test_every_folder_has_its_place():
    folders = {_folder(_name(path)) for path in _files()} - {None}
    assert folders <= set(_ORDER)
    assert {
        "core",
        "training",
        "components",
        "store",
        "execution",
        "experiments",
    } <= folders


def test_modules_import_only_from_folders_above_their_own():
    wrong, seen = [], 0
    for path in _files():
        own = _folder(_name(path))
        for module in sorted(_imported(path)):
            other = _folder(module)
            seen += 1
            above = _ORDER[: _ORDER.index(own) + 1] if own else ()
            if other not in above:
                wrong.append(f"{_name(path)} imports {module}")
    assert not wrong
    assert seen > 100


def test_functions_and_modules_are_short():
    long = []
    for path in _files():
        num_lines = len(path.read_text().splitlines())
        if num_lines > _MAX_MODULE_LINES:
            long.append(f"{_name(path)}: {num_lines} lines")
        for node in _functions(path):
            num_lines = node.end_lineno - node.lineno + 1
            if num_lines > _MAX_FUNCTION_LINES:
                long.append(f"{_name(path)}.{node.name}: {num_lines} lines")
    assert not long


def test_names_that_were_given_up_do_not_come_back():
    found = []
    for path in _files():
        functions = {node.name for node in _functions(path)}
        for names, retired in (
            ({path.stem}, _RETIRED_MODULES),
            (functions, _RETIRED_FUNCTIONS),
            (_identifiers(path), _RETIRED_NAMES),
        ):
            for name in sorted(names & retired.keys()):
                found.append(f"{_name(path)}: {name} is {retired[name]} now")
    assert not found


def test_phrases_that_were_given_up_do_not_come_back():
    pages = [*_files(), *_ROOT.parent.glob("*.md"), *_ROOT.parent.glob("docs/*.md")]
    found = [
        f"{page.name}: {phrase!r} is {instead!r} now"
        for page in pages
        for phrase, instead in _RETIRED_PHRASES.items()
        if re.search(rf"\b{phrase}\b", " ".join(page.read_text().split()))
    ]
    assert not found


def test_no_two_modules_have_one_name():
    where = collections.defaultdict(list)
    for path in _files():
        if _folder(_name(path)) not in _FOLDERS_OF_NAMESAKES and path.stem[0] != "_":
            where[path.stem].append(_name(path))
    assert {name: found for name, found in where.items() if len(found) > 1} == {}


def test_no_two_classes_have_one_name():
    where = collections.defaultdict(list)
    for path in _files():
        for node in _nodes(path):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(_name(path))
    several = {name: found for name, found in where.items() if len(found) > 1}
    assert several.keys() <= _NAMES_OF_MANY, several


def _identifiers(path):
    """Returns every name that a file defines, assigns or takes as an argument."""
    found = set()
    for node in _nodes(path):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return {name.lstrip("_") for name in found}


def _modules(*packages):
    names = []
    for package in packages:
        folder = _ROOT.joinpath(*package.split(".")[1:])
        inside = pkgutil.iter_modules([str(folder)])
        names += [package, *(f"{package}.{module.name}" for module in inside)]
    return [name for name in names if name not in _WORKERS_OWN]


@pytest.mark.parametrize(
    "modules",
    [
        ["tflottery"],
        _modules("tflottery.core", "tflottery.analysis"),
        _modules("tflottery.store", "tflottery.execution", "tflottery.components"),
        _modules("tflottery.studies", "tflottery.experiments"),
    ],
    ids=lambda modules: modules[-1],
)
def test_doors_load_nothing_heavy(modules):
    code = f"for name in {modules!r}: importlib.import_module(name)"
    assert _loaded_by(code) == []


def test_what_registries_hold_is_known_without_a_framework():
    code = (
        "from tflottery.core import registry\n"
        "for one in vars(registry).values():\n"
        "    if isinstance(one, registry.Registry): assert one.names()\n"
        "registry.MODELS['vgg16']['recipes']"
    )
    assert _loaded_by(code) == []


def _loaded_by(code):
    """Returns which heavy modules a new process has loaded after these lines."""
    code = (
        f"import importlib, sys\n{code}\n"
        f"print(*(name for name in {_HEAVY!r} if name in sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=_ROOT.parent,
    )
    return told.stdout.split()
