"""What is told stays in a file, and a file that cannot be written costs nothing."""

import io
import re
import shutil

import pytest
from rich.console import Console

from tflottery.execution.log import Log


@pytest.fixture
def screen():
    return io.StringIO()


@pytest.fixture
def log(screen):
    return Log(Console(file=screen, width=20))


_PATH = "/data/[a]/[/b] c/:smile:/[red]x"


def test_what_is_told_is_told_letter_by_letter(log, screen):
    log.say(f"Results are in {_PATH}")
    assert screen.getvalue() == f"Results are in {_PATH}\n"


def test_the_file_has_all_from_the_beginning_with_the_time(log, screen, tmp_path):
    path = tmp_path / "log.txt"
    log.say("the plan")
    log.keep("for the file alone")
    assert not path.exists()
    log.keep_in(path)
    log.say("the end\nin two lines")
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  "
    expected = (
        f"{time}the plan\n{time}for the file alone\n{time}the end\nin two lines\n"
    )
    assert re.fullmatch(expected, path.read_text())
    assert screen.getvalue() == "the plan\nthe end\nin two lines\n"


def test_another_command_adds_to_it(log, tmp_path):
    for text in ("one", "two"):
        other = Log(Console(file=io.StringIO()))
        other.keep_in(tmp_path / "log.txt")
        other.say(text)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["one", "two"]


def test_a_file_that_cannot_be_written_is_told_once(log, screen, tmp_path):
    (tmp_path / "file").write_text("")
    log.keep_in(tmp_path / "file" / "log.txt")
    log.say("first")
    log.say("second")
    text = screen.getvalue()
    assert text.count("log.txt' cannot be written") == 1
    assert "first\n" in text and "second\n" in text


def test_a_folder_removed_meanwhile_is_made_again(log, tmp_path):
    path = tmp_path / "out" / "log.txt"
    log.keep_in(path)
    log.say("one")
    shutil.rmtree(path.parent)
    log.say("two")
    assert path.read_text().endswith("  two\n")
