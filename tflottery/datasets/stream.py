"""The data stream: which examples make up batch t, and the random bits of each.

The stream of an order is the endless row perm(seed, 0), perm(seed, 1), ... of epochs;
batch t is positions [tB, (t+1)B). Every batch is whole, a batch may be larger than the
data, and any batch can be had without those before it, so that resuming is exact.

Where some images have no labels, every batch is half of those that have, as Zhai et al.
(2019) train: each half is a stream of its own over its own images. The halves alternate
example by example, so that the part of each replica is half and half too.
"""

import dataclasses

import numpy as np

from tflottery.core import seeds
from tflottery.datasets.selection import UNLABELED

_EPOCHS_KEPT = 2


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """Consecutive batches of a stream.

    Attributes:
      indices: [count, batch_size] int32, examples in [0, num_examples).
      bits: [count, batch_size] int32, 31 random bits for each: in [0, 2**31).
    """

    indices: np.ndarray
    bits: np.ndarray


class Stream:
    """The batches of one data order, at any iteration."""

    def __init__(
        self,
        num_examples: int,
        batch_size: int,
        *,
        data_order_seed: int,
        augmentation_seed: int,
    ):
        """Args:
          num_examples: examples in an epoch, at least 1.
          batch_size: examples in a batch, at least 1; may exceed `num_examples`.
          data_order_seed: seed of the permutations.
          augmentation_seed: seed of the bits.

        Raises:
          ValueError: a number is not positive, or there are too many examples.
        """
        if not 1 <= num_examples < 2**31 or batch_size < 1:
            raise ValueError(
                f"A stream over {num_examples!r} examples in batches of {batch_size!r} "
                "is impossible: both have to be at least 1, the first below 2**31."
            )
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.data_order_seed = data_order_seed
        self.augmentation_seed = augmentation_seed
        self._epochs: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def batches(self, first: int, count: int) -> Batches:
        """Returns batches `first` to `first + count - 1`.

        Raises:
          ValueError: `first` or `count` is negative.
        """
        if first < 0 or count < 0:
            raise ValueError(
                f"Batches {first!r} to {first + count!r} were asked for: the first "
                "iteration and the number of batches have to be 0 or more."
            )
        start, stop = first * self.batch_size, (first + count) * self.batch_size
        shape = (count, self.batch_size)
        indices, bits = np.empty((2, stop - start), np.int32)
        position = start
        while position < stop:
            epoch, offset = divmod(position, self.num_examples)
            taken = min(self.num_examples - offset, stop - position)
            order, words = self._epoch(epoch)
            into = slice(position - start, position - start + taken)
            indices[into] = order[offset : offset + taken]
            bits[into] = words[offset : offset + taken]
            position += taken
        return Batches(indices.reshape(shape), bits.reshape(shape))

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns an epoch's examples and their bits, both [num_examples] int32."""
        if epoch not in self._epochs:
            order = seeds.permutation(self.data_order_seed, epoch, self.num_examples)
            words = seeds.raw_bits(self.augmentation_seed, epoch, self.num_examples)
            bits = (words >> np.uint64(33)).astype(np.int32)
            # The oldest goes first: a loop only ever moves on.
            while len(self._epochs) >= _EPOCHS_KEPT:
                del self._epochs[next(iter(self._epochs))]
            self._epochs[epoch] = order.astype(np.int32), bits[order]
        return self._epochs[epoch]


class HalfLabeledStream:
    """Batches of which every second example has a label, at any iteration.

    An epoch counts all examples, though those of the smaller pool are seen more often.
    """

    def __init__(
        self,
        labeled: np.ndarray,
        batch_size: int,
        *,
        data_order_seed: int,
        augmentation_seed: int,
    ):
        """Args:
          labeled: which examples have labels, [examples] bool; some, and not all.
          batch_size: examples in a batch, an even number.
          data_order_seed: seed of the permutations of both pools.
          augmentation_seed: seed of the bits of both pools.

        Raises:
          ValueError: the batch has no halves, or a pool is empty.
        """
        if batch_size % 2:
            raise ValueError(
                f"A batch of {batch_size!r} has no halves, one with labels and one "
                "without: --batch_size has to be even."
            )
        self.num_examples = len(labeled)
        self.batch_size = batch_size
        self._pools = tuple(np.flatnonzero(of) for of in (labeled, ~labeled))
        self._streams = tuple(
            Stream(
                len(pool),
                batch_size // 2,
                data_order_seed=seeds.seed(f"{name}_order", seed=data_order_seed),
                augmentation_seed=seeds.seed(f"{name}_bits", seed=augmentation_seed),
            )
            for name, pool in zip(("labeled", "unlabeled"), self._pools, strict=True)
        )

    def batches(self, first: int, count: int) -> Batches:
        """Returns batches `first` to `first + count - 1`.

        Raises:
          ValueError: `first` or `count` is negative.
        """
        indices, bits = [], []
        for pool, stream in zip(self._pools, self._streams, strict=True):
            own = stream.batches(first, count)
            indices.append(pool[own.indices].astype(np.int32))
            bits.append(own.bits)
        shape = (count, self.batch_size)
        return Batches(
            np.stack(indices, axis=-1).reshape(shape),
            np.stack(bits, axis=-1).reshape(shape),
        )


# Whatever gives the batches of an order.
DataStream = Stream | HalfLabeledStream


def stream_of(
    labels: np.ndarray,
    batch_size: int,
    *,
    data_order_seed: int,
    augmentation_seed: int,
) -> DataStream:
    """Returns the batches of an order of a training split.

    Args:
      labels: of the split, [examples] int32; `selection.UNLABELED` where there is none.
      batch_size: examples in a batch.
      data_order_seed: seed of the permutations.
      augmentation_seed: seed of the bits.

    Raises:
      ValueError: as the streams.
    """
    order = {"data_order_seed": data_order_seed, "augmentation_seed": augmentation_seed}
    labeled = labels != UNLABELED
    if labeled.all():
        return Stream(len(labels), batch_size, **order)
    return HalfLabeledStream(labeled, batch_size, **order)
