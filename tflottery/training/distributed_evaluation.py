"""Measuring on several devices at once, with the counts of one.

Each device has the network to itself and takes whole batches, so that every image
passes among the same others as on one device: what is counted and the re-estimated
statistics of batch norm are the same on devices of one kind, and losses but for how
their sums are rounded in float64.
"""

import concurrent.futures
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tflottery.training import gradients, moments
from tflottery.training.evaluation import Evaluator, Measurement


class DistributedEvaluator:
    """What an `Evaluator` is, over several that measure at the same time.

    Attributes:
      model: the network, on the first device.
    """

    def __init__(self, evaluators: Sequence[Evaluator]):
        """Args:
        evaluators: of one network and the same data, each on a device of its own.
        """
        self._evaluators = list(evaluators)
        self._first = self._evaluators[0]
        self._num_devices = len(self._evaluators)
        self._threads = concurrent.futures.ThreadPoolExecutor(len(self._evaluators))
        # Of what was traced, by evaluator.
        self._traced: set[tuple] = set()

    @property
    def model(self) -> keras.Model:
        return self._first.model

    def assign(self, weights: dict[str, np.ndarray]) -> None:
        """Takes on weights and batch norm statistics, by variable path."""
        for one in self._evaluators:
            one.assign(weights)

    def measure(self, split: str, indices: np.ndarray) -> Measurement:
        """Returns errors and loss on a block of a split, as `blocks` gives them.

        Args:
          split: "train" or "test".
          indices: [n] int32, which images.
        """
        # Batches are those of one device, as many for each.
        size = self._first.batch_size
        size *= -(-len(indices) // (size * self._num_devices))
        pieces = [indices[at : at + size] for at in range(0, len(indices), size)]
        found = self._measured(split, pieces)
        return Measurement(
            num_misclassified=sum(one.num_misclassified for one in found),
            loss=math.fsum(one.loss for one in found),
        )

    def blocks(self, split: str, num_examples: int | None = None) -> list[np.ndarray]:
        """Returns the indices to measure, in blocks for `measure`.

        Args:
          split: "train" or "test".
          num_examples: how many images, a fixed random choice; None is all.
        """
        blocks, count = self._first.blocks(split, num_examples), self._num_devices
        return [
            np.concatenate(blocks[at : at + count])
            for at in range(0, len(blocks), count)
        ]

    def examples(self, split: str, num_examples: int | None) -> np.ndarray:
        """Returns the indices measured: int32, the same in every run."""
        return self._first.examples(split, num_examples)

    def reestimate(
        self,
        num_examples: int,
        *,
        batch_size: int,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Replaces the batch norm statistics, as `Evaluator.reestimate` does."""
        groups = self._first.moment_batches(num_examples, batch_size=batch_size)
        sums: moments.Sums | None = None
        for at in range(0, len(groups), self._num_devices):
            if at:
                between()
            # Added up in the order of one device.
            for found in self._summed_moments(groups[at : at + self._num_devices]):
                sums = moments.added(sums, found)
        for one in self._evaluators:
            one.batch_moments.take(sums, num_batches=sum(map(len, groups)))

    def whole_batches(self, num_examples: int, *, batch_size: int) -> np.ndarray:
        """Returns fixed training images, as `Evaluator.whole_batches` does."""
        return self._first.whole_batches(num_examples, batch_size=batch_size)

    def gradient_magnitudes(self, batch: np.ndarray) -> gradients.Magnitudes:
        """Returns how large the gradient of a batch is: on the first device alone."""
        return self._first.gradient_magnitudes(batch)

    def _measured(self, split: str, pieces: Sequence[np.ndarray]) -> list[Measurement]:
        """Returns a measurement of each piece, at most one a device."""
        return self._together(
            ("measure", split), lambda one, piece: one.measure(split, piece), pieces
        )

    def _summed_moments(self, groups: Sequence[np.ndarray]) -> list[moments.Sums]:
        """Returns the moments of each group of batches, at most one a device."""
        return self._together(
            ("moments", groups[0].shape[1]), Evaluator.summed_moments, groups
        )

    def _together(
        self,
        program: tuple,
        function: Callable[[Evaluator, np.ndarray], object],
        pieces: Sequence[np.ndarray],
    ) -> list:
        """Returns what a function returns of each piece, on an evaluator of its own.

        Args:
          program: names what each evaluator traces at its first call.
          function: takes an evaluator and a piece.
          pieces: as many as there are evaluators at most.
        """
        evaluators = self._evaluators[: len(pieces)]
        programs = {(*program, number) for number in range(len(pieces))}
        # Keras's backend and TensorFlow do not trace in several threads at once.
        if not programs <= self._traced:
            found = list(map(function, evaluators, pieces))
            self._traced |= programs
            return found
        return list(self._threads.map(function, evaluators, pieces))
