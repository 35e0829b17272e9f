"""What a plan is said to cost."""

import dataclasses
import re

import pytest
import threadpoolctl

from tflottery.core import hardware
from tflottery.execution import estimate, rates, work
from tflottery.execution.jobs import Advance, Make
from tflottery.execution.plan import plan_of
from tflottery.experiments import instability
from tflottery.training.distribution import Placement

CPU = Placement()


@pytest.fixture
def todo(make_study, store):
    study = make_study()
    goals = instability.plan(study)
    return plan_of(goals, store, facts={study.facts.network: study.facts})


def test_of_other_machines_is_told_what_is_known_here(todo, store, monkeypatch):
    monkeypatch.setattr(hardware, "visible_gpus", list)
    monkeypatch.setattr(hardware, "visible_cores", lambda: 1)
    told = {"title": "", "store": store.root, "learned": {}, "num_workers": 400}
    gpus = Placement(device="gpu", is_remote=True)
    text = estimate.summary(todo, placement=gpus, **told)
    assert "not known with 400 workers on the GPUs of a cluster: which GPUs " in text
    cpus = Placement(is_remote=True)
    text = estimate.summary(todo, placement=cpus, **told)
    assert "with 400 workers on the CPUs of a cluster" in text
    one, many = (
        estimate.seconds(todo, num_workers=400, placement=one, learned={})
        for one in (CPU, cpus)
    )
    # Cores of this machine are not shared by them.
    assert many.low < one.low / 10


def test_the_summary_says_all_that_a_user_decides_by(todo, store):
    text = estimate.summary(
        todo,
        title="a title",
        store=store.root,
        num_workers=4,
        placement=CPU,
        learned={},
    )
    assert text.startswith("a title\n")
    assert "runs        5" in text
    assert "390 to make, 0 in the store, 0 saved by sharing" in text
    # The ends of four copies keep Adam's two slots for each of 50,610 weights.
    longer = "1.6 MB of it to train for longer from the ends"
    assert f"MB in {store.root}, {longer}" in text
    assert re.search(r"time +\d+ (seconds )?to \d+ \w+ with 4 workers on the CPU", text)
    assert "diverged" not in text
    assert "memory      about 0.8 GB a worker, which trains lenet on 60 images" in text


def test_what_a_worker_has_of_large_networks_besides_training_is_told(todo, store):
    # As many weights as AlexNet has, of which a whole command took 5.3 GB.
    large = [
        dataclasses.replace(step, num_weights=61_100_840, num_working_bytes=10**9)
        if step.num_working_bytes
        else step
        for step in todo.steps
    ]
    many = dataclasses.replace(todo, steps=tuple(large))
    told = {"title": "", "store": store.root, "learned": {}, "num_workers": 1}
    assert "about 4.7 GB a worker" in estimate.summary(many, placement=CPU, **told)


@pytest.mark.parametrize(
    ("num_workers", "num_bytes", "says"),
    [
        (3, 10e9, ""),
        (3, 0, ""),
        (3, 0.5e9, "more than the 0.5 GB of a GPU: --replica_batch_size has parts"),
        (9, 2e9, "more than the 2.0 GB of a GPU: 3 workers share it, take fewer"),
    ],
)
def test_the_summary_says_where_a_gpu_has_too_little_memory(
    todo, store, three_gpus, monkeypatch, num_workers, num_bytes, says
):
    monkeypatch.setattr(hardware, "gpu_bytes", lambda: num_bytes)
    told = {"title": "", "store": store.root, "learned": {}}
    alone = Placement(device="gpu")
    text = estimate.summary(todo, placement=alone, num_workers=num_workers, **told)
    assert ("of a GPU:" in text) == bool(says) and says in text


def test_the_summary_says_what_cannot_be_made(todo, store):
    lost = dataclasses.replace(todo, unobtainable={"a/a": 7, "a/b": 7, "a/c": None})
    text = estimate.summary(
        lost, title="", store=store.root, num_workers=1, placement=CPU, learned={}
    )
    assert "2 results cannot be made" in text
    assert "1 results that do not exist" in text
    assert "with 1 worker on the CPU\n" in text


def test_the_rate_of_a_core_is_that_of_one_thread(monkeypatch):
    # Of sixteen that wait for one another it was a tenth of it.
    used = []

    def process_time():
        pools = threadpoolctl.threadpool_info()
        used.extend(one["num_threads"] for one in pools if one["user_api"] == "blas")
        return len(used) / 1e3

    monkeypatch.setattr(rates.time, "process_time", process_time)
    with threadpoolctl.threadpool_limits(2):
        assert rates.core_rate() > 0
    assert used and set(used) == {1}


@pytest.fixture
def four_cores(monkeypatch):
    """A machine of four cores, each good for a million operations a second."""
    rate = 1e6 / rates.CPU_EFFICIENCY
    monkeypatch.setattr(rates, "core_rate", lambda: rate)
    monkeypatch.setattr(hardware, "visible_cores", lambda: 4)


