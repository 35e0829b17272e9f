"""What the lines of a list may say of the machine that carries them out."""

import pytest

from tflottery.plan import commands
from tflottery.plan.prepared_commands import machine_of
from tflottery.studies.machine import Machine


@pytest.mark.parametrize(
    ("lines", "machine", "message"),
    [
        (["lottery --store=mine"], Machine(), "'lottery --store=mine': --store holds"),
        (["lottery --dry_run"], Machine(), "--dry_run holds for all"),
        (["lottery --executor=local"], Machine(executor="ray"), "--executor holds for"),
        (["lottery --workers=3"], Machine(workers=3), "--workers holds for all"),
        (["lottery --threads=2", "lottery"], Machine(), "--threads=1,2: workers of"),
        (["lottery"], Machine(distribute="multi_worker"), "is for one command"),
        (
            ["lottery --threads=2", "table1 --threads=4"],
            *(Machine(), "--threads=2,4: workers of"),
        ),
    ],
)
def test_what_holds_for_all_is_said_once(lines, machine, message):
    asked = [commands.parsed(line) for line in lines]
    with pytest.raises(ValueError, match=message):
        machine_of(asked, machine, said=())


def test_what_each_may_say_is_heeded(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_too.py").touch()
    asked = [
        commands.parsed("lottery --threads=2 --plugins=mine_too --output_dir=here"),
        commands.parsed("table1 --threads=2"),
    ]
    found = machine_of(asked, Machine(workers=3, output_dir="all"), said=("workers",))
    assert found == Machine(
        workers=3, output_dir="all", threads=2, plugins=("mine_too",)
    )


def test_threads_can_be_said_for_all():
    asked = [commands.parsed("lottery"), commands.parsed("table1 --threads=4")]
    said = ("threads",)
    assert machine_of(asked, Machine(threads=4), said=said).threads == 4
    assert machine_of(asked[:1], Machine(threads=4), said=said).threads == 4


def test_a_thread_that_is_said_for_all_is_heeded_though_it_is_the_default():
    asked = [commands.parsed("table1 --threads=4")]
    assert machine_of(asked, Machine(), said=()).threads == 4
    with pytest.raises(ValueError, match="--threads=1,4: workers of one number"):
        machine_of(asked, Machine(threads=1), said=("threads",))
