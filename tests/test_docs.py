"""The pages of docs/: what extending.md shows is one module, and its commands run."""

import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys
from dataclasses import fields

import pytest

import tflottery
import tflottery.check.__main__ as tool
from tflottery.core import registry
from tflottery.core.registry import (
    CRITERIA,
    DATASETS,
    MODELS,
    PERTURBATIONS,
    PRETEXTS,
)
from tflottery.plan import commands
from tflottery.studies import program, session

_PAGE = pathlib.Path(tflottery.__file__).parents[1] / "docs/extending.md"
pytestmark = pytest.mark.skipif(
    not _PAGE.exists(), reason="an installed package comes without docs/"
)


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", _PAGE.read_text(), re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the page's modules; what they register goes with the test."""
    *plugins, experiment = _blocks("python")
    (tmp_path / "my_plugins.py").write_text("\n\n".join(plugins))
    (tmp_path / "my_experiment.py").write_text(experiment)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("my_plugins", "my_experiment"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for one in (MODELS, DATASETS, PRETEXTS, PERTURBATIONS, CRITERIA):
        one.names()
        monkeypatch.setattr(one, "_entries", dict(one._entries))
    return tmp_path


@pytest.mark.slow
def test_the_commands_of_the_page_run_with_its_module(folder):
    commands = [
        shlex.split(line)[2:]
        for block in _blocks("bash")
        for line in block.splitlines()
    ]
    assert len(commands) == 7
    environment = {"PYTHONPATH": str(_PAGE.parents[1])}
    environment |= {"TFLOTTERY_STORE": f"{folder}/store"}
    for arguments in commands:
        ended = subprocess.run(
            [sys.executable, "-m", *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
    tables = list(folder.glob("results/*/*/*.csv"))
    names = {path.relative_to(folder / "results").parts[0] for path in tables}
    expected = {"lottery", "instability", "perturbation", "pretraining"}
    assert names == expected | {"my_experiment"}


def test_its_module_registers_one_of_each_kind(folder):
    registry.load_plugins(["my_plugins"])
    assert "small_mlp" in MODELS and "stripes" in DATASETS
    assert "upside_down" in PRETEXTS and "shrink" in PERTURBATIONS
    assert CRITERIA["small_first"]["scored_weights"] == "trained"
    assert CRITERIA["fisher"]["examples"] == 32


def test_its_modules_keep_the_contracts(folder):
    found = list(tool.verdicts(["my_plugins", "my_experiment"]))
    assert [verdict.line for verdict in found if not verdict.holds] == []
    # Of a model, two data sets, a pretext, a perturbation, two criteria, an experiment.
    assert len(found) == 8 + 2 * 4 + 5 + 4 + 2 * 4 + 4


def test_the_design_has_a_line_on_every_folder():
    text = (_PAGE.parent / "design.md").read_text()
    package = pathlib.Path(tflottery.__file__).parent
    folders = [path.parent.name for path in package.glob("*/__init__.py")]
    assert "core" in folders
    missing = [name for name in folders if f"\n  {name}/ " not in text]
    assert not missing


@pytest.mark.parametrize(
    "page", sorted(_PAGE.parent.glob("*.md")), ids=lambda page: page.stem
)
def test_links_files_and_programs_of_a_page_exist(page):
    text, root = page.read_text(), _PAGE.parents[1]
    links = re.findall(r"\]\(([\w./-]+)(?:#[\w-]*)?\)", text)
    assert [one for one in links if not (page.parent / one).exists()] == []
    # Capitals stand for what a reader puts there.
    folders = "benchmarks|configs|docs|examples|experiments|tests|tflottery"
    files = re.findall(rf"`((?:{folders})/[a-z0-9_./-]+)`", text)
    assert [one for one in files if not (root / one).exists()] == []
    programs = re.findall(r"python -m ((?:tflottery|benchmarks)[\w.]*\w)", text)
    programs = [one for one in programs if one.islower()]
    missing = [one for one in programs if importlib.util.find_spec(one) is None]
    assert missing == []


def test_what_those_who_come_from_open_lth_type_here_is_understood():
    page = (_PAGE.parent / "from_open_lth.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("| ") and not line.startswith("| open_lth")
    ]
    typed = [row[1].strip("`") for row in rows if "python -m" in row[1]]
    assert len(typed) > 10 and "open_lth" not in "".join(typed)
    for command in typed:
        module, *arguments = shlex.split(command)[2:]
        assert importlib.util.find_spec(module) is not None
        package, _, name = module.rpartition(".")
        if package == "tflottery.experiments":
            assert commands.parsed(shlex.join([name, *arguments])).configs
    # Every flag of open_lth has a line, and those of ours are of an experiment.
    theirs = set(re.findall(r"--(\w+)", " ".join(row[0] for row in rows)))
    assert {"rewinding_steps", "replicate", "default_hparams", "gamma"} <= theirs
    experiments = (program.experiment(name) for name in ("instability", "pretraining"))
    known = {field.name for one in experiments for field in fields(one.Config)}
    known |= {field.name for field in fields(session.Machine)} | {"subnetworks"}
    ours = [row[1] for row in rows if "python -m" not in row[1]]
    assert set(re.findall(r"--(\w+)", " ".join(ours))) <= known


def test_a_module_that_is_not_there_is_refused():
    for name in ("my/plugins", "my/plugins.py", "plugins.py"):
        with pytest.raises(ValueError, match="is a path, expected .*: plugins, in the"):
            registry.load_plugins([name], named_by="--plugins")
    with pytest.raises(ValueError, match="--plugins names 'no_such_module', .* PYTHON"):
        registry.load_plugins(["no_such_module"], named_by="--plugins")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_thing", r"line 1.*ModuleNotFoundError.*'no_such_thing'"),
        ("def broken(:", r"line 1\n    def broken.*SyntaxError"),
        ("\nint('a')", r"line 2, in <module>\n    int\('a'\)\n.*ValueError: "),
        (
            "import tflottery\ntflottery.datasets.register('x', train=(1, 2), test=())",
            r"line 2, in <module>\n[^\n]*\n( *\^+\n)?ValueError: ",
        ),
    ],
)
def test_of_a_module_that_fails_its_own_lines_are_told(
    text, told, tmp_path, monkeypatch
):
    (tmp_path / "failing.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError) as caught:
        registry.load_plugins(["failing"], named_by="--plugins")
    first = f"--plugins names 'failing', which cannot be imported:\n  File \"{tmp_path}"
    assert str(caught.value).startswith(first)
    assert re.search(told, str(caught.value), re.DOTALL)
    assert "importlib" not in str(caught.value)
