"""What is to be run first on a new machine: here the processor stands in for others."""

import subprocess
import sys

import pytest

from tflottery.core import hardware
from tflottery.datasets import source
from tflottery.reports import device_check, device_trials
from tflottery.training import distribution
from tflottery.training.distribution import Placement
from tflottery.training.precisions import FLOAT32, MIXED_BFLOAT16, PRECISIONS

pytestmark = pytest.mark.usefixtures("loops_are_graphs")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Speed is measured for an instant."""
    monkeypatch.setattr(device_trials, "_SECONDS_OF_SPEED", 0.01)


def findings(placement, tmp_path, **options):
    options = {"models": ["lenet"], "store": str(tmp_path / "store")} | options
    return {one.step: one for one in device_check.findings(placement, **options)}


def test_every_step_is_told(tmp_path):
    found = findings(Placement(), tmp_path)
    assert [one.is_sound for one in found.values()] == [True] * 5 + [None]
    # What takes no time is told before minutes go by.
    assert list(found)[:2] == ["devices", "store"]
    assert "1 processor; " in found["devices"].told
    # The processor beside itself.
    assert found["lenet trains"].told.endswith("(the same bits)")
    assert found["lenet is measured"].told.endswith("as on the processor")
    assert "images a second" in found["lenet's speed"].told
    assert "--dataset" in found["input"].told
    assert str(tmp_path / "store") in found["store"].told
    assert not list((tmp_path / "store").glob("probe*"))
    assert str(found["store"]).startswith("ok ")


@pytest.mark.slow
def test_two_devices_train_and_measure_as_the_processor(mirrored, tmp_path):
    del mirrored
    placement = Placement("mirrored", "local", "cpu", 2)
    options = {"models": ["lenet_batch_norm"], "precisions": PRECISIONS}
    found = findings(placement, tmp_path, **options)
    told = found["lenet_batch_norm's speed in mixed_bfloat16"].told
    assert "images a second" in told
    assert all(one.is_sound is not False for one in found.values()), found
    assert "2 processors" in found["devices"].told
    assert "end where the processor's do" in found["lenet_batch_norm trains"].told


@pytest.mark.slow
def test_devices_that_compute_something_else_are_told(tmp_path, monkeypatch):
    plain = device_trials.Trial._updated

    def wrong(trial, trainer):
        start, end = plain(trial, trainer)
        if trainer is trial._trainer:
            end = end | {"head/bias": end["head/bias"] + 0.1}
        return start, end

    def miscounted(evaluator, weights):
        del weights
        return {True: (50, 2.0), False: (52, 2.0)}[evaluator._device is None]

    monkeypatch.setattr(device_trials.Trial, "_updated", wrong)
    monkeypatch.setattr(device_trials, "_measured", miscounted)
    found = findings(Placement(), tmp_path)
    assert found["lenet trains"].is_sound is False
    assert "not to be trusted" in found["lenet trains"].told
    assert found["lenet is measured"].is_sound is False
    assert "50 errors and a loss of 2; the processor has 52" in (
        found["lenet is measured"].told
    )
    assert found["store"].is_sound


def test_a_tpu_that_cannot_be_here_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "may_have_tpu", lambda: False)
    monkeypatch.setattr(distribution, "strategy", None)
    found = findings(Placement("tpu", "local", "tpu", 0), tmp_path)
    assert list(found) == ["devices"]
    assert "neither a device of one here nor the library" in found["devices"].told


def test_a_tpu_that_is_not_asked_for_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "may_have_tpu", lambda: True)
    found = findings(Placement(), tmp_path, models=[])
    assert "may be a TPU, which --distribute=tpu tries" in found["devices"].told


def test_data_that_are_not_there_are_told_in_a_sentence(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("Dataset 'imagenet2012' is not prepared in 'x'.")

    monkeypatch.setattr(source, "load", missing)
    monkeypatch.setattr(device_trials.Trial, "compared_updates", lambda _: "")
    found = findings(Placement(), tmp_path, models=["lenet"], dataset="imagenet2012")
    assert found["data"].told.startswith("Dataset 'imagenet2012' is not prepared")
    # Before minutes go by, and once.
    assert list(found)[:4] == ["devices", "store", "data", "lenet trains"]
    assert found["data"].is_sound is False and found["input"].is_sound is None


def test_after_devices_that_cannot_be_used_nothing_is_tried(tmp_path):
    found = findings(Placement(device="gpu"), tmp_path)
    assert list(found) == ["devices"]
    assert found["devices"].is_sound is False
    assert "TensorFlow finds 0" in found["devices"].told


def test_a_store_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("")
    found = findings(Placement(), tmp_path, models=[])
    assert found["store"].is_sound is False
    assert "holds other things" in found["store"].told


@pytest.mark.slow
def test_images_are_decoded_fast_enough_or_not(imagenet_dir, tmp_path, monkeypatch):
    options = {"dataset": "imagenet2012", "data_dir": str(imagenet_dir), "models": []}
    found = findings(Placement(), tmp_path, **options)
    assert "to measure, encoded in their files" in found["data"].told
    assert "by each core" in found["input"].told
    data = source.load("imagenet2012", data_dir=str(imagenet_dir))
    decoded = device_check._decoding
    with pytest.raises(
        device_check.SetupError, match="resnet50 in mixed.*wait.* cores"
    ):
        rates = {("resnet50", MIXED_BFLOAT16): 1e9, ("lenet", FLOAT32): 1e12}
        decoded(data, rates)
    told = decoded(data, {("resnet50", FLOAT32): 1e-3})
    assert told.endswith("enough for resnet50 in float32")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (
            ["--models=lenet", "--store={0}/store", "--dataset=imagenet2012"]
            + ["--data_dir={1}"],
            0,
            "\n           Reading dataset 'imagenet2012'",
        ),
        (["--data_dir={0}"], 2, "add --dataset=imagenet2012"),
        (["--models=lenet5"], 2, "no model 'lenet5'"),
        (["--distribute=all"], 2, "--distribute='all' has to be one of none"),
    ],
)
def test_the_program(arguments, code, text, tmp_path, imagenet_dir, monkeypatch):
    monkeypatch.setenv("TFLOTTERY_CACHE", str(tmp_path / "cache"))
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "tflottery.reports.device_check"),
            *(one.format(tmp_path, imagenet_dir) for one in arguments),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == code, ran.stderr
    assert text in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
