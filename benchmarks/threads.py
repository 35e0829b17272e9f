"""One run in a worker of several threads: how many times as fast as with one?

    python -m benchmarks.threads --data_dir=FOLDER [--model=lenet] [--threads=4]

What a chain of runs gains by `--threads`, where nothing else is left to do.
"""

import statistics

from absl import app, flags

from benchmarks import conditions, package_path
from benchmarks.lengths import LENGTHS
from tflottery.core import hardware

_MODELS = flags.DEFINE_multi_enum(
    "model", ["lenet", "resnet20"], sorted(LENGTHS), "networks to train"
)
_THREADS = flags.DEFINE_integer(
    "threads", None, "of the worker; None: as many as cores", lower_bound=1
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "prepared tensorflow-datasets")
_TRIALS = flags.DEFINE_integer("trials", 3, "times each is measured", lower_bound=1)
_FRACTION = flags.DEFINE_float(
    "fraction", 1.0, "of the usual iterations, for a quick look", lower_bound=0.1
)


def main(arguments: list[str]) -> None:
    """Prints a line per network."""
    del arguments
    threads = _THREADS.value or hardware.visible_cores()
    print(conditions.line())
    print(
        f"one worker of {threads} threads against one of 1, medians of {_TRIALS.value}"
    )
    print("model      times as fast")
    for model in _MODELS.value:
        # One after the other, so that both meet the same load.
        gains = [_rate(model, threads) / _rate(model, 1) for _ in range(_TRIALS.value)]
        print(
            f"{model:10} {statistics.median(gains):13.2f}   "
            f"({min(gains):.2f} to {max(gains):.2f})",
            flush=True,
        )


def _rate(model: str, threads: int) -> float:
    iterations, warmup = LENGTHS[model]
    return package_path.measure(
        model,
        processes=1,
        iterations=round(_FRACTION.value * iterations),
        warmup=warmup,
        data_dir=_DATA_DIR.value,
        threads=threads,
    )


if __name__ == "__main__":
    app.run(main)
