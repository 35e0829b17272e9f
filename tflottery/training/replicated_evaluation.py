"""Measuring through a strategy: one program that all devices run at the same time.

A TPU runs nothing else well: pixels are handed to its cores in batches of static shape,
each core counts whole batches by itself, and only sums come back. So what is counted
is what one device counts, as of `training.distributed_evaluation`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tflottery.training import distributed_evaluation, distribution, gradients, moments
from tflottery.training.distribution import Placement
from tflottery.training.evaluation import Evaluator, Measurement


def over(
    placement: Placement, make: Callable[..., Evaluator]
) -> "Evaluator | distributed_evaluation.DistributedEvaluator":
    """Returns what measures on all devices of a placement, of this host alone.

    Args:
      placement: the devices.
      make: returns a new evaluator, on the `device` or for the `strategy` it is given.
    """
    if placement.num_local_devices == 1:
        return make()
    if devices := distribution.mirrored_devices(placement):
        return distributed_evaluation.DistributedEvaluator(
            [make(device=device) for device in devices]
        )
    return ReplicatedEvaluator(distribution.strategy(placement), make)


class ReplicatedEvaluator(distributed_evaluation.DistributedEvaluator):
    """What a `DistributedEvaluator` is, with one program for all devices."""

    def __init__(
        self, strategy: tf.distribute.Strategy, make: Callable[..., Evaluator]
    ):
        """Args:
        strategy: whose devices measure.
        make: returns a new evaluator for the `strategy` it is given.
        """
        super().__init__([make(strategy=strategy)])
        self._strategy = strategy
        self._num_devices = distribution.num_devices_of(strategy)
        self._counters = {
            split: self._first.counter(split) for split in ("train", "test")
        }
        self._compiled: dict[Callable, Callable] = {}

    def gradient_magnitudes(self, batch: np.ndarray) -> gradients.Magnitudes:
        """Returns how large a batch's gradient is; every device takes all of it."""
        with self._first.watched("train", batch):
            given = (self._first.gradient_argument(batch),)
            measured = self._run(self._first.batch_gradients.program, [given])
        norm, mean = measured[0]
        return gradients.Magnitudes(float(norm), float(mean))

    def _measured(self, split: str, pieces: Sequence[np.ndarray]) -> list[Measurement]:
        """As of `DistributedEvaluator`."""
        with self._first.watched(split, np.concatenate(pieces)):
            found = self._run(
                self._counters[split],
                [self._first.counter_arguments(split, piece) for piece in pieces],
                idle=lambda: self._first.counter_arguments(split, pieces[0][:0]),
            )
        return [
            Measurement(num_misclassified=int(wrong), loss=float(loss))
            for wrong, loss in found
        ]

    def _summed_moments(self, groups: Sequence[np.ndarray]) -> list[moments.Sums]:
        """As of `DistributedEvaluator`."""

        def arguments(batches: np.ndarray) -> tuple:
            given, count = self._first.moment_arguments(batches)
            return given, tf.constant(count)

        with self._first.watched("train", np.concatenate(groups)):
            found = self._run(
                self._first.batch_moments.program,
                [arguments(group) for group in groups],
                idle=lambda: arguments(groups[0][:0]),
            )
        return [[one.numpy() for one in sums] for sums in found]

    def _run(
        self,
        program: Callable,
        arguments: Sequence[tuple],
        *,
        idle: Callable[[], tuple] | None = None,
    ) -> list[tuple]:
        """Returns what a program returns of each of some arguments.

        Args:
          program: of tensors, which every device runs; the same object each time.
          arguments: at most one a device.
          idle: returns the arguments of a device that has nothing to do; None: it does
            what the first one does.
        """
        strategy, num_idle = self._strategy, self._num_devices - len(arguments)
        if program not in self._compiled:
            self._compiled[program] = tf.function(
                lambda *given: strategy.run(program, args=given), autograph=False
            )
        others = [idle() if idle else arguments[0]] * num_idle if num_idle else []
        everyone = [*arguments, *others]
        found = self._compiled[program](
            *strategy.experimental_distribute_values_from_function(
                lambda context: everyone[context.replica_id_in_sync_group]
            )
        )
        if not found:
            # Of a network without batch norm that learns there are no moments.
            return [()] * len(arguments)
        by_device = zip(*map(strategy.experimental_local_results, found), strict=True)
        return list(by_device)[: len(arguments)]
