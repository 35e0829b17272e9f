"""What a ticket is sought for: a model, its data, and how it is trained on them."""

import collections
import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np

from tflottery import layers
from tflottery.core import seeds
from tflottery.own_models import examples
from tflottery.own_models.configurations import copied, put_together, taken_apart
from tflottery.own_models.examples import Examples

_SEED_BITS = 32
# Fields with what Keras tells of by configurations.
_OF_KERAS = ("optimizer", "loss", "metrics")


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A model with data; kept by the process that it was made in.

    Attributes:
      build_model: returns a Keras model, which is not compiled, or not by what it is
        compiled with. Called for each replicate.
      train: examples to train on.
      test: examples to measure on.
      optimizer: what `compile` takes; each training has one like it.
      loss: what `compile` takes.
      metrics: what `compile` takes.
      batch_size: examples of an update.
      unpruned: as of `layers.mask`; None: nothing is masked.
    """

    build_model: Callable[[], keras.Model]
    train: Examples
    test: Examples
    optimizer: object
    loss: object
    metrics: object
    batch_size: int
    unpruned: Sequence[str] | None

    def __post_init__(self) -> None:
        """Raises ValueError for no function, or a batch size that data do not allow."""
        if isinstance(self.build_model, keras.layers.Layer) or not callable(
            self.build_model
        ):
            raise ValueError(
                f"build_model={self.build_model!r}, expected a function that returns a "
                "new keras.Model each time it is called."
            )
        # In ranges there are whole numbers alone, and no text.
        if self.batch_size not in range(1, self.num_train + 1) or isinstance(
            self.batch_size, bool | float
        ):
            raise ValueError(
                f"batch_size={self.batch_size!r}, expected a whole number from 1 to "
                f"the {self.num_train} examples that are trained on."
            )

    def __reduce__(self) -> tuple:
        """Is sent to another process as what its objects of Keras's are made of."""
        given = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        for name in _OF_KERAS:
            given[name] = keras.tree.map_structure(taken_apart, given[name])
        return _received, (given,)

    def without_examples(self) -> "Problem":
        """Returns the same problem with no more than one example of each kind."""
        return dataclasses.replace(
            self,
            train=examples.first(self.train, 1),
            test=examples.first(self.test, 1),
            batch_size=1,
        )

    @property
    def num_train(self) -> int:
        """Number of training examples."""
        return examples.num_examples(self.train)

    def built(self, replicate: int) -> keras.Model:
        """Returns a replicate's model with its initial weights, without our masks.

        Raises:
          ValueError: `build_model` returned no model, or one with a state that does
            not begin anew with each batch.
        """
        with numbered_anew(), _seeded(seeds.init_seed(replicate)):
            model = self.build_model()
            if not isinstance(model, keras.Model):
                raise ValueError(
                    f"build_model returned {model!r}, expected a keras.Model."
                )
            if not model.built:
                model(examples.first(self.train, 1)[0])
        # Keras has no public way to the layers inside composite layers.
        every = model._flatten_layers(include_self=False, recursive=True)
        stateful = [one.name for one in every if getattr(one, "stateful", False)]
        if stateful:
            raise ValueError(
                f"Layers {stateful} are stateful: what they remember of a batch would "
                "go on into another, of another training. Leave out stateful=True."
            )
        return model

    def mask(self, model: keras.Model) -> keras.Model:
        """Returns a model that was built, masked if anything may be pruned.

        Raises:
          ValueError: it cannot be masked, has masks in some of its layers only, or
            layers that are not trained.
        """
        if self.unpruned is None:
            return model
        before = layers.masks(model).keys()
        layers.mask(model, unpruned=self.unpruned)
        found = layers.masked_kernels(model)
        added = [one.kernel.path for one in found if one.kernel.path not in before]
        if before and added:
            raise ValueError(
                f"build_model returned a model with masks in {sorted(before)}, and "
                f"without in {added}. Leave `tflottery.mask` to this function, and "
                "tell it by `unpruned` what stays as it is."
            )
        frozen = [one.kernel.path for one in found if not one.kernel.trainable]
        if frozen:
            raise ValueError(
                f"Kernels that are not trained would be pruned: {frozen}. Name their "
                "layers in `unpruned`, or let them train."
            )
        return model

    def compiled(self, model: keras.Model) -> keras.Model:
        """Returns a model, compiled with optimizer, loss and metrics of its own."""
        with numbered_anew():
            metrics = keras.tree.map_structure(copied, self.metrics)
        model.compile(
            optimizer=copied(keras.optimizers.get(self.optimizer)),
            loss=self.loss,
            metrics=metrics,
            jit_compile=False,
        )
        # Saved unbuilt, it would be said not to fit when it is loaded.
        model.optimizer.build(model.trainable_variables)
        return model


def _received(given: dict[str, object]) -> Problem:
    """Returns a problem that came from another process."""
    for name in _OF_KERAS:
        given[name] = keras.tree.map_structure(put_together, given[name])
    return Problem(**given)


@contextlib.contextmanager
def numbered_anew() -> Iterator[None]:
    """Has Keras number what has no name from the start, as in a new process.

    Paths of weights would else depend on how many models were built before.
    """
    # Keras has no public way but to forget all that it has built.
    from keras.src.backend.common import global_state

    name = "object_name_uids"
    before = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, collections.defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(name, before)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Has initializers without a seed of their own draw by this one.

    Keras takes their seeds from Python's generator.
    """
    before, numpy_before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**_SEED_BITS)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)


def of_arguments(
    build_model: Callable[[], keras.Model],
    data: object,
    *,
    test_data: object,
    optimizer: object,
    loss: object,
    metrics: object,
    batch_size: int,
    unpruned: Sequence[str] | None,
) -> Problem:
    """Returns the problem that the arguments of a public function state."""
    train = examples.examples_of(data, called="data")
    test = examples.examples_of(test_data, called="test_data")
    examples.refuse_other_axes(train, test)
    return Problem(
        build_model,
        train,
        test,
        optimizer=optimizer,
        loss=loss,
        metrics=metrics,
        batch_size=batch_size,
        unpruned=unpruned,
    )
