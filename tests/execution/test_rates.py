"""What devices are taken to do in a second, against what was measured."""

import pathlib
import re

import pytest

import tflottery
from tflottery.core import hardware
from tflottery.core.recipes import Setting
from tflottery.execution import estimate, rates
from tflottery.execution.plan import plan_of
from tflottery.experiments.instability import Config
from tflottery.plan import known_data
from tflottery.studies.study import study_of
from tflottery.training.distribution import Placement

_PAGE = pathlib.Path(tflottery.__file__).parents[1] / "docs/scaling.md"
GPU = Placement(device="gpu")


@pytest.fixture(scope="module")
def facts_of():
    known = {}

    def facts(model: str, setting: Setting):
        if (model, setting) not in known:
            known[model, setting] = known_data.facts_of(model, setting)
        return known[model, setting]

    return facts


@pytest.fixture
def trunk(facts_of, store, monkeypatch):
    """Returns the plan of so many updates of a network, on a machine with a GPU.

    And with cores enough to decode for it.
    """
    monkeypatch.setattr(hardware, "visible_cores", lambda: 64)
    monkeypatch.setattr(hardware, "visible_gpus", lambda: ["0"])
    monkeypatch.setattr(hardware, "gpu_rate", lambda: rates.H100_RATE)

    def plan(model, *, updates, **options):
        config = Config(model=model, training_iterations=updates, **options)
        study = study_of(config, facts_of, GPU)
        goals = [study.trunk_state(1, updates)]
        return plan_of(goals, store, facts={study.facts.network: study.facts})

    return plan


def _measured():
    """Returns (network, batch, precision, updates a second, seconds to compile)."""
    for line in _PAGE.read_text().splitlines():
        cells = [one.strip() for one in line.strip("|").split("|")]
        if not re.match(r"\d+ of \d+ x", cells[1] if len(cells) == 7 else ""):
            continue
        name = {"LeNet-300-100": "lenet"}.get(cells[0], cells[0].lower())
        batch = int(cells[1].split()[0])
        for precision, cell in (("float32", cells[2]), ("mixed_bfloat16", cells[4])):
            if cell:
                yield name.replace("-", ""), batch, precision, cell, float(cells[6])


_MEASURED = list(_measured()) if _PAGE.exists() else []


def test_the_page_has_what_was_measured_on_a_gpu():
    assert len(_MEASURED) == 6 or not _PAGE.exists()


@pytest.mark.parametrize(
    ("model", "batch", "precision", "told", "compiling"),
    _MEASURED,
)
def test_what_was_measured_on_a_gpu_is_in_the_range_told(
    trunk, model, batch, precision, told, compiling
):
    plan = trunk(model, updates=1000, batch_size=batch, precision=precision)
    took = 1000 / float(told.replace(",", ""))
    (step,) = plan.steps
    found = rates.gpu_seconds(step, peak=rates.H100_RATE)
    assert took / 1.5 < found < took * 1.5
    ready = estimate._until_ready(plan, 1, device="gpu")
    assert ready / 2.6 < compiling < ready * 2
    whole = estimate.seconds(plan, num_workers=1, placement=GPU, learned={})
    assert whole.low < took + compiling < whole.high


def test_a_chip_of_a_tpu_is_put_at_a_gpus_fraction_of_its_peak(trunk):
    # 197e12 operations a second in bfloat16 by its maker, in float32 a sixth.
    for precision, peak in (("float32", 197e12 / 6), ("mixed_bfloat16", 197e12)):
        (step,) = trunk(
            "resnet50", updates=10, batch_size=64, precision=precision
        ).steps
        assert rates.tpu_seconds(step) == pytest.approx(step.flops / (peak / 4))


def test_parts_of_a_batch_take_their_turns(trunk):
    whole, parts = (
        trunk("lenet", updates=1000, batch_size=64, replica_batch_size=size).steps[0]
        for size in (64, 8)
    )
    peak = {"peak": rates.H100_RATE}
    one = rates.gpu_seconds(whole, **peak)
    assert rates.gpu_seconds(parts, **peak) == pytest.approx(8 * one)
    # On eight GPUs each has one, and waits for the others.
    shared = rates.gpu_seconds(parts, **peak, num_gpus=8)
    assert shared == pytest.approx(5 * one + 1000 * 20e-3)
