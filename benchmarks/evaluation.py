"""Measuring on a line against a bare forward pass of the network as it is.

python -m benchmarks.evaluation --data_dir=FOLDER [--model=resnet20]
"""

import statistics

from absl import app, flags

from benchmarks import bare_loops, conditions, package_path
from tflottery.core import hardware

# Images that each process evaluates: some ten seconds.
IMAGES = {"lenet": 1_200_000, "resnet20": 12_000, "vgg16": 4_000}

_MODELS = flags.DEFINE_multi_enum(
    "model", ["lenet", "resnet20", "vgg16"], sorted(IMAGES), "networks to evaluate"
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "prepared tensorflow-datasets")
_TRIALS = flags.DEFINE_integer("trials", 3, "times each is measured", lower_bound=1)


def main(arguments: list[str]) -> None:
    """Prints a line per network."""
    del arguments
    cores = hardware.visible_cores()
    print(conditions.line())
    print(f"{cores} processes of one thread each, medians of {_TRIALS.value}")
    print("model      line images/s   bare forward images/s   ratio")
    for model in _MODELS.value:
        ours, bare = [], []
        for _ in range(_TRIALS.value):
            size = {"processes": cores, "images": IMAGES[model]}
            rate = package_path.measure_line(model, data_dir=_DATA_DIR.value, **size)
            ours.append(rate)
            bare.append(bare_loops.measure_forward(model, **size))
        ratios = [mine / limit for mine, limit in zip(ours, bare, strict=True)]
        print(
            f"{model:10} {statistics.median(ours):13,.0f} "
            f"{statistics.median(bare):23,.0f} {statistics.median(ratios):7.2f}   "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


if __name__ == "__main__":
    app.run(main)
