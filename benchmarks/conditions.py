"""What decides speeds beside the code: processor, instructions, oneDNN's kernels."""

import multiprocessing
from collections.abc import Callable

from tflottery.core import hardware
from tflottery.training import process


def line() -> str:
    """Returns the conditions of this machine, found out in a process of their own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        ran = "oneDNN's kernels ran" if pool.apply(_onednn_ran) else "without oneDNN"
    name = hardware.processor() or "unknown processor"
    cores = f"{hardware.visible_cores()} cores"
    return f"{cores}, {name}, {hardware.instruction_set()}, {ran}"


def operations(function: Callable[..., object], *arguments: object) -> set[str]:
    """Returns the kinds of operations that run when a tf.function is called."""
    # Not in TensorFlow's public names: only the graph as it was rewritten and placed
    # tells whose kernels ran.
    from tensorflow.python.eager import context

    context.enable_run_metadata()
    try:
        function(*arguments)
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_run_metadata()
    parts = [part for graph in graphs for part in graph.partition_graphs]
    return {node.op for part in parts for node in part.node}


def convolution_operations() -> set[str]:
    """Returns the kinds of operations of a convolution's gradient in this process."""
    import tensorflow as tf

    @tf.function
    def gradient(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            loss = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME") ** 2)
        return tape.gradient(loss, kernel)

    return operations(gradient, tf.ones([2, 8, 8, 4]), tf.ones([3, 3, 4, 4]))


def _onednn_ran() -> bool:
    """Returns whether a convolution in a process set up for training is oneDNN's."""
    process.configure()
    return any(name.startswith("_Mkl") for name in convolution_operations())
