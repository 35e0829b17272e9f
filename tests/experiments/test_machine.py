"""How many workers a command has, where each trains, and what is refused."""

import collections
import importlib
import json
import sys

import pytest

from tflottery.core import environment, hardware
from tflottery.core.environment import SetupError
from tflottery.core.training_hosts import Hosts
from tflottery.execution.inline import InlinePool
from tflottery.execution.plan import plan_of
from tflottery.experiments import lottery
from tflottery.store import manifests
from tflottery.store.store import Store
from tflottery.studies import machine as machines
from tflottery.studies import multi_worker_session
from tflottery.studies.machine import Machine, placement_of, pool_of
from tflottery.training import distribution, process
from tflottery.training.distribution import Placement


@pytest.fixture
def settings_of(monkeypatch, tmp_path):
    """Returns the settings of the workers of a machine that has such devices."""

    def make(*, gpus=(), cores=8, **options):
        monkeypatch.setattr(hardware, "visible_gpus", lambda: list(gpus))
        monkeypatch.setattr(hardware, "visible_cores", lambda: cores)
        machine = Machine(**options)
        machine.validate()
        store = Store(str(tmp_path / "store"))
        with pool_of(machine, placement_of(machine), store) as pool:
            return pool._settings

    return make


def used(settings):
    """Returns how many workers each GPU has."""
    return collections.Counter(one.gpu for one in settings)


@pytest.mark.parametrize(
    ("options", "workers", "threads"),
    [
        ({}, 8, 1),
        ({"threads": 2}, 4, 2),
        ({"threads": 3}, 2, 3),
        # On fewer cores than threads the bits are the same, and it takes longer.
        ({"threads": 16}, 1, 16),
        ({"threads": 4, "workers": 5}, 5, 4),
        ({"threads": 4, "distribute": "mirrored"}, 1, 4),
    ],
)
def test_a_worker_has_a_core_for_each_thread(settings_of, options, workers, threads):
    found = settings_of(**options)
    assert len(found) == workers
    assert {one.placement.threads for one in found} == {threads}
    assert used(found) == {None: workers}


def test_workers_are_spread_over_gpus_and_share_them(settings_of):
    assert used(settings_of(gpus=("0", "1"))) == {"0": 1, "1": 1}
    assert used(settings_of(gpus=("0", "1"), workers=1)) == {"0": 1}
    assert used(settings_of(gpus=("0", "1"), workers=8)) == {"0": 4, "1": 4}
    assert used(settings_of(gpus=("3",), workers=8)) == {"3": 8}
    # Those of a GPU share the cores that decode for it.
    uneven = settings_of(gpus=("0", "1"), workers=5)
    assert [one.num_sharing for one in uneven] == [3, 2, 3, 2, 3]
    # Each takes of its memory what it needs.
    variables = environment.cleaned(process.variables("3"))
    assert variables["CUDA_VISIBLE_DEVICES"] == "3"
    assert variables["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    shared = settings_of(gpus=("0", "1"), distribute="mirrored")
    assert used(shared) == {"all": 1}
    # A TPU's worker leaves GPUs alone, and does not ask for them.
    on_tpu = {"distribute": "tpu", "tpu": "mine"}
    assert used(settings_of(gpus=("0", "1"), **on_tpu)) == {None: 1}
    # Until there is a plan.
    assert used(settings_of(gpus=("0", "1"), distribute="auto")) == {"0": 1, "1": 1}
    assert used(settings_of(distribute="auto")) == {None: 8}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"threads": 0}, "--threads=0 has to be at least 1"),
        (
            {"threads": 65},
            "--threads=65 in each of 1 worker is too many for the 8 cores",
        ),
        (
            {"threads": 8, "workers": 9},
            "--threads=8 in each of 9 workers is too many .* each serves 8 at most",
        ),
        ({"threads": 2, "gpus": ["0"]}, "--threads=2 .* CPU, and .* run on a GPU"),
        ({"threads": 2, "distribute": "tpu"}, "--threads=2 .* run on a TPU. Leave it"),
        (
            {"distribute": "auto", "executor": "inline"},
            "--distribute='auto' chooses among worker processes.* Say none or mirrored",
        ),
        ({"ray_address": "a:1"}, "--ray_address='a:1' goes with --executor=ray"),
        (
            {"executor": "ray", "ray_address": "ray://a:1"},
            "--ray_address='ray://a:1' has to be HOST:PORT.*ray job submit",
        ),
        (
            {"executor": "ray", "distribute": "multi_worker"},
            "--distribute='multi_worker' does not go with --executor=ray",
        ),
        (
            {"executor": "ray", "distribute": "tpu", "tpu": "mine"},
            "--tpu='mine' with --executor=ray: workers train on the TPUs of their own",
        ),
        ({"workers": 17, "gpus": ["0", "1"]}, "--workers=17 .* the 2 GPUs of this"),
        (
            {"workers": 2, "gpus": ["0", "1"], "distribute": "mirrored"},
            "--workers=2 with --distribute=mirrored: one worker uses all devices",
        ),
    ],
)
def test_what_would_not_get_on_is_refused(settings_of, options, text):
    with pytest.raises(ValueError, match=text):
        settings_of(**options)


def test_a_tpu_that_cannot_be_here_is_refused_at_once(settings_of, monkeypatch):
    monkeypatch.setattr(hardware, "may_have_tpu", lambda: False)
    with pytest.raises(SetupError) as caught:
        settings_of(distribute="tpu")
    for fact in ("No TPU answers at --tpu='local'", "tensorflow-tpu", "gcloud"):
        assert fact in str(caught.value)
    # Whether one does elsewhere, TensorFlow finds out.
    assert len(settings_of(distribute="tpu", tpu="mine")) == 1
    monkeypatch.setattr(hardware, "may_have_tpu", lambda: True)
    assert len(settings_of(distribute="tpu")) == 1


