"""Chains of subnetworks as they come out: masks, beginnings and ends of real runs."""

import itertools

import keras
import numpy as np
import pytest

from tflottery import layers
from tflottery.components.metadata import inspect
from tflottery.components.runs import State
from tflottery.core.recipes import PruningRecipe, Recipe, Setting
from tflottery.core.registry import MODELS
from tflottery.datasets.stream import Stream
from tflottery.execution.plan import plan_of
from tflottery.experiments import lottery
from tflottery.pruning import masks as pruning_masks
from tflottery.store.store import Store
from tflottery.studies.subnetworks import (
    IMP,
    RANDOM_PRUNING,
    RANDOM_REINIT,
    Subnetwork,
    Subnetworks,
)
from tflottery.training import checkpoints

_KINDS = (IMP, RANDOM_PRUNING, RANDOM_REINIT)
_KS, _LEVELS, _LAST = (0, 8), (1, 2, 3), 24
# Low enough that few survivors die: those of the digits are for instability.
_RATE = 12e-4
# Of LeNet's 50,200 prunable weights on digits; 50,200 * 0.8^3 is 25,702.4.
_SURVIVORS = [50_200, 40_160, 32_128, 25_702]


def convolved(*, input_shape, num_classes):
    """Two convolutions with batch norm and a head."""
    images = keras.Input(input_shape, name="images")
    x = layers.MaskedConv2D(4, 3, strides=2, name="conv_1")(images)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = layers.MaskedConv2D(6, 3, name="conv_2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name="convolved")


def named(kind, level, k, replicate=1):
    return Subnetwork(kind=kind, level=level, replicate=replicate, rewind_iteration=k)


class Chains:
    """A study's subnetworks of replicate 1, read from a store."""

    def __init__(self, study, store):
        self.study = study
        self.store = store
        self._subnetworks = Subnetworks(study)

    def run(self, kind=IMP, *, level, k=0):
        return self._subnetworks.run(named(kind, level, k), data_order=1)

    def mask(self, kind=IMP, *, level, k=0, replicate=1):
        return self._subnetworks.mask(named(kind, level, k, replicate))

    def masks(self, kind=IMP, **which):
        return self._arrays(self.mask(kind, **which))

    def first(self, kind=IMP, *, level, k=0):
        return self._arrays(State(self.run(kind, level=level, k=k), k))

    def last(self, kind=IMP, *, level, k=0):
        return self._arrays(State(self.run(kind, level=level, k=k), _LAST))

    def trunk(self, iteration):
        return self._arrays(State(self.study.trunk(1), iteration))

    def _arrays(self, artifact):
        folder = self.store.open(artifact.address)
        return checkpoints.read_arrays(folder / artifact.files[0])


@pytest.fixture(scope="module")
def chains(study_of, facts, make, tmp_path_factory):
    """Three levels of every kind, rewound to 0 and to 8: beginnings and ends."""
    study = study_of(
        lottery,
        levels=("1-3",),
        rewind_iterations=_KS,
        random_counts="global",
        learning_rate=_RATE,
    )
    found = Chains(study, Store(tmp_path_factory.mktemp("chains")))
    goals = [study.trunk_state(1, iteration) for iteration in (*_KS, _LAST)]
    for kind, level, k in itertools.product(_KINDS, _LEVELS, _KS):
        run = found.run(kind, level=level, k=k)
        goals += [State(run, k), State(run, _LAST)]
    goals += [found.mask(RANDOM_PRUNING, level=n, replicate=2) for n in _LEVELS]
    make(goals, found.store, facts)
    return found


def assert_zero(values):
    # Bytes, because -0.0 equals 0.0.
    assert not values.tobytes().strip(b"\0")


def assert_highest_kept(weights, masks, *, before=None):
    """The smallest weight kept is no smaller than the largest that was dropped."""
    kept, dropped = [], []
    for path, mask in masks.items():
        candidates = np.ones_like(mask) if before is None else before[path]
        magnitudes = np.abs(weights[path])
        kept.append(magnitudes[mask == 1])
        dropped.append(magnitudes[(candidates == 1) & (mask == 0)])
    assert np.concatenate(kept).min() >= np.concatenate(dropped).max() > 0


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("k", _KS)
def test_masks_are_nested_and_counted_from_the_whole(chains, kind, k):
    outer = None
    for level in _LEVELS:
        masks = chains.masks(kind, level=level, k=k)
        assert pruning_masks.num_ones(masks) == _SURVIVORS[level]
        if outer is not None:
            assert all((masks[path] <= outer[path]).all() for path in masks)
        outer = masks


@pytest.mark.parametrize("k", _KS)
def test_each_level_keeps_the_highest_magnitudes_of_the_one_before(chains, k):
    trained, before = chains.trunk(_LAST), None
    for level in _LEVELS:
        masks = chains.masks(level=level, k=k)
        assert_highest_kept(trained, masks, before=before)
        trained, before = chains.last(level=level, k=k), masks


@pytest.mark.parametrize("kind", _KINDS)
def test_pruned_weights_are_zero_at_the_beginning_and_at_the_end(chains, kind):
    for level, k in itertools.product(_LEVELS, _KS):
        masks = chains.masks(kind, level=level, k=k)
        first = chains.first(kind, level=level, k=k)
        last = chains.last(kind, level=level, k=k)
        for path, mask in masks.items():
            assert_zero(first[path][mask == 0])
            assert_zero(last[path][mask == 0])
            assert (last[path] != first[path])[mask == 1].mean() > 0.5


@pytest.mark.parametrize("kind", [IMP, RANDOM_PRUNING])
def test_survivors_begin_bit_for_bit_as_the_dense_weights_of_k(chains, kind):
    """Randomly pruned networks too, most of whose survivors IMP may have pruned."""
    for level, k in itertools.product(_LEVELS, _KS):
        masks = chains.masks(kind, level=level, k=k)
        first, dense = chains.first(kind, level=level, k=k), chains.trunk(k)
        assert first.keys() == dense.keys()
        for path, value in first.items():
            kept = masks.get(path, np.ones_like(value)) == 1
            assert value[kept].tobytes() == dense[path][kept].tobytes()
            if path in masks:
                assert np.count_nonzero(value) == np.count_nonzero(kept)
    # Training had moved the dense weights by then.
    moved = chains.trunk(8)["head/kernel"] != chains.trunk(0)["head/kernel"]
    assert moved.mean() > 0.9


def test_fresh_weights_are_the_same_for_every_k_and_unlike_the_dense_ones(chains):
    for level in _LEVELS:
        masks = [chains.masks(level=level, k=k) for k in _KS]
        fresh = [chains.first(RANDOM_REINIT, level=level, k=k) for k in _KS]
        for path in masks[0]:
            for k, mask, weights in zip(_KS, masks, fresh, strict=True):
                for dense in (chains.trunk(0), chains.trunk(k)):
                    assert not (weights[path] == dense[path])[mask[path] == 1].any()
            both = (masks[0][path] == 1) & (masks[1][path] == 1)
            assert both.any()
            assert fresh[0][path][both].tobytes() == fresh[1][path][both].tobytes()
        for weights in fresh:
            assert_zero(weights["dense_1/bias"])
    one, two = (
        chains.first(RANDOM_REINIT, level=level)["head/kernel"] for level in (1, 2)
    )
    both = (one != 0) & (two != 0)
    assert both.any() and (one != two)[both].all()


@pytest.mark.parametrize("kind", _KINDS)
def test_training_goes_on_at_k(chains, runtime, kind):
    """The same by hand: slots fresh at 8, then batches 8 to 24 of the run's order."""
    run = chains.run(kind, level=2, k=8)
    trainer = runtime.trainer(run.network, run.data, recipe=run.recipe, sparse=True)
    trainer.restore(
        chains.first(kind, level=2, k=8),
        masks=chains.masks(kind, level=2, k=8),
        slots=None,
        iteration=8,
        first_iteration=8,
    )
    stream = Stream(
        run.data.num_train,
        run.recipe.batch_size,
        data_order_seed=run.data_order_seed,
        augmentation_seed=run.augmentation_seed,
    )
    trainer.train(stream, _LAST)
    weights, _ = trainer.state()
    for path, value in chains.last(kind, level=2, k=8).items():
        assert value.tobytes() == weights[path].tobytes(), path


def test_random_masks_differ_between_replicates_and_from_imps(chains):
    for level in _LEVELS:
        one, two = (
            chains.masks(RANDOM_PRUNING, level=level, replicate=replicate)
            for replicate in (1, 2)
        )
        imp = chains.masks(level=level)
        for path in one:
            assert (one[path] != two[path]).any()
            assert (one[path] != imp[path]).any()


def test_random_counts_per_layer_are_imps(chains, make, facts, study_of):
    study = study_of(lottery, levels=("1-3",), learning_rate=_RATE)
    found = Chains(study, chains.store)
    places = list(itertools.product(_LEVELS, _KS))
    goals = [found.mask(RANDOM_PRUNING, level=level, k=k) for level, k in places]
    make(goals, found.store, facts)
    for level, k in places:
        random = found.masks(RANDOM_PRUNING, level=level, k=k)
        imp = chains.masks(level=level, k=k)
        assert pruning_masks.counts(random) == pruning_masks.counts(imp)
        assert any((random[path] != imp[path]).any() for path in imp)
    globally = chains.masks(RANDOM_PRUNING, level=3)
    assert pruning_masks.counts(globally) != pruning_masks.counts(imp)


def test_one_shot_needs_no_more_than_the_dense_network(chains, make, facts, study_of):
    study = study_of(lottery, levels=("1-3",), one_shot=True, learning_rate=_RATE)
    once = Chains(study, chains.store)
    goals = [once.mask(level=level) for level in _LEVELS]
    todo = plan_of(goals, chains.store, facts={facts.network: facts})
    assert todo.num_iterations == 0
    make(goals, once.store, facts)
    for level in _LEVELS:
        masks = once.masks(level=level)
        assert pruning_masks.num_ones(masks) == _SURVIVORS[level]
        assert_highest_kept(chains.trunk(_LAST), masks)
    iterative = chains.masks(level=3)
    assert any((masks[path] != iterative[path]).any() for path in masks)


@pytest.mark.parametrize("first_convolutions", [None, 1])
def test_a_chain_of_convolutions_with_carried_momentum(
    study_of, runtime, make, register, tmp_path, first_convolutions
):
    recipe = Recipe(
        optimizer="sgd",
        learning_rate=0.05,
        batch_size=30,
        training_iterations=24,
        momentum=0.9,
        weight_decay=1e-2,
        pruning=PruningRecipe(unpruned=("head",)),
    )
    recipes = {"standard": recipe}
    own = {"recipes": recipes, "dataset": "digits", "minimum_image_size": 1}
    register(MODELS, "convolved", convolved, **own)
    facts = inspect("convolved", Setting("digits"), runtime)
    options = {
        "optimizer_state": "carried",
        "rewind_iterations": (8,),
        "levels": ("1-2",),
    }
    options |= {"first_convolutions": first_convolutions, "model": "convolved"}
    found = Chains(study_of(lottery, of=facts, **options), Store(tmp_path))
    runs = [found.run(level=level, k=8) for level in (1, 2)]
    goals = [State(run, iteration) for run in runs for iteration in (8, _LAST)]
    make([*goals, State(found.study.trunk(1), 8)], found.store, facts)
    # Of 36 and of 36 + 216 weights; the head's 60 are never pruned.
    paths = ["conv_1/kernel", "conv_2/kernel"][:first_convolutions]
    survivors = {None: [202, 161], 1: [29, 23]}[first_convolutions]
    for level, run, count in zip((1, 2), runs, survivors, strict=True):
        assert run.optimizer_state == "carried"
        masks = found.masks(level=level, k=8)
        assert sorted(masks) == paths
        assert pruning_masks.num_ones(masks) == count
        dense = found.trunk(8)
        first, last = found.first(level=level, k=8), found.last(level=level, k=8)
        for path, value in first.items():
            mask = masks.get(path, np.ones_like(value))
            assert value[mask == 1].tobytes() == dense[path][mask == 1].tobytes()
            assert_zero(value[mask == 0])
            assert_zero(last[path][mask == 0])
            assert (last[path] != value)[mask == 1].all()
