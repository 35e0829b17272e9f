"""IMP with rewinding of a user's own model (*Linear Mode Connectivity*, Algorithm 2).

As the commands do it, but for one thing: rewinding restores the optimizer's state at
the rewind iteration with the weights, since optimizers of any kind cannot be trusted to
begin afresh in the middle of a training.
"""

import dataclasses
import json
import math
import os
import typing
from collections.abc import Callable, Sequence

import keras

from tflottery import layers
from tflottery.components.masking import Mask
from tflottery.components.runs import MASK_FILE
from tflottery.core import durations
from tflottery.core.durations import Duration
from tflottery.core.registry import CRITERIA
from tflottery.models import weights as model_weights
from tflottery.own_models import execution, own_components, problem
from tflottery.own_models import workers as own_workers
from tflottery.own_models.examples import digest_of, num_not_finite
from tflottery.own_models.own_components import METRICS_FILE, OwnState
from tflottery.own_models.problem import Problem
from tflottery.own_models.update_loop import UpdateLoop
from tflottery.pruning import counts
from tflottery.pruning import masks as pruning_masks
from tflottery.store.store import Store
from tflottery.training import checkpoints
from tflottery.training.tickets import Ticket

if typing.TYPE_CHECKING:
    import pandas

_CRITERION = "magnitude"
_MOST_REPLICATES = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class FoundTickets:
    """What `find_ticket` found.

    Attributes:
      rows: a row for each replicate and level, level 0 being the dense network: its
        density, and loss and metrics on test data after training, as test_<name>;
        None where training diverged. By the addresses `network` and `mask` both lie in
        the store, of which `gc` keeps what a saved table names.
      level: the last level of the first replicate that did not diverge.
      ticket: of this level: its mask, and the weights at the rewind iteration.
      trained: the weights that this ticket was trained to, by variable path.
    """

    rows: tuple[dict[str, object], ...]
    level: int
    ticket: Ticket
    trained: model_weights.Weights
    _problem: Problem

    @property
    def table(self) -> "pandas.DataFrame":
        """The rows, as pandas has them."""
        import pandas

        return pandas.DataFrame(self.rows)

    def model(self) -> keras.Model:
        """Returns the trained ticket: a masked, compiled model, to be saved or used."""
        stated = self._problem
        model = stated.compiled(stated.mask(stated.built(1)))
        model_weights.assign(model, self.trained)
        layers.set_masks(model, self.ticket.masks)
        return model


def find_ticket(
    build_model: Callable[[], keras.Model],
    data: object,
    *,
    test_data: object,
    optimizer: object,
    loss: object,
    metrics: object = (),
    batch_size: int = 32,
    training_iterations: Duration = "10ep",
    rewind_iteration: Duration = "5%",
    density: float = 0.2,
    pruning_fraction: float = 0.2,
    replicates: int = 1,
    unpruned: Sequence[str] = (),
    store: str | os.PathLike | None = None,
    workers: int = 1,
) -> FoundTickets:
    """Returns the tickets that IMP with rewinding finds of your own model.

    Dense, it is trained once through; then, level by level, the weights of least
    magnitude are pruned, the others rewound and trained again.

    Args:
      build_model: returns a new Keras model, as of `tflottery.mask`.
      data, test_data: (inputs, targets) arrays, or a tf.data.Dataset of batches.
      optimizer, loss, metrics: as `compile` takes them.
      batch_size: examples of an update.
      training_iterations: length of a training, such as 2000 or "10ep".
      rewind_iteration: k, such as 100 or "5%" of the training.
      density: kept fraction of the weights at which the search ends, or just below.
      pruning_fraction: fraction of the surviving weights that a level removes.
      replicates: independent repetitions, of initial weights of their own.
      unpruned: what stays as it is, as of `tflottery.mask`.
      store: folder or URL that keeps what was trained; None: that of the commands.
      workers: processes that train replicates side by side; 1: this one alone.

    Raises:
      ValueError: an argument is wrong; nothing was trained. Or all diverged.
      RuntimeError: a training failed, or workers cannot train as this process does.
    """
    stated = problem.of_arguments(
        build_model,
        data,
        test_data=test_data,
        optimizer=optimizer,
        loss=loss,
        metrics=metrics,
        batch_size=batch_size,
        unpruned=unpruned,
    )
    own_workers.validate(stated, workers)
    last = in_iterations(training_iterations, stated)
    rewind = in_iterations(rewind_iteration, stated, training_iterations=last)
    num_levels = _num_levels(density, pruning_fraction=pruning_fraction)
    with own_components.kept(stated) as loop:
        of_levels = ((rewind, last), pruning_fraction, num_levels)
        digests = initial_digests(loop, replicates).items()
        lines = [_line(loop, *one, *of_levels) for one in digests]
        return _found(loop, lines, Store(store), num_workers=workers)


@dataclasses.dataclass(frozen=True)
class _Level:
    """A level of a replicate: what is trained, from what, and under which mask."""

    replicate: int
    level: int
    density: float
    at_rewind: OwnState
    trained: OwnState
    mask: Mask | None


