"""A home folder is found, or what to do is said; nothing else in a path changes."""

import os
import pathlib
import pwd

import pytest

from tflottery.core import paths


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    return str(tmp_path)


def test_a_leading_tilde_is_the_home_folder(home):
    assert paths.expanded("~") == home
    assert paths.expanded("~/a/b.csv") == f"{home}/a/b.csv"
    assert paths.expanded(pathlib.Path("~/a")) == f"{home}/a"
    assert paths.expanded("~root/a") == os.path.expanduser("~root/a") != "~root/a"


@pytest.mark.parametrize(
    "path", ["a/~/b", "[1]*?", "/a b", "gs://bucket/~/a", "", "~nobody-of-that-name"]
)
def test_other_paths_stay_as_they_are(home, path):
    assert paths.expanded(path) == path


def _no_such_user(number):
    raise KeyError(number)


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_home_folder_it_is_said_what_to_do(monkeypatch, value):
    monkeypatch.delenv("HOME")
    if value is not None:
        monkeypatch.setenv("HOME", value)
    monkeypatch.setattr(pwd, "getpwuid", _no_such_user)
    with pytest.raises(ValueError, match=r"'~/a' .* set HOME, or write .* in full\."):
        paths.expanded("~/a")
    with pytest.raises(ValueError, match=r"set HOME, or give --store\."):
        paths.expanded("~", otherwise="give --store")
    assert paths.expanded("/a/~") == "/a/~"
