"""What an installed package comes with, and on which versions of Python."""

import ast
import configparser
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

import tflottery
from tflottery.core import command_line
from tflottery.experiments import lottery
from tflottery.plan import commands
from tflottery.studies import program

_PACKAGE = pathlib.Path(tflottery.__file__).parent
_ROOT = _PACKAGE.parent
_of_a_clone = pytest.mark.skipif(
    not (_ROOT / "setup.cfg").exists(), reason="an installed package is not built again"
)
# Of the standard library, what Python 3.12 and 3.13 have no more.
_GONE = """
imp asynchat asyncore smtpd distutils aifc audioop cgi cgitb chunk crypt imghdr
mailcap msilib nis nntplib ossaudiodev pipes sndhdr spwd sunau telnetlib uu xdrlib
lib2to3""".split()


def test_nothing_is_imported_that_newer_pythons_lack():
    wrong = []
    for path in _PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            wrong += [(path.name, one) for one in names if one.split(".")[0] in _GONE]
    assert not wrong


def test_flag_files_of_the_package_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = ["--flagfile=configs/lottery/quick.flags", "--replicates=7"]
    config, _ = program.options_of(lottery, typed)
    assert config.replicates == 7 and config.dataset == "digits"
    (one,) = commands.of_file("configs/lottery/quick.flags")
    assert one.configs[0].dataset == "digits"
    # One's own goes first, and what is not there is refused by its name.
    own = tmp_path / "configs/lottery/quick.flags"
    own.parent.mkdir(parents=True)
    own.write_text("--dataset=mnist\n")
    config, _ = program.options_of(lottery, typed)
    assert config.dataset == "mnist"
    with pytest.raises(ValueError, match="configs/lottery/none.flags"):
        program.options_of(lottery, ["--flagfile=configs/lottery/none.flags"])
    assert command_line.with_flag_files(["--flagfile", "x"]) == ["--flagfile", "x"]


@_of_a_clone
def test_every_extra_is_told_of_and_asks_for_something():
    parser = configparser.ConfigParser()
    parser.read(_ROOT / "setup.cfg")
    extras = parser["options.extras_require"]
    assert {"gcs", "benchmarks", "tpu-check", "test", "notebook"} <= extras.keys()
    assert all(value.strip() for value in extras.values())


@pytest.mark.slow
@_of_a_clone
def test_a_wheel_has_all_that_is_used(tmp_path):
    pytest.importorskip("setuptools")
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("tflottery", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_ROOT / name, clone / name, symlinks=True, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(_ROOT / name, clone)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "-q"]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            *options,
            ".",
            f"--wheel-dir={tmp_path}",
        ],
        cwd=clone,
        check=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    found = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if name.startswith("tflottery/")
    }
    expected = {
        f"tflottery/{path.relative_to(_PACKAGE)}"
        for path in (*_PACKAGE.rglob("*"), *(_PACKAGE / "configs").rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    assert len(expected) > 300 and found == expected
