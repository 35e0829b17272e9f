"""What a process keeps between jobs: data opened, networks built, loops compiled."""

import dataclasses
import functools
import math
import typing
from collections.abc import Mapping

import numpy as np

from tflottery.core import fingerprints, recipes
from tflottery.core.identities import Data, Network
from tflottery.core.recipes import LABELS, Recipe, Setting
from tflottery.core.registry import MODELS, PRETEXTS
from tflottery.datasets import resizing, selection
from tflottery.datasets import source as sources
from tflottery.datasets.source import Source
from tflottery.training import distribution, precisions
from tflottery.training.distribution import Placement
from tflottery.training.orders import Orders

if typing.TYPE_CHECKING:
    import keras

    from tflottery.training import evaluation, probing, trainer
    from tflottery.training.distributed_evaluation import DistributedEvaluator

    _Built = trainer.Trainer | evaluation.Evaluator | DistributedEvaluator
    _Built |= probing.Probe
# Of a command over many networks, as many of each stay built; tracing takes seconds. Of
# large ones fewer, whose variables take no more than so much together: there is room
# for four of Inception-v3 to train, and for one AlexNet.
_MOST_BUILT, MOST_BYTES = 4, 5 * 2**28
_FLOAT32_BYTES = 4
_NO_ORDERS = Orders()


class UnusableData(RuntimeError):
    """A dataset that was there when a command began cannot be used any more."""


class OtherData(UnusableData):
    """A dataset was replaced while a command went on."""


