"""A whole instability command against the sum of its training and its measuring.

    python -m benchmarks.command --data_dir=FOLDER

LeNet on MNIST, long enough to take some minutes. The sum is the iterations at the rate
of `package_path.measure` and the images at that of `package_path.measure_line`.
"""

import os
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from benchmarks import conditions, package_path
from benchmarks.lengths import LENGTHS
from tflottery.core import hardware

ITERATIONS, REPLICATES, DATA_ORDERS = 24_000, 2, 4
NUM_ALPHAS, NUM_IMAGES = 30, 70_000

_DATA_DIR = flags.DEFINE_string("data_dir", None, "prepared tensorflow-datasets")


def main(arguments: list[str]) -> None:
    """Prints the command's time, the sum, and their ratio."""
    del arguments
    cores = hardware.visible_cores()
    print(conditions.line())
    iterations, warmup = LENGTHS["lenet"]
    training = package_path.measure(
        "lenet",
        processes=cores,
        iterations=iterations,
        warmup=warmup,
        data_dir=_DATA_DIR.value,
    )
    measuring = package_path.measure_line(
        "lenet", processes=cores, images=1_000_000, data_dir=_DATA_DIR.value
    )
    seconds = _command()
    copies = REPLICATES * DATA_ORDERS
    pairs = REPLICATES * DATA_ORDERS * (DATA_ORDERS - 1) // 2
    parts = (
        copies * ITERATIONS / training,
        pairs * NUM_ALPHAS * NUM_IMAGES / measuring,
    )
    print(
        f"command {seconds:.0f} s; training {parts[0]:.0f} s and measuring "
        f"{parts[1]:.0f} s at their rates; ratio {seconds / sum(parts):.2f}"
    )


def _command() -> float:
    """Returns the seconds that the command takes in a fresh store."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(
            [
                *(sys.executable, "-m", "tflottery.experiments.instability"),
                *("--model=lenet", "--rewind_iterations=0"),
                f"--training_iterations={ITERATIONS}",
                f"--replicates={REPLICATES}",
                f"--data_orders={DATA_ORDERS}",
                f"--data_dir={_DATA_DIR.value}",
                f"--store={os.path.join(folder, 'store')}",
                f"--output_dir={os.path.join(folder, 'results')}",
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        return time.perf_counter() - started


if __name__ == "__main__":
    app.run(main)
