"""A component is executed once, and goes on from what it remembered."""

import pytest

from tflottery.execution import making
from tflottery.execution.bench import FINISHED, STOPPED, Bench
from tflottery.execution.jobs import Make


class Killed(BaseException):
    """Stands for a process that ends at this moment."""


@pytest.fixture
def bench_of(store):
    """Returns a bench that stops or is killed once `until` of the work is done."""

    def make(*, seconds=1e9, until=2.0, then=None):
        shares = []

        def progressed(share):
            shares.append(share)
            if then == "kill" and share > until:
                raise Killed

        return Bench(
            store=store,
            runtime=None,
            checkpoint_seconds=seconds,
            made=shares.append,
            progressed=progressed,
            stopping=lambda: then == "stop" and shares[-1] >= until,
        )

    return make


@pytest.fixture
def notes(tmp_path):
    return tmp_path / "notes"


def number(store, artifact):
    return (store.open(artifact.address) / "number.txt").read_text()


def test_the_manifest_says_how_it_came_about(toys, store, bench_of):
    one = toys.Number(1)
    goal = toys.Sum(one, one)
    making.make(Make(one), bench_of())
    making.make(Make(goal), bench_of())
    manifest = store.manifest(goal.address)
    assert manifest["component"] == "Sum"
    assert manifest["version"] == 1
    assert manifest["inputs"] == {"a": one.address, "b": one.address}
    assert manifest["seconds"] >= 0
    assert store.manifest(one.address)["parameters"] == {"value": 1}


def test_it_is_not_executed_again(toys, store, bench_of, notes):
    goal = toys.Count(3, str(notes))
    assert making.make(Make(goal), bench_of()) == FINISHED
    assert making.make(Make(goal), bench_of()) == FINISHED
    assert notes.read_text() == "1\n2\n3\n"


def test_stopped_and_gone_on_with(toys, store, bench_of, notes):
    goal = toys.Count(4, str(notes))
    bench = bench_of(until=0.5, then="stop")
    assert making.make(Make(goal), bench) == STOPPED
    assert not store.has(goal.address)
    assert making.make(Make(goal), bench_of()) == FINISHED
    assert notes.read_text() == "1\n2\n3\n4\n"
    assert store.addresses() == [goal.address]


def test_killed_and_gone_on_with(toys, store, bench_of, notes):
    goal = toys.Count(4, str(notes))
    with pytest.raises(Killed):
        making.make(Make(goal), bench_of(seconds=0, until=0.5, then="kill"))
    assert not store.has(goal.address)
    assert making.make(Make(goal), bench_of()) == FINISHED
    # Step 3 was done, and lost before it was remembered.
    assert notes.read_text() == "1\n2\n3\n3\n4\n"
    assert store.addresses() == [goal.address]


def test_damaged_partial_results_are_not_used(toys, store, bench_of, notes):
    goal = toys.Count(4, str(notes))
    making.make(Make(goal), bench_of(until=0.5, then="stop"))
    [address] = store.addresses("partial")
    (store.open(address) / "partial.json").write_text("23")
    assert making.make(Make(goal), bench_of()) == FINISHED
    assert notes.read_text() == "1\n2\n1\n2\n3\n4\n"


def test_half_written_output_is_not_used(toys, store, bench_of):
    goal = toys.Number(3)
    making.make(Make(goal), bench_of())
    (store.open(goal.address) / "number.txt").write_text("")
    assert making.make(Make(goal), bench_of()) == FINISHED
    assert number(store, goal) == "3"


def test_a_changed_parameter_is_another_artifact(toys, store, bench_of):
    for value in (1, 2):
        making.make(Make(toys.Number(value)), bench_of())
    assert [number(store, toys.Number(value)) for value in (1, 2)] == ["1", "2"]


def test_what_raises_leaves_nothing(toys, store, bench_of):
    with pytest.raises(ArithmeticError):
        making.make(Make(toys.Broken(3)), bench_of())
    with pytest.raises(RuntimeError, match=r"promised \['number.txt'\]"):
        making.make(Make(toys.Forgetful(3)), bench_of())
    assert store.addresses() == []
