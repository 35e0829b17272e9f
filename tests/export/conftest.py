"""A store with a small network of convolutions and batch norm, pruned and not."""

import contextlib
import csv
import dataclasses
import json
import types

import numpy as np
import pytest

from tflottery.components.accuracies import ACCURACY_FILE, Accuracy
from tflottery.components.masking import Mask
from tflottery.components.metadata import inspect
from tflottery.components.runs import MASK_FILE, Initialization, Run, State
from tflottery.core import fingerprints
from tflottery.core.recipes import Recipe, Setting
from tflottery.core.registry import MODELS, Entry
from tflottery.export import bundles, costs, sizes
from tflottery.models import weights as model_weights
from tflottery.pruning import masks as pruning_masks
from tflottery.store.store import Store
from tflottery.training import checkpoints

RECIPE = Recipe(optimizer="sgd", learning_rate=0.1, batch_size=4, training_iterations=9)


def small_convolutions(*, input_shape, num_classes):
    """A residual block, with all kinds of layers that the package brings."""
    import keras

    from tflottery import layers

    images = keras.Input(input_shape, name="images")
    x = layers.MaskedConv2D(4, 3, padding="same", use_bias=False, name="stem")(images)
    x = layers.BatchNormalization(name="norm")(x)
    y = keras.layers.ReLU(name="relu")(x)
    y = layers.MaskedConv2D(4, 3, padding="same", name="conv")(y)
    x = keras.layers.Add(name="add")([x, y])
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name="small_convolutions")


@contextlib.contextmanager
def _registered():
    """Registers the network for as long as a block runs."""
    MODELS.names()
    own = {"recipes": {}, "dataset": "digits", "minimum_image_size": 1}
    entry = Entry("small_convolutions", small_convolutions, MODELS._defaults | own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS._entries, "small_convolutions", entry)
        yield


@pytest.fixture(scope="module", autouse=True)
def small_network():
    """Registers the network for the tests of a module."""
    with _registered():
        yield


def _put(store, artifact, manifest, arrays, *, file="weights.safetensors"):
    with store.writing(artifact.address, manifest) as folder:
        checkpoints.write_arrays(folder / file, arrays)


def _of_state(state):
    run = state.run
    return {
        "run": run.key,
        "iteration": state.iteration,
        "derivation": run.derivation(),
    }


def _of_component(component):
    return {
        "component": type(component).__name__,
        "version": component.VERSION,
        "parameters": fingerprints.fields(component),
    }


@pytest.fixture(scope="session")
def stored(runtime, tmp_path_factory):
    """The store, addresses and arrays of a dense network and a ticket of it."""
    folder = tmp_path_factory.mktemp("exports")
    store = Store(folder / "store")
    with _registered():
        facts = inspect("small_convolutions", Setting("digits"), runtime)
    dense = Run(facts.network, facts.data, RECIPE, Initialization(1), None, 2, 3, 4)
    start, end = State(dense, 3), State(dense, 9)
    model = small_convolutions(input_shape=(8, 8, 1), num_classes=10)
    generator = np.random.default_rng(0)
    initial = model_weights.initial_weights(model, 1)
    # As if trained: batch norm has statistics, and biases are not zero.
    trained = {
        path: np.float32(np.abs(value + 0.3 * generator.standard_normal(value.shape)))
        if "norm" in path
        else np.float32(value + 0.3 * generator.standard_normal(value.shape))
        for path, value in initial.items()
    }
    mask = Mask(
        criterion="magnitude",
        criterion_version=1,
        scored=end,
        kernels=tuple(facts.kernel_shapes.items()),
        num_survivors=20,
    )
    kernels = {path: np.abs(trained[path]) for path in facts.kernel_shapes}
    masks = pruning_masks.keep_highest(kernels, num_survivors=20)
    sparse = Run(
        facts.network, facts.data, RECIPE, start, mask, 5, 3, 4, first_iteration=3
    )
    ticket = State(sparse, 9)
    final = pruning_masks.apply({p: 2 * v for p, v in trained.items()}, masks)
    for state, weights in ((start, initial), (end, trained), (ticket, final)):
        _put(store, state, _of_state(state), weights)
    small = {path: np.uint8(one) for path, one in masks.items()}
    _put(store, mask, _of_component(mask), small, file=MASK_FILE)
    accuracy = Accuracy(of=ticket)
    with store.writing(accuracy.address, _of_component(accuracy)) as written:
        (written / ACCURACY_FILE).write_text(json.dumps({"test_error": 0.25}))
    table = folder / "results" / "accuracy.csv"
    table.parent.mkdir()
    with table.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["level", "replicate", "network", "mask", "test_error"])
        lines.writerow([0, 1, end.address, "", 0.125])
        lines.writerow([1, 1, ticket.address, mask.address, 0.25])
        lines.writerow([1, 2, "runs/gone/00000009", "masks/gone", 0.5])
    return types.SimpleNamespace(
        root=store.root,
        table=str(table),
        dense=end.address,
        ticket=ticket.address,
        mask=mask.address,
        accuracy=accuracy.address,
        masks=masks,
        final=final,
        rewound=pruning_masks.apply(initial, masks),
        data=dataclasses.asdict(facts.data),
    )


@pytest.fixture(scope="session")
def nothing_measured():
    """Has costs be numbers, which converting to TFLite takes seconds for."""
    size = sizes.Size(100, 50)
    names = ("weights", "dense_weights", "tflite", "dense_tflite")
    times = {"TensorFlow": costs.Time(99, 100), "TFLite": costs.Time(100, 300)}
    found = costs.Costs(
        **dict.fromkeys(names, size),
        is_pruned=True,
        flops=None,
        dense_flops=None,
        microseconds=times,
    )
    with pytest.MonkeyPatch.context() as patch:
        measured = types.SimpleNamespace(measured=lambda network: found)
        patch.setattr(bundles, "costs", measured)
        yield found