@pytest.fixture
def settled(monkeypatch, tmp_path, study_of):
    """Returns where a plan is settled on a machine of GPUs, and its workers' GPUs.

    The plan is of as many replicates of IMP, each batch of 60 images in some parts. The
    GPUs are slow, so that batches are worth sharing.
    """

    def settle(*, num_gpus, replicates, part=None, rate=1e7, **options):
        monkeypatch.setattr(
            hardware, "visible_gpus", lambda: list("01234567")[:num_gpus]
        )
        monkeypatch.setattr(hardware, "gpu_rate", lambda: rate)
        machine, store = Machine(**options), Store(str(tmp_path / "store"))
        placement = placement_of(machine)
        study = study_of(
            lottery,
            replicates=replicates,
            replica_batch_size=part,
            subnetworks=("imp",),
            rewind_iterations=(0,),
            levels=("1-3",),
        )
        facts = {study.facts.network: study.facts}
        plan = plan_of(lottery.plan(study), store, facts=facts)
        with pool_of(machine, placement, store) as pool:
            found = machines.settled(machine, placement, plan, pool=pool, store=store)
            assert {one.placement for one in pool._settings} == {found}
            return found, [one.gpu for one in pool._settings]

    return settle


ALONE = Placement(device="gpu")
TOGETHER = Placement("mirrored", device="gpu", num_devices=4)


def test_auto_has_all_gpus_at_a_chain_and_one_at_each_of_many(settled):
    chain = {"num_gpus": 4, "replicates": 1, "part": 15}
    assert settled(**chain, distribute="auto") == (TOGETHER, ["all"])
    assert settled(**chain) == (ALONE, list("0123"))
    # Nor where each update takes a GPU a millisecond.
    quick = chain | {"rate": 1e14}
    assert settled(**quick, distribute="auto") == (ALONE, list("0123"))
    # Others may use what these workers do not.
    for workers in (1, 4):
        found = settled(**chain, distribute="auto", workers=workers)
        assert found == (ALONE, list("0123")[:workers])
    many = chain | {"replicates": 4}
    assert settled(**many, distribute="auto") == (ALONE, list("0123"))


@pytest.mark.parametrize("part", [None, 60, 30, 20])
def test_auto_changes_no_key(settled, part):
    """Where batches have no parts for all GPUs, all at a run would be other runs."""
    found = settled(num_gpus=4, replicates=1, part=part, distribute="auto")
    assert found == (ALONE, list("0123"))


def test_auto_is_no_choice_with_one_gpu_or_none(settled):
    asked = {"replicates": 1, "part": 15, "distribute": "auto"}
    assert settled(num_gpus=1, **asked) == (ALONE, ["0"])
    found, gpus = settled(num_gpus=0, workers=2, **asked)
    assert (found, gpus) == (Placement(), [None, None])


class GpusOfThisProcess(InlinePool):
    """Answers as workers on GPUs would."""

    def begin_anew(self, settings):
        self._settings = settings


@pytest.mark.parametrize(("part", "says"), [(30, True), (None, False)])
def test_a_plan_says_that_gpus_share_each_batch(execute, monkeypatch, part, says):
    monkeypatch.setattr(hardware, "visible_gpus", lambda: ["0", "1"])
    monkeypatch.setattr(hardware, "gpu_rate", lambda: 1e7)
    monkeypatch.setattr(hardware, "gpu_bytes", lambda: 80e9)
    # What would set this process up for a GPU.
    monkeypatch.setattr(process, "configure", lambda **_: None)
    monkeypatch.setattr(distribution, "validate", lambda _: None)
    monkeypatch.setattr(machines, "Pool", lambda all_: GpusOfThisProcess(all_[0]))
    options = {"subnetworks": ("imp",), "rewind_iterations": (0,), "levels": ("1-3",)}
    ended = execute(
        lottery,
        replicates=1,
        replica_batch_size=part,
        executor="local",
        distribute="auto",
        dry_run=True,
        **options,
    )
    assert ended.code == 0
    assert ("all 2 share each batch. Keys stay the same; results" in ended.text) == says
    assert ("on 2 GPUs" in ended.text) == says


@pytest.fixture
def plugin(monkeypatch, tmp_path):
    """Returns the file of an imported module of the user's."""
    path = tmp_path / "own_part.py"
    path.write_text("SIZE = 1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "own_part", importlib.import_module("own_part"))
    return path


def test_hosts_that_train_together_have_to_have_one_code(monkeypatch, plugin):
    monkeypatch.setattr(manifests, "environment", lambda: {"git_commit": "abc"})
    placement = Placement("multi_worker", hosts=Hosts(("a:1", "b:1"), 1))
    machine = Machine(plugins=("own_part",))

    def told():
        return multi_worker_session._options(lottery.Config(), machine, placement)

    before = told()
    assert before["the commit"] == "abc"
    plugin.write_text("SIZE = 2")
    after = told()
    assert {name for name in after if after[name] != before[name]} == {
        "the code of own_part"
    }


@pytest.mark.parametrize("index", [0, 1])
def test_what_is_wrong_is_told_before_other_hosts_are_waited_for(monkeypatch, index):
    monkeypatch.setattr(hardware, "visible_gpus", list)
    task = {"type": "worker", "index": index}
    told = {"cluster": {"worker": ["192.0.2.1:1", "192.0.2.2:1"]}, "task": task}
    monkeypatch.setenv("TF_CONFIG", json.dumps(told))
    machine = Machine(distribute="multi_worker", workers=2)
    with pytest.raises(ValueError, match="--workers=2 with --distribute=multi_worker"):
        multi_worker_session.execute(lottery, lottery.Config(), machine=machine)
