"""How many workers a command has, where each trains, and what is refused."""

import collections

import pytest

from tflottery.core import hardware
from tflottery.store.store import Store
from tflottery.studies.machine import Machine, placement_of, pool_of


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
    shared = settings_of(gpus=("0", "1"), distribute="mirrored")
    assert used(shared) == {"all": 1}


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
