"""Keras callbacks of the package: snapshots of the weights at named iterations.

Iteration k is the state after k updates (*Linear Mode Connectivity*, Algorithm 1,
takes its copies there). The callbacks work in the package's loop and in a plain
`model.fit`.
"""

import os
from collections.abc import Callable, Iterable

import keras
from etils import epath

from tflottery import layers  # noqa: F401 - so that Keras opens saved models with them
from tflottery.core import paths
from tflottery.models import weights as model_weights
from tflottery.training import checkpoints, optimizers

Save = Callable[[int, keras.Model], None]


class WeightSnapshot(keras.callbacks.Callback):
    """Saves a network's weights at chosen iterations of its training.

    The iteration is the optimizer's own count, so a training that goes on from
    iteration 500 takes its snapshots at 500 and later, also where a callback such as
    `keras.callbacks.BackupAndRestore` takes it there. Each snapshot goes to its place
    at once and none is kept in memory; none is ever replaced by another.

    Attributes:
      iterations: frozen set of the iterations asked for; the package's loop stops at
        each of them.
      missing: the iterations asked for that no training of this callback has reached,
        ascending; set when a training ends.
    """

    def __init__(self, iterations: Iterable[int], save: str | os.PathLike[str] | Save):
        """Args:
          iterations: when to save; >= 0, at least one.
          save: a folder, which gets <iteration, eight digits>.safetensors keyed by
            variable path (weights and batch norm statistics, no masks), or a function
            of the iteration and the model. A file that is there already has to hold
            the very same arrays: FileExistsError ends the training otherwise.

        Raises:
          ValueError: there are no iterations, or one is negative or not whole.
        """
        super().__init__()
        asked = list(iterations)
        wrong = [value for value in asked if value != int(value) or value < 0]
        if wrong or not asked:
            raise ValueError(
                f"WeightSnapshot got iterations {asked!r}, of which {wrong!r} cannot "
                "be: expected at least one, all whole numbers >= 0."
            )
        self.iterations = frozenset(int(value) for value in asked)
        self.missing: tuple[int, ...] = ()
        self._save = save if callable(save) else _into_folder(save)
        self._reached: set[int] = set()
        self._seen: int | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Checks the model before its training.

        Raises:
          ValueError: the model is compiled with steps_per_execution > 1, or has no
            optimizer that counts iterations.
        """
        steps = getattr(self.model, "steps_per_execution", 1)
        if steps != 1:
            raise ValueError(
                f"The model is compiled with steps_per_execution={steps!r}, so that "
                "Keras shows callbacks only some iterations and WeightSnapshot would "
                "miss others. Compile it with steps_per_execution=1."
            )
        _iteration(self.model)
        self._seen = None

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Saves the state the training starts from, if it is asked for.

        Not before: a callback later in the list may restore another state first.
        """
        if self._seen is None:
            self._take()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Saves the state after this update, if it is asked for."""
        self._take()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Notes which iterations were asked for and never reached."""
        if self._seen is None:
            # There was no batch, so it ends where it started.
            self._take()
        self.missing = tuple(sorted(self.iterations - self._reached))

    def _take(self) -> None:
        """Saves the current state if asked for and not the one seen last.

        Keras ends a batch without an update where it accumulates gradients.
        """
        iteration = _iteration(self.model)
        if iteration == self._seen:
            return
        self._seen = iteration
        if iteration in self.iterations:
            _validate_built(self.model, iteration)
            self._save(iteration, self.model)
            self._reached.add(iteration)


def _iteration(model: keras.Model) -> int:
    """Returns the number of updates done to a model."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise ValueError(
            f"Model {model.name!r} has no optimizer, so its iteration is not known. "
            "Call model.compile(optimizer=...) before the training."
        )
    return optimizers.iteration(optimizer)


def _validate_built(model: keras.Model, iteration: int) -> None:
    """Raises ValueError if a model has no weights yet."""
    if not model.built or not model.weights:
        raise ValueError(
            f"Model {model.name!r} is not built at iteration {iteration}, so it has no "
            "weights to save. Call model.build(input_shape) before the training, or "
            "begin the model with a keras.Input."
        )


def _into_folder(folder: str | os.PathLike[str]) -> Save:
    """Returns a function that writes each snapshot into a file of the folder."""
    folder = epath.Path(paths.expanded(folder))

    def save(iteration: int, model: keras.Model) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{iteration:08d}.safetensors"
        arrays = model_weights.weights(model)
        if not path.exists():
            checkpoints.write_arrays(path, arrays)
        elif not checkpoints.holds(path, arrays):
            raise FileExistsError(
                f"{path} holds other weights than model {model.name!r} has at iteration"
                f" {iteration}: it is of another training, or of this one before it was"
                " interrupted and went on a little differently. Save to another folder,"
                " or remove the file if nobody needs it."
            )

    return save