class Runtime:
    """Builds each thing once per process; TensorFlow starts when the first is asked."""

    def __init__(
        self,
        *,
        data_dir: str | None,
        placement: Placement,
        most_built: int = _MOST_BUILT,
        orders: Orders = _NO_ORDERS,
    ):
        """Args:
        data_dir: folder of prepared tensorflow-datasets, or None for the default.
        placement: where this process trains.
        most_built: how many trainers, and as many evaluators, stay built at most;
          large ones fewer.
        orders: have other hosts' trainers do what the ones of this process do.
        """
        self._data_dir = data_dir
        self._placement = placement
        self._most_built = most_built
        self._orders = orders
        self._trainers: dict[str, trainer.Trainer] = {}
        self._evaluators: dict[str, evaluation.Evaluator | DistributedEvaluator] = {}

    @functools.cached_property
    def strategy(self) -> object | None:
        """The tf.distribute strategy; None is one device."""
        return distribution.strategy(self._placement)

    @property
    def num_devices(self) -> int:
        """How many devices share a batch."""
        # A plan alone needs no other hosts.
        known = self._placement.num_devices
        return known or distribution.num_devices_of(self.strategy)

    @property
    def num_measuring(self) -> int:
        """How many devices measure: those of this host."""
        return self._placement.num_local_devices or self.num_devices

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a runtime lives with its process
    def source(self, dataset: str, *, model: str | None) -> Source:
        """Returns a dataset in the form that a model takes; None: in its own form."""
        names = ("minimum_image_size", "image_size")
        sizes = {} if model is None else {name: MODELS[model][name] for name in names}
        return sources.load(dataset, data_dir=self._data_dir, **sizes)

    def learned(self, setting: Setting, *, model: str) -> Source:
        """Returns what a model is shown of a data set: of what shape, and how much.

        Raises:
          ValueError: the subset leaves too little, or images cannot have that shape.
        """
        return self._seen(
            setting.dataset,
            model=model,
            resized_to=self.resized_to(setting, model=model),
            subset=setting.subset,
            pretext=setting.pretext,
        )

    def resized_to(
        self, setting: Setting, *, model: str
    ) -> tuple[int, int, int] | None:
        """Returns the shape that images are brought to; None: they stay as they are.

        So do those that have the other data set's shape, which are no other data.
        """
        if setting.shaped_like in (None, setting.dataset):
            return None
        shape = self.source(setting.shaped_like, model=model).image_shape
        own = self.source(setting.dataset, model=None)
        if own.is_encoded:
            # Of which a model is shown as much as it takes anyway.
            own = self.source(setting.dataset, model=model)
        return None if shape == own.image_shape else shape

    def subset(self, setting: Setting, *, model: str) -> str | None:
        """Returns the part of a data set that is seen, or has labels; None: all.

        A part that leaves nothing out, such as 0.95 of ten classes, is no other data.
        """
        if setting.subset is None:
            return None
        whole = self.learned(
            dataclasses.replace(setting, subset=None, task=LABELS), model=model
        )
        labels = self.learned(setting, model=model).train.labels
        is_whole = len(labels) == len(whole.train.labels)
        # Images whose labels are not to be seen are there.
        leaves_out = not is_whole or selection.UNLABELED in labels
        return setting.subset if leaves_out else None

    def forget(self) -> None:
        """Forgets all it keeps: data are opened anew, and networks built anew."""
        type(self).source.cache_clear()
        type(self)._seen.cache_clear()
        self._trainers.clear()
        self._evaluators.clear()

    def trainer(
        self,
        network: Network,
        data: Data,
        *,
        recipe: Recipe,
        sparse: bool,
        num_replicas: int | None = None,
        precision: str | None = None,
    ) -> "trainer.Trainer":
        """Returns the trainer of dense or sparse runs under a recipe of any length.

        Args:
          network: what is trained.
          data: on what.
          recipe: resolved.
          sparse: whether runs may have masks.
          num_replicas: parts of a batch; None: one a device.
          precision: in what it computes; None: as it is.
        """
        from tflottery.training import trainer

        num_replicas = num_replicas or self.num_devices
        self._orders.give(
            "trainer",
            network,
            data,
            recipe=recipe,
            sparse=sparse,
            num_replicas=num_replicas,
            precision=precision,
        )
        parts = [network, data, recipes.trajectory(recipe), sparse, num_replicas]
        parts.append(precision)
        key = fingerprints.fingerprint(parts)
        if key not in self._trainers:
            _make_room(self._trainers, most=self._most_built)
            built = trainer.Trainer(
                network.model,
                recipe,
                self.source_of(data, network),
                num_classes=network.num_classes,
                sparse=sparse,
                pretext=data.pretext,
                pretext_seed=data.pretext_seed,
                strategy=self.strategy,
                num_replicas=num_replicas,
                precision=precision,
                orders=self._orders,
            )
            # Not kept before: the next job would not ask what it is.
            _validate_architecture(network, built, precision=precision)
            self._trainers[key] = built
        return self._trainers[key]

    def evaluator(
        self, network: Network, data: Data
    ) -> "evaluation.Evaluator | DistributedEvaluator":
        """Returns the evaluator of a network on a dataset, over all devices of it."""
        from tflottery.training import evaluation, replicated_evaluation

        key = fingerprints.fingerprint([network, data])
        if key not in self._evaluators:
            _make_room(self._evaluators, most=self._most_built)
            evaluator = functools.partial(
                evaluation.Evaluator,
                network.model,
                self.source_of(data, network),
                num_classes=network.num_classes,
                pretext=data.pretext,
                pretext_seed=data.pretext_seed,
            )
            built = replicated_evaluation.over(self._placement, evaluator)
            _validate_architecture(network, built)
            self._evaluators[key] = built
        return self._evaluators[key]

    def probe(
        self,
        network: Network,
        data: Data,
        *,
        recipe: Recipe,
        weights: Mapping[str, np.ndarray],
        examples: int,
        num_survivors: int,
    ) -> "probing.Probe":
        """Returns a network at weights, and what it trains on, for pruning criteria.

        Args:
          network: which.
          data: on what it trains.
          recipe: how images are shown in training.
          weights: by variable path; those that are pruned are 0.
          examples: training images that a batch of them has.
          num_survivors: weights that are to be kept.
        """
        from tflottery.training import probing

        probe = probing.Probe(
            network.model,
            self.source_of(data, network),
            num_classes=network.num_classes,
            augmentation=recipes.simplified(recipe).augmentation,
            weights=weights,
            examples=examples,
            num_survivors=num_survivors,
            pretext=data.pretext,
            pretext_seed=data.pretext_seed,
        )
        _validate_architecture(network, probe)
        return probe

    def source_of(self, data: Data, network: Network) -> Source:
        """Returns the images that a key stands for, scaled; raises UnusableData else.

        A plan's keys hold the digest of the data that were there when it was made.
        """
        try:
            source = self._seen(
                data.name,
                model=network.model,
                resized_to=data.resized_to,
                subset=data.subset,
                pretext=data.pretext,
            )
        except (ValueError, OSError, RuntimeError) as error:
            # When the command began, they were as asked.
            raise UnusableData(str(error)) from error
        if source.digest != data.digest:
            hosts = self._placement.hosts
            if hosts is not None and not hosts.is_chief:
                raise OtherData(
                    f"Dataset {data.name!r} is not the one that the chief has: the "
                    f"digest of its images and labels is {source.digest} here, and "
                    f"{data.digest} there. All hosts need the same."
                )
            raise OtherData(
                f"Dataset {data.name!r} is not the one that this command began with: "
                f"the digest of its images and labels is {source.digest} now, and was "
                f"{data.digest}. The same command, begun again, trains on what is "
                "there now."
            )
        return source.scaled(data.input_scaling)

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a runtime lives with its process
    def _seen(
        self,
        dataset: str,
        *,
        model: str,
        resized_to: tuple[int, int, int] | None,
        subset: str | None,
        pretext: str | None,
    ) -> Source:
        """Returns the images of a data set in the shape, and the part, that is seen."""
        # What is resized anyway need not be as large as the model asks.
        source = self.source(dataset, model=model if resized_to is None else None)
        source = resizing.of(source, resized_to)
        unlabeled = bool(pretext and PRETEXTS[pretext]["unlabeled"])
        return selection.of(source, subset, unlabeled=unlabeled)


