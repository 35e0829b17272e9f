"""Pruning while a model trains: a callback for plain `model.fit`.

Magnitude pruning as the papers do it (*Linear Mode Connectivity*, Algorithm 2), with or
without rewinding, in one training. Several trainings, replicates and controls are what
`find_ticket` and the commands are for.
"""

import numbers
from collections.abc import Iterable, Mapping

import keras
import numpy as np

from tflottery import layers
from tflottery.core import durations
from tflottery.core.durations import Duration
from tflottery.models import weights as model_weights
from tflottery.pruning import masks as pruning_masks
from tflottery.pruning import scoring
from tflottery.training import optimizers


class MagnitudePruning(keras.callbacks.Callback):
    """Prunes the weights of least magnitude at chosen iterations of a `fit`.

        tflottery.mask(model)
        pruning = tflottery.MagnitudePruning({"2ep": 0.5, "4ep": 0.2})
        model.fit(x, y, epochs=8, callbacks=[pruning])

    Iterations are updates of the model since it was compiled, with this callback or
    without, those before a rewinding included. 0 is at once.

    Attributes:
      history: an (iteration, density) for each pruning so far.
    """

    def __init__(
        self,
        densities: Mapping[Duration, float],
        *,
        per_layer: bool = False,
        rewind_to: int | None = None,
        unpruned: Iterable[str] = (),
    ):
        """Args:
          densities: kept fraction of the prunable weights, in (0, 1], by when: an
            iteration, or a duration such as "3ep" or "25%". They fall with time.
          per_layer: whether each kernel is pruned to that density by itself; False
            ranks the weights of all kernels together.
          rewind_to: iteration whose weights and optimizer state, its count of
            iterations included, the model gets back after each pruning; None: training
            goes on from where it is.
          unpruned: paths of masked kernels that are never pruned.

        Raises:
          ValueError: there are no densities, one is out of bounds or higher than one
            before it, or pruning comes before the iteration to rewind to.
        """
        super().__init__()
        if isinstance(unpruned, str):
            raise ValueError(f"unpruned={unpruned!r}, expected a list of paths.")
        if rewind_to is not None and (
            isinstance(rewind_to, bool) or not isinstance(rewind_to, int)
        ):
            raise ValueError(f"rewind_to={rewind_to!r}, expected an iteration or None.")
        if (
            not isinstance(densities, Mapping)
            or not densities
            or not all(map(_is_density, densities.values()))
        ):
            raise ValueError(
                f"densities={densities!r}, expected at least one, all in (0, 1], by "
                "when: the fraction of weights that is kept from then on, such as "
                '{"2ep": 0.5}.'
            )
        for when in densities:
            durations.validate(when)
            if "ex" in str(when):
                raise ValueError(
                    f"densities names {when!r}, but a callback is not told how many "
                    "examples a batch has. Write iterations (500) or epochs (4ep)."
                )
        self._densities = dict(densities)
        self._per_layer = per_layer
        self._rewind_to = rewind_to
        self._unpruned = frozenset(unpruned)
        self._schedule: dict[int, float] = {}
        self._rewound: list[tuple[keras.Variable, np.ndarray]] | None = None
        self._num_updates: int | None = None
        self._seen = 0
        self._of: tuple[keras.Model, keras.optimizers.Optimizer] | None = None
        self.history: list[tuple[int, float]] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Validates the model and the schedule before the training.

        Raises:
          ValueError: the model has no masks or no optimizer, or is compiled with
            steps_per_execution > 1; it is not that of the fit before; a duration cannot
            be told in iterations; or it was time to prune before, or the model is
            sparser already.
        """
        paths = layers.masks(self.model).keys()
        if not paths - self._unpruned or self._unpruned - paths:
            raise ValueError(
                f"Model {self.model.name!r} has the masked kernels {sorted(paths)}, "
                f"and unpruned={sorted(self._unpruned)}: expected at least one to "
                "prune. tflottery.mask(model) gives layers masks."
            )
        if self.model.optimizer is None or self.model.steps_per_execution != 1:
            raise ValueError(
                f"Model {self.model.name!r} is compiled with optimizer="
                f"{self.model.optimizer!r} and steps_per_execution="
                f"{self.model.steps_per_execution!r}, expected an optimizer and 1: "
                "pruning comes between two updates."
            )
        now = (self.model, self.model.optimizer)
        if self._of is not None and any(
            a is not b for a, b in zip(self._of, now, strict=True)
        ):
            raise ValueError(
                "This callback has pruned another model, or has seen this one with "
                "another optimizer: make a callback for each model that is compiled."
            )
        self._of = now
        self._schedule = self._in_iterations()
        self._seen = optimizers.iteration(self.model.optimizer)
        if self._num_updates is None:
            self._num_updates = self._seen
            self._refuse_late()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Prunes before the first update, where that is asked for."""
        self._act()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Prunes after this update, where that is asked for."""
        iteration = optimizers.iteration(self.model.optimizer)
        self._num_updates += iteration - self._seen
        self._seen = iteration
        self._act()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Puts pruned weights at 0.0 that an optimizer's averages have brought back."""
        layers.set_masks(self.model, layers.masks(self.model))

    def _refuse_late(self) -> None:
        """Raises ValueError where what is asked for should have begun before."""
        masks = [
            mask
            for path, mask in layers.masks(self.model).items()
            if path not in self._unpruned
        ]
        size, left = sum(one.size for one in masks), sum(one.sum() for one in masks)

        def kept(density: float) -> int:
            if self._per_layer:
                return sum(_count(one.size, density) for one in masks)
            return _count(size, density)

        first = next(iter(self._schedule.values()))
        if kept(first) > left and first < 1:
            raise ValueError(
                f"densities begin with {first}, and the model has only "
                f"{left / size:.3g} of its weights left."
            )
        due = {at: one for at, one in self._schedule.items() if at <= self._num_updates}
        # Pruning at 0 is meant to be at once.
        if any(
            0 < at < self._num_updates and kept(one) < left for at, one in due.items()
        ):
            raise ValueError(
                f"densities by iteration are {self._schedule}, and the model has made "
                f"{self._num_updates} updates already, which count: it would be pruned "
                f"at once to {min(due.values())}. Add these updates to the iterations, "
                "write 0 for what is to be at once, or compile the model anew, from "
                "where they are counted."
            )
        if self._rewind_to is not None and self._num_updates > self._rewind_to:
            raise ValueError(
                f"rewind_to={self._rewind_to!r}, but the model has made "
                f"{self._num_updates} updates already: its state then is not known."
            )

    def _in_iterations(self) -> dict[int, float]:
        """Returns the densities by iteration, ascending."""
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        # Of so many batches an update is made.
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        num_batches = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        schedule = {}
        for when, density in self._densities.items():
            iteration = durations.iterations_alone(when)
            if iteration is None and not steps:
                raise ValueError(
                    f"densities names {when!r}, and how many batches an epoch has is "
                    "not known. Write iterations, or give fit steps_per_epoch."
                )
            if iteration is None:
                iteration = durations.iterations(
                    when,
                    num_examples=steps,
                    batch_size=num_batches,
                    training_iterations=steps * epochs // num_batches,
                )
            if iteration in schedule:
                raise ValueError(
                    f"densities names iteration {iteration} twice, once as {when!r}."
                )
            schedule[iteration] = density
        schedule = dict(sorted(schedule.items()))
        falling = sorted(schedule.values(), reverse=True)
        if [*schedule.values()] != falling or min(schedule) < (self._rewind_to or 0):
            raise ValueError(
                f"densities by iteration are {schedule}, rewind_to={self._rewind_to!r}:"
                " expected densities that do not rise, none before that iteration."
            )
        return schedule

    def _act(self) -> None:
        """Keeps the state to rewind to, and prunes, where it is time."""
        if self._num_updates == self._rewind_to and self._rewound is None:
            self._rewound = self._state()
        due = [one for at, one in self._schedule.items() if at <= self._num_updates]
        if len(due) > len(self.history):
            self._prune(due[-1])
            self.history += [(self._num_updates, due[-1])] * (
                len(due) - len(self.history)
            )

    def _state(self) -> list[tuple[keras.Variable, np.ndarray]]:
        """Returns the model's variables and its optimizer's, each with its value."""
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        masks = {id(one.mask) for one in layers.masked_kernels(self.model)}
        own = [one for one in self.model.variables if id(one) not in masks]
        every = {id(one): one for one in [*own, *optimizer.variables]}
        return [(one, keras.ops.convert_to_numpy(one)) for one in every.values()]

    def _prune(self, density: float) -> None:
        """Prunes the model to a density, and rewinds it if that is asked for."""
        weights, before = model_weights.weights(self.model), layers.masks(self.model)
        previous = {p: mask for p, mask in before.items() if p not in self._unpruned}
        shapes = {path: mask.shape for path, mask in previous.items()}
        scores = scoring.score("magnitude", weights, shapes)
        sizes = {path: mask.size for path, mask in previous.items()}
        if self._per_layer:
            chosen = pruning_masks.keep_highest_per_layer(
                scores,
                num_survivors={p: _count(size, density) for p, size in sizes.items()},
                previous=previous,
            )
        else:
            chosen = pruning_masks.keep_highest(
                scores,
                num_survivors=_count(sum(sizes.values()), density),
                previous=previous,
            )
        if self._rewind_to is not None:
            self._rewind()
        layers.set_masks(self.model, before | chosen)

    def _rewind(self) -> None:
        """Gives the model the state of the iteration to rewind to."""
        if self._rewound is None:
            raise ValueError(
                f"rewind_to={self._rewind_to!r}, but this callback saw the model first "
                f"later: at iteration {self._num_updates} it cannot rewind."
            )
        for variable, value in self._rewound:
            variable.assign(value)
        self._seen = optimizers.iteration(self.model.optimizer)


def _count(size: int, density: float) -> int:
    """Returns how many of `size` weights survive: rounded half up, one at least."""
    return max(1, int(size * density + 0.5))


def _is_density(value: object) -> bool:
    return isinstance(value, numbers.Real) and 0 < value <= 1
