"""A Keras callback that reports progress, writes checkpoints and obeys a stop."""

import time
from collections.abc import Callable

import keras

from tflottery.execution.bench import Bench
from tflottery.training import optimizers


class Watch(keras.callbacks.Callback):
    """Looks after a training on behalf of whatever executes it."""

    def __init__(
        self,
        bench: Bench,
        *,
        checkpoint: Callable[[int], None],
        share: Callable[[int], float],
    ):
        """Args:
        bench: where the job is done.
        checkpoint: keeps the state of an iteration, to go on from it later.
        share: the share of the job done at an iteration.
        """
        super().__init__()
        self._bench = bench
        self._checkpoint = checkpoint
        self._share = share
        self._saved = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Reports; checkpoints when it is due or when the training has to stop."""
        iteration = optimizers.iteration(self.model.optimizer)
        self._bench.progressed(self._share(iteration))
        stop = self._bench.stopping()
        due = time.monotonic() - self._saved > self._bench.checkpoint_seconds
        if stop or due:
            self._checkpoint(iteration)
            self._saved = time.monotonic()
        if stop:
            self.model.stop_training = True
