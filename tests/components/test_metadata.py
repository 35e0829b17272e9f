"""Facts about networks and data, against counts known otherwise."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tflottery import layers
from tflottery.components.metadata import inspect
from tflottery.core.recipes import Setting
from tflottery.core.registry import DATASETS, MODELS, PRETEXTS
from tflottery.datasets.source import RawSource
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime


def test_lenet_on_digits(runtime):
    facts = inspect("lenet", Setting("digits"), runtime)
    assert facts.network.input_shape == facts.data.image_shape == (8, 8, 1)
    assert (facts.data.num_train, facts.data.num_test) == (1437, 360)
    assert list(facts.kernel_shapes.items()) == [
        ("dense_1/kernel", (64, 300)),
        ("dense_2/kernel", (300, 100)),
        ("head/kernel", (100, 10)),
    ]
    assert facts.num_weights == facts.num_trainable == 50_200 + 410
    assert facts.flops_per_example == 2 * 50_200
    assert (facts.has_batch_norm, facts.num_devices) == (False, 1)
    assert facts.num_activations == 64 + 64 + 300 + 100 + 10


def test_resnet20_on_digits(runtime):
    facts = inspect("resnet20", Setting("digits"), runtime)
    assert facts.data.image_shape == (32, 32, 3)
    # Trainable, and with the statistics; 41 million multiplications an image.
    assert (facts.num_trainable, facts.num_weights) == (272_474, 274_042)
    assert sum(map(math.prod, facts.kernel_shapes.values())) == 270_896
    assert facts.flops_per_example == pytest.approx(2 * 41e6, rel=0.02)
    assert facts.has_batch_norm


def test_pretext_decides_the_classes(runtime):
    facts = inspect("lenet", Setting("digits", "rotation"), runtime)
    assert (facts.network.num_classes, facts.data.num_classes) == (4, 10)
    assert facts.data.pretext == "rotation"
    assert facts.kernel_shapes["head/kernel"] == (100, 4)


def test_a_subset_has_its_own_numbers(runtime):
    images = inspect("lenet", Setting("digits", subset="images:0.1"), runtime)
    whole = inspect("lenet", Setting("digits"), runtime)
    assert 140 <= images.data.num_train <= 148
    assert (images.data.num_test, images.data.num_classes) == (360, 10)
    assert images.data.digest == whole.data.digest
    assert (images.data.subset, whole.data.subset) == ("images:0.1", None)
    classes = inspect("lenet", Setting("digits", subset="classes:0.3"), runtime)
    assert classes.data.num_classes == classes.network.num_classes == 3
    assert classes.data.num_train < 0.4 * 1437
    assert classes.data.num_test < 0.4 * 360
    with pytest.raises(ValueError, match="leaves 1 of the 10 classes"):
        inspect("lenet", Setting("digits", subset="classes:0.1"), runtime)


def test_a_subset_that_leaves_nothing_out_is_no_other_data(runtime):
    whole = inspect("lenet", Setting("digits"), runtime)
    # Of ten classes, 9.5 are rounded up to all.
    for subset in ("classes:0.95", "images:0.9999"):
        found = inspect("lenet", Setting("digits", subset=subset), runtime)
        assert found == whole
    classes = inspect("lenet", Setting("digits", subset="classes:0.9"), runtime)
    assert classes.data.subset == "classes:0.9"
    # Here all images are seen, and a part has labels.
    task = Setting("digits", "semi_supervised", subset="images:0.1")
    assert inspect("lenet", task, runtime).data.subset == "images:0.1"


@pytest.fixture
def black(register):
    """Registers a data set of four black images of a shape."""

    def add(name, shape):
        images = np.zeros((4, *shape), np.uint8)
        labels = np.array([0, 1, 0, 1], np.int32)
        raw = RawSource(
            version="1",
            train_images=images,
            train_labels=labels,
            test_images=images,
            test_labels=labels,
            num_classes=2,
        )
        own = {"adapt_recipe": lambda recipe: recipe, "version": 1}
        register(DATASETS, name, lambda **_: raw, **own)

    return add


def test_images_of_another_shape(runtime, black):
    black("colours", (32, 32, 3))
    facts = inspect("resnet20", Setting("digits", shaped_like="colours"), runtime)
    assert facts.data.image_shape == facts.data.resized_to == (32, 32, 3)
    # From the images of 8 x 8, not from the digits' own larger form.
    plain = inspect("lenet", Setting("digits"), runtime)
    assert facts.data.digest == plain.data.digest
    source = runtime.evaluator(facts.network, facts.data)._source
    assert source.train.images.shape == (1437, 32, 32, 3)


def test_images_that_have_the_shape_anyway_are_no_other_data(runtime, black):
    black("small", (8, 8, 1))
    plain = inspect("lenet", Setting("digits"), runtime)
    for other in ("digits", "small"):
        own = inspect("lenet", Setting("digits", shaped_like=other), runtime)
        assert own.data == plain.data


def test_every_view_costs_a_pass(runtime, register):
    register(
        PRETEXTS,
        "twice",
        lambda images, labels, **_: (tf.stack([images, images], axis=1), labels),
        num_outputs=10,
        version=1,
        seeded=False,
        num_views=2,
        losses=lambda targets, outputs: tf.reduce_sum(outputs, axis=(1, 2)),
        errors=lambda targets, outputs: outputs[:, 0, 0] > 0,
    )
    facts = inspect("lenet", Setting("digits", "twice"), runtime)
    assert facts.flops_per_example == 2 * 2 * 50_200
    # Images and their flat form, two layers, and the head.
    assert facts.num_activations == 2 * (64 + 64 + 300 + 100 + 10)


@pytest.mark.parametrize("task", ["rotation", "rotation_all", "semi_supervised"])
def test_images_that_are_not_square_are_not_turned(task, runtime, black):
    black("oblong", (8, 12, 1))
    subset = "images:0.5" if task == "semi_supervised" else None
    text = f"'oblong' does not suit the pretext '{task}': Images of 8 x 12 .* square"
    with pytest.raises(ValueError, match=text):
        inspect("lenet", Setting("oblong", task, subset), runtime)


def _network(*, dtype, **options):
    def build(*, input_shape, num_classes):
        images = keras.Input(input_shape, name="images")
        x = keras.layers.Flatten(name="flatten")(images)
        x = layers.MaskedDense(4, name="dense", dtype=dtype, **options)(x)
        return keras.Model(images, layers.MaskedDense(num_classes, name="head")(x))

    return build


def test_precision_is_that_of_the_layers(runtime, register):
    own = {"recipes": {}, "dataset": "digits", "minimum_image_size": 1}
    register(MODELS, "mixed", _network(dtype="mixed_bfloat16"), **own)
    mixed = inspect("mixed", Setting("digits"), runtime)
    assert mixed.precision == "mixed_bfloat16"
    register(MODELS, "mixed", _network(dtype="float32"), **own)
    plain = inspect("mixed", Setting("digits"), runtime)
    assert plain.precision == "float32"
    assert plain.network.architecture != mixed.network.architecture


def test_layers_inside_a_layer_put_out_numbers_too(runtime, register):
    def nested(*, input_shape, num_classes):
        images = keras.Input(input_shape, name="images")
        x = keras.layers.Flatten(name="flatten")(images)
        inner = keras.Input((64,), name="inner")
        body = keras.Model(inner, layers.MaskedDense(4, name="dense")(inner))
        return keras.Model(
            images, layers.MaskedDense(num_classes, name="head")(body(x))
        )

    own = {"recipes": {}, "dataset": "digits", "minimum_image_size": 1}
    register(MODELS, "nested", nested, **own)
    facts = inspect("nested", Setting("digits"), runtime)
    # The inner network's inputs among them.
    assert facts.num_activations == 64 + 64 + 64 + 4 + 10


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dtype": "mixed_float16"}, "computes in float16, float32"),
        ({"dtype": None, "kernel_regularizer": "l2"}, "adds 1 losses of its own"),
    ],
)
def test_a_network_that_the_loop_cannot_train_is_refused(
    options, text, runtime, register
):
    own = {"recipes": {}, "dataset": "digits", "minimum_image_size": 1}
    register(MODELS, "other", _network(**options), **own)
    with pytest.raises(ValueError, match=text):
        inspect("other", Setting("digits"), runtime)


def test_replicas_are_the_strategys(mirrored):
    placement = Placement(distribute="mirrored", num_devices=2)
    shared = Runtime(data_dir=None, placement=placement)
    assert inspect("lenet", Setting("digits"), shared).num_devices == 2
    assert shared.strategy is mirrored


@pytest.mark.parametrize(
    ("model", "dataset", "message"),
    [("lenett", "digits", "no model 'lenett'"), ("lenet", "digitz", "'digitz'")],
)
def test_unknown_names_are_refused(model, dataset, message, runtime):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        inspect(model, Setting(dataset), runtime)