def _validate_architecture(
    network: Network,
    built: "_Built",
    *,
    precision: str | None = None,
) -> None:
    """Raises RuntimeError if a model is not the one that a key stands for.

    That one computes as its author says, whatever it is told to compute in.
    """
    from tflottery.models.architecture import architecture

    if not network.architecture:
        return
    found = architecture(built.model)
    if found != network.architecture and precision == precisions.MIXED_BFLOAT16:
        found = architecture(built.model, compute_dtype=precisions.FLOAT32)
    if found != network.architecture:
        raise RuntimeError(
            f"Model {network.model!r} was built with architecture {found}; the plan is "
            f"for {network.architecture}. Either its code was changed while the "
            "command ran: begin it again. Or it is not the same network each time that "
            "it is built: give every layer with weights a name of its own."
        )


def _make_room(built: "dict[str, _Built]", *, most: int) -> None:
    """Removes the oldest of what was built, so that there is room for one more.

    That one is taken to be as large as the largest that is there. Nobody uses what was
    built for earlier jobs, whose variables are emptied.

    Args:
      built: by key, the oldest first.
      most: how many there may be.
    """
    sizes = {key: _num_bytes(one) for key, one in built.items()}
    while sizes and (
        len(sizes) >= most or sum(sizes.values()) + max(sizes.values()) > MOST_BYTES
    ):
        oldest = next(iter(sizes))
        del sizes[oldest]
        _empty(built.pop(oldest))


def _num_bytes(built: "_Built") -> int:
    """Returns what the variables of a network and of its optimizer take."""
    return _FLOAT32_BYTES * sum(math.prod(one.shape) for one in _variables(built))


def _empty(built: "_Built") -> None:
    """Frees the memory of a network and of its optimizer, which are of no use then.

    TensorFlow keeps the graphs of loops that an optimizer of Keras's is used in, and so
    the variables in them, for as long as the process lives.
    """
    import tensorflow as tf

    for variable in _variables(built):
        # Of devices that train together, each has its own.
        for one in getattr(variable.value, "values", (variable.value,)):
            with tf.device(one.device):
                nothing = tf.zeros((0,), one.dtype)
                tf.raw_ops.AssignVariableOp(resource=one.handle, value=nothing)


def _variables(built: "_Built") -> "list[keras.Variable]":
    optimizer = getattr(built, "optimizer", None)
    return [*built.model.weights, *(optimizer.variables if optimizer else ())]
