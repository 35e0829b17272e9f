"""What does training take of a worker's memory, and what does a plan say it takes?

    python -m benchmarks.memory [--model=resnet20] [--batch_size=128]

Each network makes some updates on made images, in a process that is set up as a worker
is, on the CPU. Its peak (VmHWM), less that of a process that only imports, stands
beside the plan's figure, which counts what layers put out and nothing of TensorFlow.
"""

import multiprocessing
import re
import tempfile
import time

from absl import app, flags

from benchmarks import conditions, made_training
from tflottery.core.files import readable_size
from tflottery.execution.plan import plan_of
from tflottery.store.store import Store
from tflottery.training import process

_MODELS = flags.DEFINE_multi_string("model", ["lenet", "resnet20"], "networks to train")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "None: that of the paper")
_PRECISION = flags.DEFINE_string("precision", None, "None: float32")
_SPARSE = flags.DEFINE_bool("sparse", False, "whether masks are applied")
_UPDATES = flags.DEFINE_integer("updates", 3, "of each network", lower_bound=1)


def main(arguments: list[str]) -> None:
    """Prints a line per network."""
    del arguments
    print(conditions.line())
    imports, _ = _in_a_process(_imported)
    print(f"a process that only imports: {readable_size(imports)}")
    print("network    batch    measured  of the plan  measured / plan   seconds")
    for model in _MODELS.value:
        asked = (model, _BATCH_SIZE.value, _PRECISION.value)
        batch_size, told = _in_a_process(_told, *asked)
        peak, seconds = _in_a_process(_trained, *asked, _SPARSE.value, _UPDATES.value)
        took = peak - imports
        print(
            f"{model:10} {batch_size:5} {readable_size(took):>11} "
            f"{readable_size(told):>12} {took / told:16.2f} {seconds:9.0f}",
            flush=True,
        )


def _in_a_process(function: object, *arguments: object) -> tuple:
    """Returns what a function returns in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _imported() -> tuple[int, None]:
    """Returns the peak of a process that trains nothing."""
    process.configure()
    from tflottery.training import trainer  # noqa: F401

    return _peak_bytes(), None


def _told(model: str, batch_size: int | None, precision: str | None) -> tuple[int, int]:
    """Returns the images of a batch, and what a plan says that training takes."""
    process.configure()
    study = made_training.study(model, batch_size=batch_size, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(
            [study.trunk_state(1, study.last)],
            Store(folder),
            facts={study.facts.network: study.facts},
        )
    (step,) = plan.steps
    return study.recipe.batch_size, step.num_working_bytes


def _trained(
    model: str,
    batch_size: int | None,
    precision: str | None,
    sparse: bool,
    updates: int,
) -> tuple[int, float]:
    """Returns the peak of a process that makes some updates, and how long they took."""
    process.configure()
    trainer, stream = made_training.ready(
        model, batch_size=batch_size, precision=precision, sparse=sparse
    )
    started = time.perf_counter()
    trainer.train(stream, updates)
    return _peak_bytes(), time.perf_counter() - started


def _peak_bytes() -> int:
    """Returns the most memory that this process had so far."""
    with open("/proc/self/status") as status:
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1))


if __name__ == "__main__":
    app.run(main)
