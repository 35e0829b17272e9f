"""From one worker to one per core: the package against bare loops without it.

    python -m benchmarks.scaling --data_dir=FOLDER [--model=lenet]

What bare loops scale is what the machine allows.
"""

import statistics

from absl import app, flags

from benchmarks import bare_loops, conditions, package_path
from benchmarks.lengths import LENGTHS, PEER_LENGTHS
from tflottery.core import hardware

_MODELS = flags.DEFINE_multi_enum(
    "model", ["lenet", "resnet20"], sorted(LENGTHS), "networks to train"
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "prepared tensorflow-datasets")
_TRIALS = flags.DEFINE_integer("trials", 3, "times each is measured", lower_bound=1)


def main(arguments: list[str]) -> None:
    """Prints a line per network."""
    del arguments
    cores = hardware.visible_cores()
    print(conditions.line())
    print(f"from 1 to {cores} processes, medians of {_TRIALS.value}")
    print("model      package scales by   bare loops scale by   share")
    for model in _MODELS.value:
        ours, bare = [], []
        for _ in range(_TRIALS.value):
            ours.append(_package(model, cores) / _package(model, 1))
            bare.append(_bare(model, cores) / _bare(model, 1))
        shares = [mine / limit for mine, limit in zip(ours, bare, strict=True)]
        print(
            f"{model:10} {statistics.median(ours):17.2f} "
            f"{statistics.median(bare):21.2f} {statistics.median(shares):7.2f}   "
            f"({min(shares):.2f} to {max(shares):.2f})",
            flush=True,
        )


def _package(model: str, processes: int) -> float:
    iterations, warmup = LENGTHS[model]
    return package_path.measure(
        model,
        processes=processes,
        iterations=iterations // (1 if processes > 1 else 2),
        warmup=warmup,
        data_dir=_DATA_DIR.value,
    )


def _bare(model: str, processes: int) -> float:
    iterations, warmup = PEER_LENGTHS[model]
    return bare_loops.measure(
        model, processes=processes, iterations=iterations, warmup=warmup, masked=False
    )


if __name__ == "__main__":
    app.run(main)
