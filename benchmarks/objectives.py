"""Steps of tasks that are more than naming what is seen, against bare loops of them.

    python -m benchmarks.objectives --data_dir=FOLDER [--model=resnet20]

Two views of an image and triplets (exemplar), and half of a batch with labels
(semi_supervised): through the package, and by loops of TensorFlow that do no more than
the network's passes, the loss and the update. The package's images are augmented,
turned and changed in colour, those of the bare loops are not. A ratio near that of
labels says that a task costs what its passes cost. Of LeNet, whose passes take little
longer than two views of an image, exemplar stands beside a loop with views too
(exemplar_views): tf.data makes them by Keras's layers. FOLDER holds MNIST and CIFAR-10
prepared by tensorflow-datasets.
"""

import statistics

from absl import app, flags

from benchmarks import bare_loops, conditions, package_path
from benchmarks.lengths import LENGTHS, PEER_LENGTHS
from tflottery.core import hardware

# What is learned, and which images have labels.
SUBSETS = {"labels": None, "exemplar": None, "semi_supervised": "images:0.1"}
# The loops that a task is held against, beside that of its own name.
_MORE_LOOPS = {("lenet", "exemplar"): [bare_loops.VIEWS]}

_MODELS = flags.DEFINE_multi_enum(
    "model", ["lenet", "resnet20"], sorted(LENGTHS), "networks to train"
)
_TASKS = flags.DEFINE_multi_enum(
    "task", list(SUBSETS), sorted(SUBSETS), "what they learn"
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "prepared tensorflow-datasets")
_TRIALS = flags.DEFINE_integer("trials", 3, "times each is measured", lower_bound=1)
_PROCESSES = flags.DEFINE_integer(
    "processes", None, "trained side by side; None: one a core", lower_bound=1
)
_PARTS = flags.DEFINE_integer(
    "parts", 1, "measures this many times fewer iterations", lower_bound=1
)


def main(arguments: list[str]) -> None:
    """Prints a line per network and task."""
    del arguments
    processes = _PROCESSES.value or hardware.visible_cores()
    print(conditions.line())
    print(f"{processes} processes of one thread each, medians of {_TRIALS.value}")
    print("model      task              package it/s   bare it/s   ratio   ratios")
    for model in _MODELS.value:
        for task in _TASKS.value:
            loops = [task, *_MORE_LOOPS.get((model, task), [])]
            ours: list[float] = []
            bare: dict[str, list[float]] = {loop: [] for loop in loops}
            for _ in range(_TRIALS.value):
                ours.append(
                    package_path.measure(
                        model,
                        data_dir=_DATA_DIR.value,
                        task=task,
                        subset=SUBSETS[task],
                        **_lengths(LENGTHS[model], processes),
                    )
                )
                lengths = _lengths(PEER_LENGTHS[model], processes)
                for loop, rates in bare.items():
                    rates.append(bare_loops.measure(model, objective=loop, **lengths))
            for loop, rates in bare.items():
                ratios = [mine / limit for mine, limit in zip(ours, rates, strict=True)]
                print(
                    f"{model:10} {loop:16} {statistics.median(ours):13.2f} "
                    f"{statistics.median(rates):11.2f} "
                    f"{statistics.median(ratios):7.2f}   "
                    f"{min(ratios):.2f} to {max(ratios):.2f}",
                    flush=True,
                )


def _lengths(length: tuple[int, int], processes: int) -> dict[str, int]:
    """Returns the arguments of a measurement."""
    iterations = max(2, length[0] // _PARTS.value)
    return {"iterations": iterations, "warmup": length[1], "processes": processes}


if __name__ == "__main__":
    app.run(main)
