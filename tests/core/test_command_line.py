"""A command line ends a program with the right exit code, and a line of text."""

import os
import subprocess
import sys

import pytest
from absl import flags

from tflottery.core import command_line


@pytest.fixture
def defined(monkeypatch):
    """The flags of a program of its own, beside those of libraries."""
    own = flags.FlagValues()
    options = {"flag_values": own, "module_name": "program"}
    flags.DEFINE_integer("count", 1, "how many", **options)
    flags.DEFINE_bool("yes", False, "really", **options)
    flags.DEFINE_enum("kind", None, ["one", "other"], "which", **options)
    flags.DEFINE_bool("help", False, "show this help", flag_values=own)
    monkeypatch.setattr(flags, "FLAGS", own)
    return own


def test_flags_are_parsed_and_the_rest_returned(defined):
    assert command_line.parsed(["program", "clean", "--count=3"]) == [
        "program",
        "clean",
    ]
    assert defined["count"].value == 3
    with pytest.raises(ValueError, match="'clean' is not a flag"):
        command_line.refuse_arguments(["program", "clean"])


def test_help_is_no_error(defined, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["__main__"], "__doc__", "What it does.\n")
    assert command_line.asks_for_help(["program", "--yes", "--help"])
    assert not command_line.asks_for_help(["program", "--yes"])
    with pytest.raises(SystemExit) as ended:
        command_line.parsed(["program", "--help"])
    assert ended.value.code == 0
    told = ["--count: how many (default: 1)", "--[no]yes: really"]
    told += ["--kind: <one|other>: which"]
    text = "\n  ".join(["What it does.\n\nOptions:", *told])
    assert capsys.readouterr().out == f"{text}\n"


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--count=many", "--count='many' has to be a whole number. See --help."),
        ("--yes=perhaps", "--yes='perhaps' has to be true or false. See --help."),
        ("--kind=third", "--kind='third' has to be one of one, other. See --help."),
        ("--cuont=3", "There is no flag --cuont. Did you mean --count? See --help."),
        ("--nothing=3", "There is no flag --nothing. See --help."),
    ],
)
def test_a_wrong_flag_ends_the_program(defined, capsys, argument, text):
    with pytest.raises(SystemExit) as ended:
        command_line.parsed(["program", argument])
    assert ended.value.code == command_line.WRONG_INPUT
    assert capsys.readouterr().err.startswith(f"error: {text}")


def test_a_reader_that_leaves_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    code = (
        "from tflottery.core.command_line import tell\n"
        "assert [tell('a line'), tell('another')] == [False, True]"
    )
    with open(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=closed, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (0, b"")
