"""A network on the devices of a machine, and beside them on its processor alone."""

import functools
import math
import time

import numpy as np

from tflottery.core.environment import SetupError
from tflottery.core.recipes import Recipe
from tflottery.core.registry import MODELS
from tflottery.datasets.arrays import Source, Split
from tflottery.training import distribution
from tflottery.training.distribution import Placement
from tflottery.training.precisions import FLOAT32

# Images a second by network and precision.
Rates = dict[tuple[str, str], float]
_SEED = 1
_UPDATES = 5
# Of how far weights move in these updates, what devices may differ by.
TOLERANCE = 1e-3
# Images of an update on each device, and how many are measured, by size of images.
_PART_SIZES = {"small": (64, 500), "large": (32, 100)}
_LARGE_PIXELS = 128**2
# Of the data sets of networks; others have images as large as the network asks.
_SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "cifar10_16x16": (16, 16, 3)}
_SECONDS_OF_SPEED = 5.0


def image_shape(model: str) -> tuple[int, int, int]:
    """Returns the shape of the images of a network's own data set."""
    size = MODELS[model]["image_size"]
    return _SHAPES.get(MODELS[model]["dataset"], (size, size, 3))


def made_up(model: str, *, num_examples: int, num_classes: int = 10) -> Source:
    """Returns noise in the shape of a network's images, with labels."""
    shape = image_shape(model)
    labels = (np.arange(num_examples) % num_classes).astype(np.int32)
    random = np.random.default_rng(_SEED)
    images = random.integers(0, 256, (num_examples, *shape), np.uint8)
    return Source(
        name="made_up",
        version="1",
        digest="0" * 16,
        train=Split(images, labels),
        test=Split(images, labels),
        num_classes=num_classes,
        mean=(0.5,) * shape[-1],
        std=(0.25,) * shape[-1],
    )


