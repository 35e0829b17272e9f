"""How fast does well-tuned PyTorch train the papers' networks on a CPU?

The peer of `benchmarks/training.py`. What was chosen by measuring, and what a careful
user of PyTorch would do as well: one thread per process and as many processes as cores,
channels_last convolutions, `fused=True` optimizers (faster than foreach on a CPU, and
foreach than the plain loop), denormals flushed to zero, an allocator that keeps large
blocks, all data in memory and augmentation on whole batches. Each step multiplies every
kernel with a mask, the work of a pruned network's layers, unless told otherwise.

PyTorch is imported by the processes that measure and not here, so that a program can
compare it with TensorFlow without loading both.

    python -m benchmarks.torch_peer --model=resnet20 --processes=4
"""

import argparse

from benchmarks import processes as processes_lib
from benchmarks import tasks

MATRIX_SIZE = 2048
MATRIX_PRODUCTS = 30

# Timed and warm-up iterations of the command line: about ten seconds or more each.
COMMAND_ITERATIONS = {"lenet": (2000, 200), "resnet20": (15, 3), "vgg16": (4, 2)}


def measure(
    model: str,
    *,
    processes: int,
    iterations: int,
    warmup: int,
    masked: bool = True,
    fused: bool = True,
) -> float:
    """Returns training iterations per second, summed over processes of one thread.

    Args:
      model: "lenet" (batches of 60), "resnet20" or "vgg16" (batches of 128).
      processes: trained side by side, each a replicate of its own, at least 1.
      iterations: timed iterations of each process, at least 1.
      warmup: iterations before the common start, at least 1.
      masked: whether each iteration multiplies every kernel with a mask, as a pruned
        network's layers do.
      fused: whether the optimizer is the fused one; otherwise as PyTorch comes.

    Returns:
      The sum of each process's own rate, in iterations per second.
    """
    tasks.task_of(model)
    return processes_lib.total_rate(
        _build_training,
        model,
        masked,
        fused,
        processes=processes,
        iterations=iterations,
        warmup=warmup,
    )


def matrix_product_rate(*, processes: int) -> float:
    """Returns the machine's ceiling: float32 matrix products, FLOP/s in total.

    Args:
      processes: of one thread each, at least 1.

    Returns:
      Floating-point operations per second of 2048x2048 products over all processes.
    """
    products = processes_lib.total_rate(
        _build_matrix_products,
        processes=processes,
        iterations=MATRIX_PRODUCTS,
        warmup=3,
    )
    return products * 2 * MATRIX_SIZE**3


def main() -> None:
    """Prints the rate of one network and the machine's ceiling."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=sorted(tasks.TASKS), required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--masked", action=argparse.BooleanOptionalAction, default=True)
    flags = parser.parse_args()
    iterations, warmup = COMMAND_ITERATIONS[flags.model]
    rate = measure(
        flags.model,
        processes=flags.processes,
        iterations=iterations,
        warmup=warmup,
        masked=flags.masked,
    )
    images = rate * tasks.task_of(flags.model).batch_size
    ceiling = matrix_product_rate(processes=flags.processes)
    print(f"{flags.model}, {flags.processes} processes of one thread, PyTorch eager:")
    print(f"  {rate:.2f} iterations/s, {images:.0f} images/s in total")
    print(f"  {ceiling / 1e9:.0f} GFLOP/s in total: float32 matrix product")


def _build_training(model: str, masked: bool, fused: bool) -> processes_lib.Advance:
    """Builds a training loop in this process; called by `total_rate`."""
    from benchmarks import torch_loops

    torch_loops.use_one_thread()
    task = tasks.task_of(model)
    return torch_loops.Training(task, masked=masked, fused=fused).advance


def _build_matrix_products() -> processes_lib.Advance:
    """Builds a loop of matrix products in this process; called by `total_rate`."""
    from benchmarks import torch_loops

    torch_loops.use_one_thread()
    return torch_loops.matrix_products(MATRIX_SIZE)


if __name__ == "__main__":
    main()
