"""How much processor time Linux lets a process have: the quotas of its cgroups.

Containers and schedulers set quotas. The process still sees every core of the machine,
and more busy processes than the quota has room for only stop one another.
"""

import math
import os
import pathlib

_MOUNT = "sys/fs/cgroup"


def cores(root: str = "/") -> int | None:
    """Returns the cores whose whole time a process may have, None for no limit.

    Part of a core counts as one.

    Args:
      root: of the file system in which proc and sys are.
    """
    quotas = map(_quota, _folders(pathlib.Path(root)))
    smallest = min((quota for quota in quotas if quota is not None), default=None)
    return None if smallest is None else max(1, math.ceil(smallest))


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders of this process's groups and of all groups above them.

    A container may see its own group as the root, under the path it has outside.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        # Version 2 has one tree for all; version 1 has one named after the controller.
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in {controllers, "cpu"} if controllers else {"", "unified"}:
            top = root / _MOUNT / mount
            folder = top / os.path.normpath(path).lstrip("/")
            inside = [folder, *folder.parents]
            folders += inside[: inside.index(top) + 1]
    return folders


def _quota(folder: pathlib.Path) -> float | None:
    """Returns the cores that a group may use; None if it has no limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        # "max" is no number.
        return None
