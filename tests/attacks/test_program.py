"""The program's instruments, in processes that train nothing."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest

from benchmarks.attacks import program
from benchmarks.attacks.sandbox import Instruments

WORK = """
import json, os, pathlib, sys
from benchmarks.attacks import program
program.install(json.loads(sys.argv[1]), role="parent")
folder = pathlib.Path(sys.argv[2])
for number in range(5):
    (folder / f"{number}").mkdir(parents=True)
os.rename(folder / "0", folder / "5")
print("done")
"""


@pytest.fixture
def work(tmp_path):
    """Runs a process with instruments; returns it and its folder."""
    marks = tmp_path / "marks"
    marks.mkdir()

    def run(**options):
        asked = dataclasses.asdict(Instruments(**options))
        asked |= {"marks": str(marks), "experiment": "lottery"}
        folder = tmp_path / "below"
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", WORK, json.dumps(asked), str(folder)],
            capture_output=True,
            text=True,
        )
        return done, folder

    return run


def test_operations_are_counted(work, tmp_path):
    done, _ = work(count_operations=True)
    assert done.returncode == 0, done.stderr
    assert os.path.getsize(tmp_path / "marks" / "parent") == 6


@pytest.mark.parametrize("operation, num_made", [(1, 0), (4, 3)])
def test_killed_right_before_an_operation(work, operation, num_made):
    strike = {"role": "parent", "operation": operation, "among": ""}
    strike |= {"signal": signal.SIGKILL, "target": "parent"}
    done, folder = work(signal=strike)
    assert done.returncode == -signal.SIGKILL
    assert len(list(folder.iterdir())) == num_made


def test_killed_at_something_that_lies_in_a_folder(work):
    strike = {"role": "parent", "operation": 1, "among": "below"}
    strike |= {"signal": signal.SIGKILL, "target": "parent"}
    done, folder = work(signal=strike)
    # The folders that were made did not lie there yet; the one renamed did.
    assert done.returncode == -signal.SIGKILL
    assert sorted(path.name for path in folder.iterdir()) == list("01234")


def test_another_role_is_left_alone(work):
    strike = {"role": "worker", "operation": 1, "among": ""}
    strike |= {"signal": signal.SIGKILL, "target": "worker"}
    done, _ = work(signal=strike)
    assert done.stdout == "done\n"


def test_files_do_not_grow(tmp_path):
    (tmp_path / "marks").mkdir()
    code = "pathlib.Path(sys.argv[2]).write_bytes(bytes(100))"
    program_text = WORK.split("folder =")[0] + code
    asked = dataclasses.asdict(Instruments(largest_file_bytes=50))
    asked |= {"marks": str(tmp_path / "marks"), "experiment": "lottery"}
    done = subprocess.run(
        [sys.executable, "-c", program_text, json.dumps(asked), str(tmp_path / "f")],
        capture_output=True,
        text=True,
    )
    assert "File too large" in done.stderr


def test_only_the_first_process_is_struck(tmp_path):
    assert program.once(tmp_path, "struck")
    assert not program.once(tmp_path, "struck")
