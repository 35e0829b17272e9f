"""How fast can TensorFlow train and evaluate the papers' networks on a CPU at best?

The limit that the package's own speed and scaling are held against: bare loops without
the package and without an input pipeline, in which a gather inside the graph fetches
each batch. LeNet runs many iterations in one XLA-compiled function; the convolutional
networks run in a plain graph (XLA slows convolutions on a CPU) with fused batch norm.
Masks, L2 and the papers' optimizers are included, augmentation is not.

TensorFlow is imported by the processes that measure and not here, so that a program can
compare it with PyTorch without loading both.

    python -m benchmarks.bare_loops --model=resnet20 --processes=4
"""

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Iterator

from benchmarks import conditions, tasks
from benchmarks import processes as processes_lib
from tflottery.core import environment

VIEWS = "exemplar_views"
FORWARD_BATCH_SIZE = 500
FORWARD_WARMUP_BATCHES = 2

# Read by TensorFlow when it is imported: warnings and notes are not shown, and its
# kernels are those that the package uses.
ENVIRONMENT = environment.DEFAULTS | environment.FIXED

# Of the command line, about ten seconds or more each: timed and warm-up iterations of
# training, and images of the forward pass.
COMMAND_ITERATIONS = {"lenet": (4000, 1000), "resnet20": (15, 3), "vgg16": (4, 2)}
COMMAND_IMAGES = {"lenet": 600_000, "resnet20": 10_000, "vgg16": 1_500}


def measure(
    model: str,
    *,
    processes: int,
    iterations: int,
    warmup: int,
    masked: bool = True,
    objective: str = "labels",
) -> float:
    """Returns training iterations per second, summed over processes of one thread.

    Args:
      model: "lenet" (batches of 60), "resnet20" or "vgg16" (batches of 128).
      processes: trained side by side, each a replicate of its own, at least 1.
      iterations: timed iterations of each process, at least 1.
      warmup: iterations before the common start, at least 1.
      masked: whether each iteration multiplies every kernel with a mask, as a pruned
        network's layers do.
      objective: what is learned, a name of `bare_objectives.OBJECTIVES`; of "lenet"
        also `VIEWS`, exemplar on views that tf.data makes.

    Returns:
      The sum of each process's own rate, in iterations per second.
    """
    tasks.task_of(model)
    return processes_lib.total_rate(
        _build_training,
        model,
        masked,
        objective,
        processes=processes,
        iterations=iterations,
        warmup=warmup,
        environment=ENVIRONMENT,
    )


def measure_forward(model: str, *, processes: int, images: int) -> float:
    """Returns images per second of forward passes, summed over one-thread processes.

    Args:
      model: "lenet", "resnet20" or "vgg16", with batch norm in inference mode.
      processes: evaluated side by side, at least 1.
      images: that each process evaluates, at least 1; rounded up to whole batches
        of 500, and taken again from the start where they are more than there are.

    Returns:
      The sum of each process's own rate, in images per second.
    """
    tasks.task_of(model)
    batches = processes_lib.total_rate(
        _build_forward,
        model,
        processes=processes,
        iterations=math.ceil(images / FORWARD_BATCH_SIZE),
        warmup=FORWARD_WARMUP_BATCHES,
        environment=ENVIRONMENT,
    )
    return batches * FORWARD_BATCH_SIZE


def main() -> None:
    """Prints the training and forward rates of one network."""
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
    forward = measure_forward(
        flags.model, processes=flags.processes, images=COMMAND_IMAGES[flags.model]
    )
    print(conditions.line())
    print(f"{flags.model}, {flags.processes} processes of one thread, bare TensorFlow:")
    print(f"  {rate:.2f} iterations/s, {images:.0f} images/s in total: training")
    print(f"  {forward:.0f} images/s in total: forward passes")


def _build_training(model: str, masked: bool, objective: str) -> processes_lib.Advance:
    """Builds a training loop in this process; called by `total_rate`."""
    _use_one_thread()
    from benchmarks import bare_training

    task = tasks.task_of(model)
    if objective == VIEWS:
        return bare_training.DenseTrainingOnViews(task, masked=masked).advance
    if model == "lenet":
        return bare_training.DenseTraining(
            task, masked=masked, objective=objective
        ).advance
    return bare_training.ConvolutionalTraining(
        task, masked=masked, objective=objective
    ).advance


def _build_forward(model: str) -> processes_lib.Advance:
    """Builds a loop of forward passes in this process; called by `total_rate`."""
    _use_one_thread()
    from benchmarks import bare_forward

    task = tasks.task_of(model)
    return bare_forward.Forward(task, batch_size=FORWARD_BATCH_SIZE).advance


def _use_one_thread() -> None:
    """Imports TensorFlow in silence and settles what holds for a measuring process.

    Changes: TensorFlow's thread counts, its random seed, and that it sees no GPU.
    """
    with _silence():
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.random.set_seed(0)
        # The first operation makes the devices, which is announced once more.
        tf.zeros([])


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps from the screen what native libraries print.

    TensorFlow 2.21 prints some of its notes whatever TF_CPP_MIN_LOG_LEVEL says.
    Python's exceptions travel to the parent process by another way.

    Changes: where file descriptor 2 leads; put back at the end.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


if __name__ == "__main__":
    main()
