"""The kind of machine, from what Linux tells of it."""

import pytest

from tflottery.core import hardware


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
