"""What a plan costs: many studies of LeNet as one, without a network or an image.

    python -m benchmarks.planning [--stored=0.5] [--levels=30] [--replicates=3]

The lottery of three kinds of subnetworks at all levels and k, and the instability of
IMP's at every level, measured at four moments: some 20,000 runs and 110,000 artifacts.
The fraction `--stored` of the artifacts lies in a store already, as empty files;
nothing is trained. Peak memory is that of the whole process.
"""

import concurrent.futures
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable

from absl import app, flags

from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts, inspect
from tflottery.core.recipes import Setting
from tflottery.execution.plan import plan_of
from tflottery.experiments import instability, lottery
from tflottery.store import manifests
from tflottery.store.store import Store
from tflottery.studies.study import resolve
from tflottery.training import process
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime

_STORED = flags.DEFINE_float("stored", 0.0, "fraction of the artifacts made before")
_LEVELS = flags.DEFINE_integer("levels", 30, "prunings", lower_bound=1)
_REPLICATES = flags.DEFINE_integer("replicates", 3, "of each study", lower_bound=1)

_NUM_K = 15


def measured_facts() -> Facts:
    """Returns the facts of LeNet on the digits that come with scikit-learn."""
    process.configure()
    return inspect(
        "lenet", Setting("digits"), Runtime(data_dir=None, placement=Placement())
    )


def goals(facts: Facts) -> list[Artifact]:
    """Returns what the studies want, as their commands would ask for it together."""
    shared = {
        "model": "lenet",
        "dataset": "digits",
        "replicates": _REPLICATES.value,
        "data_orders": 5,
        "rewind_iterations": tuple(range(_NUM_K)),
        "training_iterations": 96,
        "levels": (f"1-{_LEVELS.value}",),
    }
    sparse = lottery.Config(
        **shared, random_rewind_iterations=shared["rewind_iterations"]
    )
    copied = instability.Config(**shared, subnetworks=("imp",), throughout=True)
    return [
        *lottery.plan(resolve(sparse, facts, Placement())),
        *instability.plan(resolve(copied, facts, Placement())),
    ]


def everything(wanted: list[Artifact]) -> list[Artifact]:
    """Returns the artifacts and all that they are made from, each once."""
    found: dict[str, Artifact] = {}
    stack = list(wanted)
    while stack:
        artifact = stack.pop()
        if artifact.address not in found:
            found[artifact.address] = artifact
            stack += artifact.sources
    return list(found.values())


def fill(store: Store, artifacts: list[Artifact]) -> None:
    """Puts artifacts of empty files into a store, without waiting for the disk."""
    for artifact in artifacts:
        folder = os.path.join(store.root, artifact.address)
        os.makedirs(folder, exist_ok=True)
        empty = {"bytes": 0, "sha256": ""}
        files = {name: empty for name in artifact.files}
        body = manifests.body(artifact.address, {}, files=files, seconds=0.0)
        for name, data in {
            **dict.fromkeys(files, b""),
            manifests.FILE_NAME: manifests.sealed(body),
        }.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)


def counted(store: Store) -> Callable[[], int]:
    """Makes a store count the manifests asked for; returns what says how many."""
    asked, look = [0], store._backend.manifest

    def looking(address: str) -> bytes | None:
        asked[0] += 1
        return look(address)

    store._backend.manifest = looking
    return lambda: asked[0]


def main(arguments: list[str]) -> None:
    """Prints what planning takes."""
    del arguments
    # In a process of its own, so that peak memory is not TensorFlow's.
    spawning = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawning) as other:
        facts = other.submit(measured_facts).result()
    started = time.process_time()
    wanted = goals(facts)
    print(f"goals        {len(wanted):,} in {time.process_time() - started:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        if _STORED.value:
            artifacts = everything(wanted)
            count = round(_STORED.value * len(artifacts))
            fill(store, random.Random(0).sample(artifacts, count))
        num_asked = counted(store)
        started = time.process_time()
        found = plan_of(wanted, store, facts={facts.network: facts})
        seconds = time.process_time() - started
        print(
            f"plan         {found.num_runs:,} runs, {len(found.steps):,} steps, "
            f"{sum(len(step.makes) for step in found.steps):,} artifacts to make in "
            f"{seconds:.1f} s of CPU"
        )
        print(f"look-ups     {num_asked():,}")
        started = time.process_time()
        plan_of(wanted, store, facts={facts.network: facts})
        print(f"once more    {time.process_time() - started:.1f} s")
        started = time.process_time()
        longest = max(found.chains().values(), default=0.0)
        print(f"chains       {time.process_time() - started:.1f} s ({longest:.3g})")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory  {peak:.2f} GiB")


if __name__ == "__main__":
    app.run(main)
