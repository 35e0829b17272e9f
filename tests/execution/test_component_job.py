"""A component is executed once, and goes on from what it remembered."""

import types

import pytest

from tflottery.components.component import Passes
from tflottery.execution import work
from tflottery.execution.job_context import ABSENT, FINISHED, STOPPED, JobContext
from tflottery.execution.jobs import Make, execute
from tflottery.execution.run_index import RunIndex, absence_address
from tflottery.store.errors import DamagedArtifact, MissingArtifact


class Killed(BaseException):
    """Stands for a process that ends at this moment."""


@pytest.fixture
def make(store):
    """Makes a component; stops or is killed once `until` of the work is done."""

    def perform_job(component, *, seconds=1e9, until=2.0, then=None):
        done = [0.0]

        def report(kind, value):
            if kind == "progress":
                done.append(value)
                if then == "kill" and value > until:
                    raise Killed

        context = JobContext(
            store=store,
            runtime=types.SimpleNamespace(num_devices=1, num_measuring=1),
            checkpoint_seconds=seconds,
            report=report,
            stopping=lambda: then == "stop" and done[-1] >= until,
        )
        return execute(Make(component), context)

    return perform_job


@pytest.fixture
def notes(tmp_path):
    return tmp_path / "notes"


def number(store, artifact):
    return (store.open(artifact.address) / "number.txt").read_text()


def test_the_manifest_says_how_it_came_about(toys, store, make):
    one = toys.Number(1)
    goal = toys.Sum(one, one)
    make(one)
    make(goal)
    manifest = store.manifest(goal.address)
    assert manifest["component"] == "Sum"
    assert manifest["version"] == 1
    assert manifest["inputs"] == {"a": one.address, "b": one.address}
    assert manifest["seconds"] >= 0
    assert manifest["num_devices"] == 1
    assert store.manifest(one.address)["parameters"] == {"value": 1}


def test_the_manifest_tells_of_forward_passes(
    toys, store, make, notes, make_study, monkeypatch
):
    run = make_study().trunk(1)
    monkeypatch.setattr(toys.Count, "passes", lambda self: Passes(run, 50))
    make(toys.Count(1, str(notes)))
    told = store.manifest(toys.Count(1, str(notes)).address)["work"]
    assert (told["kind"], told["amount"]) == (work.measuring(run, num_devices=1), 50)
    assert told["seconds"] >= 0
    # In a part of the time only a part was done.
    goal = toys.Count(4, str(notes))
    make(goal, until=0.5, then="stop")
    make(goal)
    assert "work" not in store.manifest(goal.address)


def test_it_is_not_executed_again(toys, store, make, notes):
    goal = toys.Count(3, str(notes))
    assert make(goal) == FINISHED
    assert make(goal) == FINISHED
    assert notes.read_text() == "1\n2\n3\n"


def test_what_does_not_exist_is_recorded_and_not_tried_again(toys, store, make, notes):
    goal = toys.Largest(str(notes))
    assert not RunIndex(store).is_absent(goal)
    assert make(goal) == ABSENT
    assert make(goal) == ABSENT
    assert notes.read_text() == "x"
    assert not store.has(goal.address)
    assert store.addresses() == [absence_address(goal)]
    record = store.manifest(absence_address(goal))
    assert record["reason"] == "There is always a larger number."
    assert record["component"] == "Largest"
    for listed in (False, True):
        index = RunIndex(store, listed=listed)
        assert index.is_absent(goal)
        assert index.reason_of_absence(goal) is None
        assert not index.is_absent(toys.Number(1))


def test_stopped_and_gone_on_with(toys, store, make, notes):
    goal = toys.Count(4, str(notes))
    assert make(goal, until=0.5, then="stop") == STOPPED
    assert not store.has(goal.address)
    assert make(goal) == FINISHED
    assert notes.read_text() == "1\n2\n3\n4\n"
    assert store.addresses() == [goal.address]


def test_killed_and_gone_on_with(toys, store, make, notes):
    goal = toys.Count(4, str(notes))
    with pytest.raises(Killed):
        make(goal, seconds=0, until=0.5, then="kill")
    assert not store.has(goal.address)
    assert make(goal) == FINISHED
    # Step 3 was done, and lost before it was remembered.
    assert notes.read_text() == "1\n2\n3\n3\n4\n"
    assert store.addresses() == [goal.address]


def test_damaged_partial_results_are_not_used(toys, store, make, notes):
    goal = toys.Count(4, str(notes))
    make(goal, until=0.5, then="stop")
    [address] = store.addresses("partial")
    (store.open(address) / "partial.json").write_text("23")
    # Named and set aside, and the job is begun again.
    with pytest.raises(DamagedArtifact, match=address):
        make(goal)
    assert make(goal) == FINISHED
    assert notes.read_text() == "1\n2\n1\n2\n3\n4\n"


def test_half_written_output_is_not_used(toys, store, make):
    goal = toys.Number(3)
    make(goal)
    (store.open(goal.address) / "number.txt").write_text("")
    with pytest.raises(DamagedArtifact, match=goal.address):
        make(goal)
    assert make(goal) == FINISHED
    assert number(store, goal) == "3"


def test_an_input_taken_away_while_it_is_read_is_missing(
    toys, store, make, monkeypatch
):
    one = toys.Number(1)
    goal = toys.Sum(one, toys.Number(2))
    for made in (one, goal.b):
        make(made)
    execute = toys.Sum.execute

    def too_late(self, context):
        # As another command does that finds it damaged.
        store.remove(one.address)
        execute(self, context)

    monkeypatch.setattr(toys.Sum, "execute", too_late)
    with pytest.raises(MissingArtifact, match=one.address):
        make(goal)
    assert store.addresses() == [goal.b.address]


def test_a_changed_parameter_is_another_artifact(toys, store, make):
    for value in (1, 2):
        make(toys.Number(value))
    assert [number(store, toys.Number(value)) for value in (1, 2)] == ["1", "2"]


def test_what_raises_leaves_nothing(toys, store, make):
    with pytest.raises(ArithmeticError):
        make(toys.Broken(3))
    with pytest.raises(RuntimeError, match=r"promised \['number.txt'\]"):
        make(toys.Forgetful(3))
    assert store.addresses() == []