def in_iterations(
    duration: Duration, stated: Problem, *, training_iterations: int | None = None
) -> int:
    """Returns a duration in iterations.

    Raises:
      ValueError: it is none, or none within the training.
    """
    found = durations.iterations(
        duration,
        num_examples=stated.num_train,
        batch_size=stated.batch_size,
        training_iterations=training_iterations,
    )
    if training_iterations is None and not found:
        raise ValueError(f"training_iterations={duration!r} leaves nothing to train.")
    if training_iterations is not None and found >= training_iterations:
        raise ValueError(
            f"Rewinding to iteration {found} ({duration!r}) leaves nothing of a "
            f"training of {training_iterations} iterations."
        )
    return found


def initial_digests(loop: UpdateLoop, replicates: int) -> dict[int, str]:
    """Returns the digest of each replicate's initial weights.

    Raises:
      ValueError: `replicates` is no number of them, or they are all the same.
    """
    if isinstance(replicates, bool) or replicates not in range(1, _MOST_REPLICATES + 1):
        raise ValueError(
            f"replicates={replicates!r}, expected a whole number from 1 to "
            f"{_MOST_REPLICATES}."
        )
    found = {
        one: digest_of(loop.initial_weights(one)) for one in range(1, replicates + 1)
    }
    if len(set(found.values())) < len(found):
        raise ValueError(
            "Replicates would be the same network: build_model returns the same "
            "initial weights for several of them. Leave seeds to this function (no "
            "keras.utils.set_random_seed, no seeds of initializers), or ask for "
            "replicates=1."
        )
    return found


def trunk(loop: UpdateLoop, replicate: int, digest: str, *, iteration: int) -> OwnState:
    """Returns the dense training of a replicate, at an iteration.

    Args:
      loop: of the problem.
      replicate: whose.
      digest: of its initial weights.
      iteration: updates done.
    """
    return OwnState(
        problem=loop.key, replicate=replicate, initial=digest, iteration=iteration
    )


def _num_levels(density: float, *, pruning_fraction: float) -> int:
    """Returns how many prunings reach a density."""
    level = counts.level_of(density, pruning_fraction=pruning_fraction)
    # The nearest level may be denser; "or just below" is what was promised.
    return level + ((1 - pruning_fraction) ** level > density * (1 + 1e-9))


def _line(
    loop: UpdateLoop,
    replicate: int,
    digest: str,
    iterations: tuple[int, int],
    pruning_fraction: float,
    num_levels: int,
) -> list[_Level]:
    """Returns the levels of a replicate, each from the one before."""
    rewind, last = iterations
    at_rewind = trunk(loop, replicate, digest, iteration=rewind)
    trained = dataclasses.replace(
        at_rewind, start=at_rewind, first_iteration=rewind, iteration=last
    )
    shapes = loop.kernel_shapes
    size = sum(math.prod(shape) for shape in shapes.values())
    levels = [_Level(replicate, 0, 1.0, at_rewind, trained, None)]
    for level in range(1, num_levels + 1):
        count = counts.num_survivors(
            size, pruning_fraction=pruning_fraction, level=level
        )
        mask = Mask(
            criterion=_CRITERION,
            criterion_version=CRITERIA[_CRITERION]["version"],
            scored=levels[-1].trained,
            previous=levels[-1].mask,
            kernels=tuple(shapes.items()),
            num_survivors=count,
        )
        trained = dataclasses.replace(trained, mask=mask, level=level, data_order=1)
        density = counts.density(count, num_prunable=size)
        levels.append(_Level(replicate, level, density, at_rewind, trained, mask))
    return levels


def _found(
    loop: UpdateLoop,
    lines: Sequence[Sequence[_Level]],
    store: Store,
    *,
    num_workers: int,
) -> FoundTickets:
    """Makes all levels of all replicates, and returns what came of them."""
    stated, every = loop.problem, [one for line in lines for one in line]
    goals = [one.trained for one in every]
    absent = execution.make(goals, store, loop=loop, num_workers=num_workers)
    rows = tuple(_row(one, store, absent) for one in every)
    alive = [
        [one for one in line if one.trained.address not in absent] for line in lines
    ]
    there = next(filter(None, alive), None)
    if there is None:
        wrong = num_not_finite(stated.train)
        raise ValueError(
            "The dense training diverged: its weights are not finite at the end. "
            + (
                f"{wrong} of the values in data are NaN or infinite."
                if wrong
                else "Try a lower learning rate."
            )
        )
    final = there[-1]
    masks = {}
    if final.mask is not None:
        masks = checkpoints.read_arrays(store.open(final.mask.address) / MASK_FILE)
    weights = checkpoints.read_weights(store.open(final.at_rewind.address))
    ticket = Ticket(
        pruning_masks.apply(weights, masks), masks, final.trained.first_iteration
    )
    trained = checkpoints.read_weights(store.open(final.trained.address))
    return FoundTickets(rows, final.level, ticket, trained, stated)


def _row(one: _Level, store: Store, absent: frozenset[str]) -> dict[str, object]:
    """Returns the row of a level."""
    row = {
        "replicate": one.replicate,
        "level": one.level,
        "density": one.density,
        "rewind_iteration": one.trained.first_iteration,
        "iteration": one.trained.iteration,
        "network": one.trained.address,
        "mask": None if one.mask is None else one.mask.address,
    }
    if one.trained.address in absent:
        return row | {"network": None, "mask": None, "test_loss": None}
    text = (store.open(one.trained.address) / METRICS_FILE).read_text()
    return row | {f"test_{name}": value for name, value in json.loads(text).items()}
