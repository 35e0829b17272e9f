"""What there is to compute with, from what Linux and a stand-in for a driver tell."""

import fnmatch
import os
import types

import pytest

from tflottery.core import cgroups, cuda_probe, hardware
from tflottery.core.environment import SetupError


@pytest.fixture
def told(monkeypatch):
    """Makes Linux tell the text of a first processor."""

    def tell(**entries):
        monkeypatch.setattr(hardware, "_processor", lambda: entries)
        hardware.instruction_set.cache_clear()

    yield tell
    hardware.instruction_set.cache_clear()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse4_1 avx avx2 fma", "avx2"),
        ("sse4_1 avx", "avx"),
        ("avx2 avx512f avx512bw avx512vl avx512dq", "avx512"),
        ("avx2 avx512f avx512bw avx512vl avx512dq avx512_vnni", "avx512_vnni"),
        ("avx512f avx512_vnni avx512_bf16 amx_tile amx_bf16", "avx512_amx"),
        ("avx2 avx512f", "avx2"),
        ("fpu", hardware.platform.machine()),
    ],
)
def test_the_best_class_of_instructions_is_named(told, flags, expected):
    told(flags=flags)
    assert hardware.instruction_set() == expected


def test_arm_names_its_flags_otherwise(told):
    told(Features="fp asimd sve")
    assert hardware.instruction_set() == "sve"


def test_without_what_linux_tells_it_is_the_architecture(told):
    told()
    assert hardware.instruction_set() == hardware.platform.machine()


def test_cores_are_those_this_process_may_use(monkeypatch):
    allowed = len(os.sched_getaffinity(0))
    for quota, expected in ((None, allowed), (1, 1), (allowed + 5, allowed)):
        monkeypatch.setattr(cgroups, "cores", lambda quota=quota: quota)
        assert hardware.visible_cores() == expected >= 1


# An A100 with less of everything: 2 x 1 GHz x 10 multiprocessors x 64 units, 40 GB.
GPU = [1_000_000, 10, 8, 0, 40_000_000_000]


@pytest.fixture
def driver(monkeypatch):
    """Stands in for what a driver's library tells; no GPU is needed or used."""

    def tell(*gpus, library=True, code=0, allowed=None, files=()):
        told = {"library": library, "code": code, "gpus": list(gpus)}
        monkeypatch.setattr(hardware, "_probe", lambda: told)
        shown = types.SimpleNamespace(glob=lambda name: fnmatch.filter(files, name))
        monkeypatch.setattr(hardware, "glob", shown)
        hardware._gpus.cache_clear()
        if allowed is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)

    yield tell
    hardware._gpus.cache_clear()


@pytest.mark.parametrize(
    ("allowed", "count", "expected"),
    [
        (None, 0, []),
        (None, 2, ["0", "1"]),
        ("", 0, []),
        ("-1", 0, []),
        ("0", 1, ["0"]),
        ("2,5", 2, ["2", "5"]),
        ("GPU-a", 1, ["GPU-a"]),
        ("3,-1,4", 1, ["3"]),
    ],
)
def test_gpus_are_those_that_the_driver_has(driver, allowed, count, expected):
    driver(*[GPU] * count, allowed=allowed)
    assert hardware.visible_gpus() == expected


@pytest.mark.parametrize("allowed", ["0", "0,1"])
def test_a_gpu_that_is_named_and_not_there_is_refused(driver, allowed):
    driver(*[GPU] * (len(allowed) // 2), code=0, allowed=allowed)
    with pytest.raises(SetupError) as caught:
        hardware.visible_gpus()
    for fact in (f"CUDA_VISIBLE_DEVICES={allowed!r}", "-1 to train on the CPU"):
        assert fact in str(caught.value)


@pytest.mark.parametrize(
    ("told", "fact"),
    [
        (
            {"library": False, "files": ["/dev/nvidia0"]},
            "libcuda.so.1 is not installed",
        ),
        ({"code": 803, "files": ["/dev/nvidia0"]}, "cuInit says error 803"),
        # Windows Subsystem for Linux.
        ({"code": 999, "files": ["/dev/dxg"]}, "cuInit says error 999"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_not_left_out_silently(driver, told, fact):
    driver(**told)
    with pytest.raises(SetupError, match=fact):
        hardware.visible_gpus()
    driver(**told, allowed="-1")
    assert hardware.visible_gpus() == []


@pytest.mark.parametrize(
    "told",
    [
        {"library": False},
        # A scheduler gave this process none of the machine's.
        {"code": 100, "files": ["/dev/nvidia0"]},
        # A login node has the library alone.
        {"code": 999},
        # Under WSL any maker's GPU has this file.
        {"library": False, "files": ["/dev/dxg"]},
    ],
)
def test_where_there_is_no_gpu_none_is_missed(driver, told):
    driver(**told)
    assert hardware.visible_gpus() == []


def test_where_a_tpu_may_be(monkeypatch):
    def shown(*files):
        told = types.SimpleNamespace(glob=lambda name: fnmatch.filter(files, name))
        monkeypatch.setattr(hardware, "glob", told)

    monkeypatch.setattr(hardware, "find_spec", lambda name: None)
    shown("/dev/vfio/vfio")
    assert not hardware.may_have_tpu()
    for device in ("/dev/accel0", "/dev/vfio/0"):
        shown(device)
        assert hardware.may_have_tpu()
    shown()
    monkeypatch.setattr(hardware, "find_spec", lambda name: name == "libtpu")
    assert hardware.may_have_tpu()


def test_the_rate_of_gpus_is_the_slowest_ones(driver):
    driver([2_000_000, 10, 9, 0, 80_000_000_000], GPU)
    assert hardware.gpu_rate() == 1.28e12
    assert hardware.gpu_bytes() == 40_000_000_000


def test_the_driver_is_asked_in_a_process_of_its_own():
    """Whatever this machine has, the program answers."""
    told = hardware._probe()
    assert told.keys() == {"library", "code", "gpus"}
    assert told["library"] or not told["gpus"]


class Driver:
    """Stands in for the driver's library, with two devices and made-up attributes."""

    def cuInit(self, flags):
        return 0

    def cuDeviceGetCount(self, count):
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, device, index):
        device._obj.value = index

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = 100 * attribute + device.value

    def cuDeviceTotalMem_v2(self, size, device):
        size._obj.value = 16_000_000_000 + device.value


def test_the_probe_asks_for_each_device(monkeypatch):
    monkeypatch.setattr(cuda_probe.ctypes, "CDLL", lambda name: Driver())
    assert cuda_probe.probed() == {
        "library": True,
        "code": 0,
        "gpus": [
            [1300, 1600, 7500, 7600, 16_000_000_000],
            [1301, 1601, 7501, 7601, 16_000_000_001],
        ],
    }


def test_without_a_driver_the_probe_has_nothing_to_ask(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(cuda_probe.ctypes, "CDLL", missing)
    assert cuda_probe.probed() == {"library": False, "code": 0, "gpus": []}