class Trial:
    """A network with made-up images, on the devices and on the processor."""

    def __init__(self, model: str, placement: Placement):
        """Args:
        model: name of a registered network.
        placement: the devices.
        """
        self._model = model
        self._placement = placement
        self._strategy = distribution.strategy(placement)
        self._num_devices = distribution.num_devices_of(self._strategy)

    def compared_updates(self) -> str:
        """Returns how near updates on the devices come to the processor's.

        Raises:
          SetupError: they do not come near.
        """
        import tensorflow as tf

        start, found = self._updated(self._trainer)
        with tf.device("CPU:0"):
            on_cpu = self._make_trainer(None)
            _, expected = self._updated(on_cpu)
        moved = _norm({path: expected[path] - start[path] for path in start})
        apart = _norm({path: found[path] - expected[path] for path in start})
        if not apart <= TOLERANCE * moved:
            raise SetupError(
                f"after {_UPDATES} updates its weights are {apart:.2g} from those of "
                f"the processor, which moved by {moved:.2g}. Results of this machine "
                "are not to be trusted: try another release of TensorFlow or of the "
                "driver, and report this with the lines above"
            )
        near = f"{apart / moved:.1g} of the way" if apart else "the same bits"
        return f"{_UPDATES} updates end where the processor's do ({near})"

    def compared_errors(self) -> str:
        """Returns what is measured on the devices.

        Raises:
          SetupError: the processor counts other errors.
        """
        from tflottery.training import evaluation, replicated_evaluation

        make = functools.partial(
            evaluation.Evaluator, self._model, self._source, num_classes=10
        )
        weights = self._trainer.initial_weights(_SEED)
        evaluator = replicated_evaluation.over(self._placement, make)
        found = _measured(evaluator, weights)
        expected = _measured(make(device="CPU:0"), weights)
        count, loss = found
        # A tie may go the other way by rounding.
        if abs(count - expected[0]) > 1 or not np.isclose(
            loss, expected[1], rtol=TOLERANCE
        ):
            raise SetupError(
                f"{count} errors and a loss of {loss:.6g}; the processor has "
                f"{expected[0]} and {expected[1]:.6g}. Results of this machine are not "
                "to be trusted: try another release of TensorFlow or of the driver"
            )
        return f"{count} errors of {len(self._source.test.labels)}, as on the processor"

    def speed(self, rates: Rates, precision: str = FLOAT32) -> str:
        """Returns how many images a second train.

        Args:
          rates: of networks; takes this one's in.
          precision: that it trains in.
        """
        trainer, done = self._trainer, 0
        if precision != FLOAT32:
            trainer = self._make_trainer(self._strategy, precision)
        stream = trainer.stream(data_order_seed=_SEED, augmentation_seed=_SEED)
        self._restore(trainer)
        # What is left to trace and to warm up.
        trainer.train(stream, _UPDATES, dropout_seed=_SEED)
        began = time.perf_counter()
        while time.perf_counter() - began < _SECONDS_OF_SPEED:
            done += _UPDATES
            trainer.train(stream, _UPDATES + done, dropout_seed=_SEED)
        seconds = time.perf_counter() - began
        rate = done * trainer.recipe.batch_size / seconds
        rates[self._model, precision] = rate
        size = trainer.recipe.batch_size
        return (
            f"{rate:,.0f} images a second, {done / seconds:,.1f} updates of {size} "
            f"images of {'x'.join(map(str, self._source.image_shape))}"
        )

    @functools.cached_property
    def _trainer(self) -> object:
        """The network on the devices."""
        return self._make_trainer(self._strategy)

    def _make_trainer(
        self, strategy: object | None, precision: str | None = None
    ) -> object:
        """Returns the network on a strategy's devices, its batch in as many parts."""
        from tflottery.training.trainer import Trainer

        return Trainer(
            self._model,
            self._recipe,
            self._source,
            num_classes=10,
            sparse=True,
            strategy=strategy,
            num_replicas=self._num_devices,
            precision=precision,
        )

    def _updated(self, trainer: object) -> tuple[dict, dict]:
        """Returns the weights that a trainer begins with, and those after updates."""
        start = self._restore(trainer)
        stream = trainer.stream(data_order_seed=_SEED, augmentation_seed=_SEED)
        trainer.train(stream, _UPDATES, dropout_seed=_SEED)
        return start, trainer.state()[0]

    def _restore(self, trainer: object) -> dict[str, np.ndarray]:
        """Puts a trainer at its start; returns the weights there."""
        start = trainer.initial_weights(_SEED)
        trainer.restore(start, masks={}, slots=None, iteration=0, first_iteration=0)
        return start

    @functools.cached_property
    def _recipe(self) -> Recipe:
        size, _ = _PART_SIZES[self._size]
        return Recipe(
            optimizer="sgd",
            learning_rate=0.01,
            batch_size=size * self._num_devices,
            training_iterations=10**6,
            momentum=0.9,
            weight_decay=1e-4,
            augmentation="none",
        )

    @functools.cached_property
    def _source(self) -> Source:
        """Images of the size that the network's paper has."""
        _, count = _PART_SIZES["small"]
        if math.prod(image_shape(self._model)[:2]) >= _LARGE_PIXELS:
            _, count = _PART_SIZES["large"]
        return made_up(self._model, num_examples=count)

    @property
    def _size(self) -> str:
        height, width, _ = self._source.image_shape
        return "large" if height * width >= _LARGE_PIXELS else "small"


def _measured(evaluator: object, weights: dict[str, np.ndarray]) -> tuple[int, float]:
    """Returns errors and loss of weights on all test images."""
    evaluator.assign(weights)
    found = [evaluator.measure("test", block) for block in evaluator.blocks("test")]
    return sum(one.num_misclassified for one in found), sum(one.loss for one in found)


def _norm(weights: dict[str, np.ndarray]) -> float:
    """Returns the Euclidean norm of all weights together."""
    total = sum(
        np.sum(np.square(value, dtype=np.float64)) for value in weights.values()
    )
    return float(np.sqrt(total))
