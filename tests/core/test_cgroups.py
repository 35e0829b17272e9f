"""Quotas of processor time, read from made-up trees of files."""

import os

import pytest

from tflottery.core import cgroups


@pytest.fixture
def machine(tmp_path):
    """Returns the root of a file system with these files below proc and sys."""

    def make(group, **files):
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(group)
        for name, text in files.items():
            path = tmp_path / "sys/fs/cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return os.fspath(tmp_path)

    return make


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("50000 100000\n", 1),
        ("400000 50000\n", 8),
        ("nonsense\n", None),
    ],
)
def test_version_2(machine, quota, expected):
    root = machine("0::/user/job\n", **{"user/job/cpu.max": quota})
    assert cgroups.cores(root) == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [("-1", None), ("300000", 3), ("250000", 3), ("10000", 1)]
)
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_version_1(machine, controllers, quota, expected):
    files = {
        f"{controllers}/docker/a/cpu.cfs_quota_us": f"{quota}\n",
        f"{controllers}/docker/a/cpu.cfs_period_us": "100000\n",
    }
    group = f"7:memory:/docker/a\n4:{controllers}:/docker/a\n"
    root = machine(group, **files)
    assert cgroups.cores(root) == expected


def test_version_1_under_the_short_name_of_its_controller(machine):
    root = machine(
        "4:cpu,cpuacct:/docker/a\n",
        **{
            "cpu/docker/a/cpu.cfs_quota_us": "300000",
            "cpu/docker/a/cpu.cfs_period_us": "100000",
        },
    )
    assert cgroups.cores(root) == 3


def test_the_smallest_quota_of_all_groups_above_counts(machine):
    root = machine(
        "0::/user/job/step\n",
        **{
            "cpu.max": "max 100000",
            "user/cpu.max": "600000 100000",
            "user/job/cpu.max": "300000 100000",
            "user/job/step/cpu.max": "max 100000",
            # Of somebody else's.
            "user/other/cpu.max": "100000 100000",
        },
    )
    assert cgroups.cores(root) == 3


def test_a_container_sees_its_own_group_as_the_root(machine):
    root = machine("0::/docker/not/there\n", **{"cpu.max": "200000 100000"})
    assert cgroups.cores(root) == 2


@pytest.mark.parametrize("group", ["", "0::/\n", "0::/../../elsewhere\n"])
def test_without_files_there_is_no_limit(machine, group):
    assert cgroups.cores(machine(group)) is None


def test_where_there_are_no_groups_there_is_no_limit(tmp_path):
    assert cgroups.cores(os.fspath(tmp_path)) is None