@pytest.fixture
def exact(monkeypatch):
    """Estimates without a range, and with nothing but the work itself."""
    for name in ("_START_SECONDS", "_COMPILE_SECONDS", "_ARTIFACT_SECONDS"):
        monkeypatch.setattr(estimate, name, 0.0)
    for name in ("_LEARNED_RANGE", "_UNKNOWN_RANGE"):
        monkeypatch.setattr(estimate, name, (1.0, 1.0))
    for name in ("GPU_SECONDS_PER_LAYER", "GPU_COMPILE_SECONDS_PER_LAYER"):
        monkeypatch.setattr(rates, name, 0.0)


def ranged(todo, num_workers, placement=CPU, learned=None):
    return estimate.seconds(
        todo, num_workers=num_workers, placement=placement, learned=learned or {}
    )


def seconds(goals, store, num_workers, placement=CPU):
    told = ranged(plan_of(goals, store, facts={}), num_workers, placement)
    assert told.low == told.high
    return pytest.approx(told.low)


def test_a_range_holds_what_the_operations_take(todo, four_cores):
    found = ranged(todo, 1)
    assert found.low < todo.flops / 1e6 < found.high
    assert ranged(todo, 4).high < found.high


def test_what_was_learned_stands_for_operations(todo, four_cores, exact):
    runs = [step.job.run for step in todo.steps if isinstance(step.job, Advance)]
    lines = [step.job.component for step in todo.steps if isinstance(step.job, Make)]
    learned = {
        work.training(runs[0], num_devices=1): 0.5,
        work.measuring(runs[0], num_devices=1): 0.001,
    }
    num_images = sum(line.passes().number for line in lines)
    assert num_images == len(lines) * 30 * (1437 + 360)
    expected = 0.5 * todo.num_iterations + 0.001 * num_images
    assert ranged(todo, 1, learned=learned).low == pytest.approx(expected)
    # Of what nobody has done, operations tell.
    del learned[work.measuring(runs[0], num_devices=1)]
    expected = 0.5 * todo.num_iterations + sum(
        step.flops / 1e6 for step in todo.steps if isinstance(step.job, Make)
    )
    assert ranged(todo, 1, learned=learned).low == pytest.approx(expected)


def test_images_to_be_decoded_are_counted(make_study, store, three_gpus, facts):
    study = make_study()
    goals = instability.plan(study)
    encoded = dataclasses.replace(facts, has_many_sizes=True)
    decoded, arrays = (
        plan_of(goals, store, facts={facts.network: one}) for one in (encoded, facts)
    )
    batch_size = study.recipe.batch_size
    num_images = 0
    for step in decoded.steps:
        own = step.num_iterations * batch_size
        if isinstance(step.job, Make):
            own = step.job.component.passes().number
        assert step.num_decoded == own
        num_images += own
    took = num_images / rates.DECODED_PER_SECOND
    computing = decoded.flops / 1e6
    assert ranged(decoded, 1).low == pytest.approx(computing + took)
    assert ranged(arrays, 1).low == pytest.approx(computing)
    # A GPU's third of four cores decodes while the GPU computes.
    most = sum(
        max(step.flops / 1e8, step.num_decoded / rates.DECODED_PER_SECOND / (4 / 3))
        for step in decoded.steps
    )
    found = ranged(decoded, 1, Placement(device="gpu")).low
    assert found == pytest.approx(most)
    assert not any(step.num_decoded for step in arrays.steps)
    # What was learned holds it.
    kinds = {
        kind(step.job.run, num_devices=1): 0.0
        for step in decoded.steps
        if isinstance(step.job, Advance)
        for kind in (work.training, work.measuring)
    }
    assert ranged(decoded, 1, learned=kinds).low == 0.0


def test_start_compilation_and_the_store_are_counted(todo, store, monkeypatch):
    monkeypatch.setattr(hardware, "visible_cores", lambda: 2)
    runs = [step.job.run for step in todo.steps if isinstance(step.job, Advance)]
    learned = {
        work.training(runs[0], num_devices=1): 0.0,
        work.measuring(runs[0], num_devices=1): 0.0,
    }
    found = ranged(todo, 1, learned=learned)
    made = sum(len(step.makes) for step in todo.steps)
    # The dense training, and measuring; one worker has started by now.
    ready = 2 * estimate._COMPILE_SECONDS
    low, high = estimate._READY_RANGE
    store_seconds = made * estimate._ARTIFACT_SECONDS
    assert found.low == pytest.approx(store_seconds + low * ready)
    assert found.high == pytest.approx(store_seconds + high * ready)
    # Two start and compile side by side, four wait for one another.
    ready += estimate._START_SECONDS
    for num_workers, times in ((2, 1), (4, 2)):
        several = ranged(todo, num_workers, learned=learned)
        expected = store_seconds / 2 + times * high * ready
        assert several.high == pytest.approx(expected)


def test_workers_share_what_can_be_shared(toys, store, four_cores, exact):
    apart = [toys.Costly(str(number), 1e6) for number in range(8)]
    assert 8.0 == seconds(apart, store, 1)
    assert 4.0 == seconds(apart, store, 2)
    assert 2.0 == seconds(apart, store, 4)
    assert 2.0 == seconds(apart, store, 99)


