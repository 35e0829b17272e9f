"""What a worker says of how its jobs ended."""

import pytest

from tflottery.datasets.arrays import ChangedData
from tflottery.execution import worker
from tflottery.execution.jobs import Inspect, Make
from tflottery.execution.worker import Message


@pytest.fixture
def sent():
    return []


@pytest.fixture
def bench(settings, sent):
    return worker.make_bench(settings, send=sent.append, stopping=lambda: False)


def test_an_inspection_answers_with_facts(bench):
    message = worker.respond(Inspect("lenet", "digits"), bench)
    assert message.kind == "ended"
    facts = message.value
    assert facts.network.input_shape == (8, 8, 1)
    assert (facts.data.num_train, facts.data.num_test) == (1437, 360)
    # 64 x 300, 300 x 100 and 100 x 10, and their biases.
    assert facts.kernel_shapes == {
        "dense_1/kernel": (64, 300),
        "dense_2/kernel": (300, 100),
        "head/kernel": (100, 10),
    }
    assert facts.num_trainable == facts.num_weights == 50_200 + 410
    assert facts.flops_per_example == 2 * 50_200
    assert not facts.has_batch_norm


@pytest.mark.parametrize(
    ("model", "dataset", "text"),
    [("nope", "digits", "no model 'nope'"), ("lenet", "nope", "no dataset 'nope'")],
)
def test_an_inspection_of_what_is_not_there_is_refused(bench, model, dataset, text):
    message = worker.respond(Inspect(model, dataset), bench)
    assert message.kind == "refused"
    assert text in message.value


def test_an_exception_is_told_with_its_traceback(bench, toys, sent):
    message = worker.respond(Make(toys.Broken(3)), bench)
    assert message.kind == "failed"
    assert message.value.startswith("Traceback")
    assert "3 cannot be computed" in message.value
    assert sent == []


def test_a_job_whose_data_changed_is_begun_again_with_others(bench, toys, monkeypatch):
    """In the same process, which opens its data anew."""
    source = bench.runtime.source("digits", model="lenet")

    def execute(self, context):
        raise ChangedData("images.npy was changed")

    monkeypatch.setattr(toys.Number, "execute", execute)
    message = worker.respond(Make(toys.Number(3)), bench)
    assert message == Message("died", "images.npy was changed")
    assert bench.runtime.source("digits", model="lenet") is not source


def test_a_finished_component_is_told(bench, toys, sent):
    goal = toys.Number(3)
    message = worker.respond(Make(goal), bench)
    assert (message.kind, message.value) == ("ended", "finished")
    assert [(one.kind, one.value) for one in sent] == [("made", goal.address)]


def test_a_damaged_input_is_named(bench, toys, store):
    one = toys.Number(1)
    worker.respond(Make(one), bench)
    (store.open(one.address) / "number.txt").write_text("22")
    message = worker.respond(Make(toys.Sum(one, one)), bench)
    assert (message.kind, message.value) == ("damaged", one.address)
    assert not store.has(one.address)


def test_a_locked_job_is_busy(bench, toys, store):
    goal = toys.Number(1)
    with store.lock(Make(goal).name):
        assert worker.respond(Make(goal), bench).value == "busy"
    assert worker.respond(Make(goal), bench).value == "finished"
