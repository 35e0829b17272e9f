"""What a worker says of how its jobs ended."""

import dataclasses
import errno

import pytest

from tflottery.core.recipes import Setting
from tflottery.datasets.arrays import ChangedData
from tflottery.datasets.encoded import DamagedImage
from tflottery.datasets.records import DamagedRecords
from tflottery.execution import worker
from tflottery.execution.jobs import Inspect, Make
from tflottery.execution.worker import Message
from tflottery.training import process
from tflottery.training.distribution import Placement
from tflottery.training.runtime import OtherData, UnusableData


@pytest.fixture
def sent():
    return []


@pytest.fixture
def begin(settings, sent):
    return worker.set_up(settings, send=sent.append, stopping=lambda: False)


@pytest.fixture
def respond(begin):
    return lambda job: worker.respond(job, begin())


@pytest.mark.parametrize("threads", [1, 3])
def test_as_many_threads_as_placed_compute(settings, monkeypatch, threads):
    told = {}
    monkeypatch.setattr(process, "configure", lambda **options: told.update(options))
    placed = dataclasses.replace(settings, placement=Placement(threads=threads))
    worker.set_up(placed, send=None, stopping=None)
    assert told["threads"] == threads


def test_an_inspection_answers_with_facts(respond):
    message = respond(Inspect("lenet", Setting("digits")))
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
def test_an_inspection_of_what_is_not_there_is_refused(respond, model, dataset, text):
    message = respond(Inspect(model, Setting(dataset)))
    assert message.kind == "refused"
    assert text in message.value


def test_an_exception_is_told_with_its_traceback(respond, toys, sent):
    message = respond(Make(toys.Broken(3)))
    assert message.kind == "failed"
    assert message.value.startswith("Traceback")
    assert "3 cannot be computed" in message.value
    assert sent == []


def test_a_job_whose_data_changed_is_begun_again_with_others(begin, toys, monkeypatch):
    """In the same process, which opens its data anew."""
    context = begin()
    source = context.runtime.source("digits", model="lenet")

    def execute(self, context):
        raise ChangedData("images.npy was changed")

    monkeypatch.setattr(toys.Number, "execute", execute)
    message = worker.respond(Make(toys.Number(3)), context)
    assert message == Message("died", "images.npy was changed")
    assert begin().runtime.source("digits", model="lenet") is not source


@pytest.mark.parametrize(
    "damage", [DamagedImage, DamagedRecords, OtherData, UnusableData]
)
def test_data_that_are_damaged_are_refused(respond, toys, monkeypatch, damage):
    def execute(self, context):
        raise damage("the image in record 3 of 'shard' is none")

    monkeypatch.setattr(toys.Number, "execute", execute)
    message = respond(Make(toys.Number(3)))
    assert message == Message("refused", "the image in record 3 of 'shard' is none")


def test_a_finished_component_is_told(respond, toys, sent):
    goal = toys.Number(3)
    message = respond(Make(goal))
    assert (message.kind, message.value) == ("ended", "finished")
    assert [(one.kind, one.value) for one in sent] == [("made", goal.address)]


def test_a_damaged_input_is_named(respond, toys, store):
    one = toys.Number(1)
    respond(Make(one))
    (store.open(one.address) / "number.txt").write_text("22")
    message = respond(Make(toys.Sum(one, one)))
    assert (message.kind, message.value.address) == ("damaged", one.address)
    assert not store.has(one.address)


def test_a_locked_job_is_busy(respond, toys, store):
    goal = toys.Number(1)
    with store.lock(Make(goal).name):
        assert respond(Make(goal)).value == "busy"
    assert respond(Make(goal)).value == "finished"


def test_a_store_that_cannot_be_written_is_no_failure_of_the_job(
    respond, toys, monkeypatch
):
    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tflottery.store.staging.Staging.new", full)
    message = respond(Make(toys.Number(1)))
    assert message.kind == "unusable"
    assert "No space left on device" in message.value
    assert "Traceback" not in message.value