def test_a_plan_takes_at_least_as_long_as_its_longest_chain(
    toys, store, four_cores, exact
):
    chain = None
    for step in range(4):
        chain = toys.Costly(f"chain {step}", 1e6, chain)
    for num_workers in (1, 2, 4):
        assert 4.0 == seconds([chain], store, num_workers)
    apart = [toys.Costly(str(number), 1e6) for number in range(6)]
    assert 10.0 == seconds([chain, *apart], store, 1)
    assert 5.0 == seconds([chain, *apart], store, 2)
    assert 4.0 == seconds([chain, *apart], store, 4)


def test_threads_make_a_worker_faster_and_workers_fewer(toys, store, four_cores, exact):
    apart = [toys.Costly(str(number), 1e6) for number in range(8)]
    four, two = Placement(threads=4), Placement(threads=2)
    assert 8.0 / 4**0.7 == seconds(apart, store, 1, four)
    assert 4.0 / 2**0.7 == seconds(apart, store, 2, two)
    # There are no cores for more of them.
    assert 4.0 / 2**0.7 == seconds(apart, store, 4, two)
    # What more than four gain was not measured.
    (step, *_) = plan_of(apart, store, facts={}).steps
    many = rates.seconds_on(Placement(threads=64))(step)
    assert many == rates.seconds_on(four)(step)


def test_a_long_plan_says_what_would_take_less_time(make_study, store, four_cores):
    told = {"title": "", "store": store.root, "num_workers": 4, "learned": {}}
    study = make_study()
    for updates, says in ((100, True), (10, False)):
        goals = [study.trunk_state(1, updates)]
        todo = plan_of(goals, store, facts={study.facts.network: study.facts})
        text = estimate.summary(todo, placement=CPU, **told)
        assert ("--threads=4 trains each on 4" in text) == says
    text = estimate.summary(todo, placement=Placement(threads=2), **told)
    assert "with 4 workers of 2 threads on the CPU" in text


def test_nothing_to_do_takes_no_time(store, four_cores):
    assert 0.0 == seconds([], store, 4)


@pytest.fixture
def three_gpus(monkeypatch, four_cores, exact):
    """A machine of three GPUs, each good for a hundred million operations a second."""
    rate = 1e8 / rates.GPU_EFFICIENCY
    monkeypatch.setattr(hardware, "gpu_rate", lambda: rate)
    monkeypatch.setattr(hardware, "visible_gpus", lambda: ["0", "1", "2"])


def test_gpus_have_a_rate_of_their_own(toys, store, three_gpus):
    apart = [toys.Costly(str(number), 1e8) for number in range(6)]
    alone = Placement(device="gpu")
    assert 6.0 == seconds(apart, store, 1, alone)
    assert 2.0 == seconds(apart, store, 3, alone)
    # More workers share the same GPUs.
    assert 2.0 == seconds(apart, store, 9, alone)
    together = Placement("mirrored", device="gpu", num_devices=3)
    assert 2.0 / rates.SHARING_EFFICIENCY == seconds(apart, store, 1, together)


@pytest.mark.parametrize(
    ("placement", "rate", "expected"),
    [
        (
            Placement("tpu", device="tpu", num_devices=0),
            1.0,
            "not known with 1 worker on the TPU: nobody has timed a TPU yet. python -m "
            "tflottery.plan says",
        ),
        (
            Placement(device="gpu"),
            0.0,
            "not known with 1 worker on 1 GPU: the driver does not say how fast",
        ),
        (Placement("mirrored", device="gpu", num_devices=3), 1e9, "worker on 3 GPUs"),
    ],
)
def test_what_has_no_known_rate_gets_no_time(
    toys, store, three_gpus, monkeypatch, placement, rate, expected
):
    monkeypatch.setattr(hardware, "gpu_rate", lambda: rate)
    todo = plan_of([toys.Costly("one", 1e8)], store, facts={})
    told = {"title": "", "store": store.root, "num_workers": 1, "learned": {}}
    assert expected in estimate.summary(todo, placement=placement, **told)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 seconds"),
        (89, "89 seconds"),
        (91, "2 minutes"),
        (3600, "60 minutes"),
        (2 * 3600, "2.0 hours"),
        (200_000, "55.6 hours"),
        (3_600_000, "41.7 days"),
        (3_600_000_000, "114.2 years"),
    ],
)
def test_durations_for_people(seconds, text):
    assert estimate.readable(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0, 0.4, "about 0 seconds"),
        (20, 40, "20 to 40 seconds"),
        (80, 120, "80 seconds to 2 minutes"),
        (3600, 7200, "60 minutes to 2.0 hours"),
        (3_600_000, 7_200_000, "41.7 to 83.3 days"),
        (36_000_000, 72_000_000, "416.7 days to 2.3 years"),
    ],
)
def test_ranges_for_people(low, high, text):
    assert str(estimate.Range(low, high)) == text
