"""How long work took: manifests record it, and the next plan is estimated by it.

A manifest's "work" says of which kind it was, how much of it, and how many seconds that
took. Kinds are what decides speed: trainings by network, data and what an update is,
measurements by network and data.
"""

import collections
import contextlib
import functools
import os
import statistics
import time
from collections.abc import Iterable

from tflottery.components.runs import Run
from tflottery.core import fingerprints, hardware
from tflottery.core.recipes import RESIZED_CROP
from tflottery.store import manifests
from tflottery.store.store import Store

# Of each kind of artifact, how many of the newest are looked at.
_NEWEST = 200
_KIND_LENGTH = 16


def training(run: Run, *, num_devices: int) -> str:
    """Returns the kind of work that updates of a run are; its amount is updates.

    Args:
      run: the trajectory.
      num_devices: how many share a batch.
    """
    recipe = run.recipe
    more = [recipe.batch_size, recipe.optimizer, recipe.augmentation]
    # The usual one part a device was all there was.
    more += [run.num_replicas] if run.num_replicas != num_devices else []
    return _kind("training", run, num_devices, *more)


def measuring(run: Run, *, num_devices: int) -> str:
    """Returns the kind of work that forward passes are; its amount is images.

    Args:
      run: of the network that is measured.
      num_devices: how many measure it.
    """
    # Images that are decoded first take longer than arrays of the same shape.
    decoded = run.recipe.augmentation == RESIZED_CROP
    return _kind("measuring", run, num_devices, *[RESIZED_CROP] * decoded)


def done(kind: str, amount: int, seconds: float) -> dict[str, object]:
    """Returns what a manifest says of work that is done."""
    return {"kind": kind, "amount": amount, "seconds": round(seconds, 3)}


class Pace:
    """How long the updates between two states of a run took."""

    def __init__(self, run: Run, iteration: int, *, num_devices: int):
        """Args:
        run: the trajectory.
        iteration: where training begins, now.
        num_devices: how many share a batch.
        """
        self._kind = training(run, num_devices=num_devices)
        self._last = iteration, time.monotonic()

    def since_last(self, iteration: int) -> dict[str, object]:
        """Returns the work from the last state to this one, for its manifest."""
        (first, started), now = self._last, time.monotonic()
        self._last = iteration, now
        return done(self._kind, iteration - first, now - started)


def learned(store: Store, folders: Iterable[str]) -> dict[str, float]:
    """Returns the seconds that a unit of each kind of work took on such a machine.

    The medians of what the newest artifacts tell, one value each. Where the store is a
    URL nothing is learned: each look would be a request.

    Args:
      store: whose manifests tell.
      folders: names of the folders in it whose artifacts are looked at.
    """
    here = hardware.processor(), hardware.instruction_set()
    found = collections.defaultdict(list)
    for folder in () if "://" in store.root else folders:
        for manifest in _newest(os.path.join(store.root, folder)):
            told, machine = manifest.get("work"), manifest["environment"]
            there = machine.get("processor"), machine.get("instruction_set")
            if told and told["amount"] and there == here:
                found[told["kind"]].append(told["seconds"] / told["amount"])
    return {kind: statistics.median(values) for kind, values in found.items()}


def _kind(name: str, run: Run, num_devices: int, *more: object) -> str:
    """Returns a fingerprint of what decides how fast work on a run is."""
    machine = (run.device, num_devices, run.precision)
    machine += (run.threads,) if run.threads > 1 else ()
    return _fingerprint((name, run.network, run.data.pretext, machine, more))


@functools.cache
def _fingerprint(value: tuple) -> str:
    """Returns a fingerprint; a plan of thousands of steps has a few kinds of work."""
    return fingerprints.fingerprint(value, length=_KIND_LENGTH)


def _newest(folder: str) -> list[dict[str, object]]:
    """Returns the manifests of what was put last into a folder of a store.

    Of a run that is its last state.
    """
    found = []
    for path in _latest(folder, _NEWEST):
        for artifact in (path, *_latest(path, 1)):
            manifest = os.path.join(artifact, manifests.FILE_NAME)
            # Estimates do without what is damaged, or taken away meanwhile.
            with contextlib.suppress(OSError, ValueError, manifests.UnsoundManifest):
                with open(manifest, "rb") as file:
                    data = file.read()
                address = os.path.relpath(artifact, os.path.dirname(folder))
                found.append(manifests.unsealed(data, address))
                break
    return found


def _latest(folder: str, count: int) -> list[str]:
    """Returns the paths of the folders in a folder that were written last."""
    try:
        with os.scandir(folder) as entries:
            times = [(one.stat().st_mtime, one.path) for one in entries if one.is_dir()]
    except OSError:
        return []
    return [path for _, path in sorted(times, reverse=True)[:count]]
