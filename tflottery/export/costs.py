"""What a ticket costs: bytes, operations and time, beside the dense network's.

Zeros do not run faster by themselves. Where they do not, the report says so.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import safetensors.numpy

from tflottery.export import sizes, tflite
from tflottery.export.networks import ExportedNetwork, input_names
from tflottery.export.sizes import Size

_SEED = 0
_ROUNDS, _ROUND_SECONDS = 5, 0.1
_LEAST_RUNS, _MOST_RUNS = 5, 500
_OPERATIONS = "operations of an example in layers with masks"
# Below that, one is not faster than the other: a machine at work varies by as much.
_LEAST_GAIN = 1.25


@dataclasses.dataclass(frozen=True)
class Time:
    """Microseconds of one processor for an example, the median of many runs.

    Attributes:
      own: of the network as it is.
      dense: of the same network with no weight pruned.
    """

    own: float
    dense: float


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a network costs, and the same network with no weight pruned.

    Attributes:
      is_pruned: whether the two are not one.
      weights: bytes of all weights in float32.
      dense_weights: the same, with none pruned.
      tflite: bytes as TFLite, in the smaller way to keep zeros; None where TFLite
        cannot hold or run it.
      dense_tflite: the same, with none pruned.
      flops: multiplications and additions of an example, of the weights that are left
        in layers with masks; None where that is not known.
      dense_flops: the same, of all weights.
      microseconds: how long an example takes, by what runs it.
      unsupported: why there is no TFLite; None if there is.
    """

    is_pruned: bool
    weights: Size
    dense_weights: Size
    tflite: Size | None
    dense_tflite: Size | None
    flops: int | None
    dense_flops: int | None
    microseconds: dict[str, Time]
    unsupported: str | None = None

    @property
    def told(self) -> list[str]:
        """All of it in lines of text."""
        lines = [self._told_size("weights", self.weights, self.dense_weights)]
        if self.tflite is None:
            lines.append(f"TFLite: none. {self.unsupported}")
        else:
            lines.append(self._told_size("TFLite", self.tflite, self.dense_tflite))
        if self.dense_flops is None:
            lines.append(
                f"{_OPERATIONS}: not known for layers inside others, and where lengths "
                "are open"
            )
        else:
            others = f" of {self.dense_flops:,} with none pruned" * self.is_pruned
            lines.append(f"{_OPERATIONS}: {self.flops:,}{others}")
        return lines + [
            self._told_time(name, found) for name, found in self.microseconds.items()
        ]

    def _told_size(self, name: str, own: Size, dense: Size) -> str:
        """Returns what is to be said about bytes."""
        line = f"{name}: {own.raw:,} bytes, {own.gzip:,} by gzip"
        others = f"; with none pruned {dense.raw:,}, {dense.gzip:,}"
        return line + others * self.is_pruned

    def _told_time(self, name: str, found: Time) -> str:
        """Returns what is to be said about time."""
        told = f"{found.own:,.0f} microseconds of a processor for an example"
        if not self.is_pruned:
            return f"{name}: {told}"
        gain = "zeros do not run faster"
        if found.dense >= _LEAST_GAIN * found.own:
            gain = f"{found.dense / found.own:.1f} times as fast"
        return f"{name}: {gain}: {told}, {found.dense:,.0f} with none pruned"


def measured(network: ExportedNetwork) -> Costs:
    """Returns what a network costs; takes some seconds, in which it is run."""
    example = keras.tree.map_structure(lambda one: one[:1], network.examples)
    flops, dense_flops = _flops(network)
    models = [_unpruned(network), network.model] if network.masks else [network.model]
    microseconds = {
        "TensorFlow": _medians([_run_by_tensorflow(one, example) for one in models]),
    }
    tflite_sizes, unsupported = [None], None
    try:
        tflite_sizes, by_interpreter = _of_tflite(models, example)
        microseconds |= by_interpreter
    except tflite.UnsupportedNetwork as error:
        unsupported = str(error)
    return Costs(
        is_pruned=bool(network.masks),
        weights=_size(models[-1]),
        dense_weights=_size(models[0]),
        tflite=tflite_sizes[-1],
        dense_tflite=tflite_sizes[0],
        flops=flops,
        dense_flops=dense_flops,
        microseconds={n: Time(some[-1], some[0]) for n, some in microseconds.items()},
        unsupported=unsupported,
    )


def _of_tflite(
    models: Sequence[keras.Model], example: object
) -> tuple[list[Size], dict[str, list[float]]]:
    """Returns the size of each model as TFLite, and its time by each interpreter.

    Args:
      models: one, or that with no weight pruned and the pruned one.
      example: what they are run on.
    """
    names = input_names(models[-1])
    # Zeros may be left out of the second, which is the pruned one.
    converted = [
        tflite.converted(one, is_sparse=bool(number)).data
        for number, one in enumerate(models)
    ]
    microseconds = {}
    for name, interpreter in tflite.interpreters().items():
        runners = [tflite.Runner(interpreter, one, names=names) for one in converted]
        microseconds[name] = _medians([_run_by_tflite(r, example) for r in runners])
    return [sizes.of(one) for one in converted], microseconds


def _unpruned(network: ExportedNetwork) -> keras.Model:
    """Returns the same network with no weight pruned: others like those in place."""
    generator = np.random.default_rng(_SEED)
    filled = dict(network.weights)
    for path, mask in network.masks.items():
        kept = filled[path][mask == 1]
        scale = float(kept.std()) if kept.size > 1 else 1.0
        drawn = generator.normal(0, scale or 1.0, mask.shape).astype(np.float32)
        filled[path] = np.where(mask == 1, filled[path], drawn)
    model = keras.models.model_from_json(network.model.to_json())
    model.set_weights(list(filled.values()))
    return model


def _size(model: keras.Model) -> Size:
    arrays = {one.path: one.numpy() for one in model.weights}
    return sizes.of(safetensors.numpy.save(arrays))


def _flops(network: ExportedNetwork) -> tuple[int | None, int | None]:
    """Returns the operations of the weights that are left, and of all."""
    if None in network.flops.values():
        return None, None
    left = 0.0
    for path, count in network.flops.items():
        mask = network.masks.get(path)
        left += count if mask is None else count * float(np.mean(mask))
    return round(left), sum(network.flops.values())


def _run_by_tensorflow(model: keras.Model, example: object) -> Callable[[], object]:
    """Returns what runs a Keras model once, compiled as a graph."""
    import tensorflow as tf

    run = tf.function(lambda one: model(one, training=False), autograph=False)
    constant = keras.tree.map_structure(tf.constant, example)
    run(constant)
    return lambda: run(constant)


def _run_by_tflite(runner: tflite.Runner, example: object) -> Callable[[], None]:
    """Returns what runs a TFLite network once."""
    runner(*keras.tree.flatten(example))
    return runner.invoke


def _medians(runs: Sequence[Callable[[], object]]) -> list[float]:
    """Returns the median time of each, in microseconds of a processor, taken in turn.

    So that what else the machine does concerns all alike, and hardly any.
    """
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(_ROUNDS):
        for run, found in zip(runs, times, strict=True):
            stop = time.process_time() + _ROUND_SECONDS
            for count in range(_MOST_RUNS):
                began = time.process_time()
                if count >= _LEAST_RUNS and began > stop:
                    break
                run()
                found.append(time.process_time() - began)
    return [1e6 * statistics.median(one) for one in times]
