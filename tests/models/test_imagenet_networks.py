"""The networks of ImageNet's design in training and measuring, on small noise."""

import functools

import numpy as np
import pytest

from tflottery import layers
from tflottery.components import metadata
from tflottery.core.recipes import Recipe, Setting
from tflottery.core.registry import DATASETS, MODELS
from tflottery.datasets.arrays import RawSource, Source, Split
from tflottery.datasets.stream import Stream
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime
from tflottery.training.trainer import Trainer

pytestmark = pytest.mark.slow

_NUM_CLASSES = 5
_NUM_EXAMPLES = 12
_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    batch_size=6,
    training_iterations=4,
    momentum=0.9,
    weight_decay=1e-4,
    final_learning_rate=0.001,
)


def _images(size):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (_NUM_EXAMPLES, size, size, 3), dtype=np.uint8)


@functools.cache
def _trainer():
    """Returns Inception's: tracing it takes most of the time that these tests take."""
    labels = np.arange(_NUM_EXAMPLES, dtype=np.int32) % _NUM_CLASSES
    split = Split(_images(MODELS["inception_v3"]["minimum_image_size"]), labels)
    scale = ((0.5,) * 3, (0.25,) * 3)
    source = Source("noise", "1", "0", split, split, _NUM_CLASSES, *scale)
    return Trainer(
        "inception_v3", _RECIPE, source, num_classes=_NUM_CLASSES, sparse=True
    )


@functools.cache
def _stream():
    return Stream(
        _NUM_EXAMPLES,
        _RECIPE.batch_size,
        data_order_seed=1,
        augmentation_seed=2,
    )


def _place(trainer, weights, *, masks=None, slots=None, iteration=0):
    trainer.restore(
        weights,
        masks=masks or {},
        slots=slots,
        iteration=iteration,
        first_iteration=0,
    )


def test_training_goes_on_where_it_was_cut():
    trainer = _trainer()
    initial = trainer.initial_weights(1)
    _place(trainer, initial)
    trainer.train(_stream(), 3)
    unbroken, _ = trainer.state()
    _place(trainer, initial)
    trainer.train(_stream(), 2)
    weights, slots = trainer.state()
    _place(trainer, weights, slots=slots, iteration=2)
    trainer.train(_stream(), 3)
    resumed, _ = trainer.state()
    for path, weight in unbroken.items():
        assert (weight != initial[path]).any(), path
        np.testing.assert_array_equal(resumed[path], weight, err_msg=path)


def test_a_pruned_network_is_rewound_and_stays_pruned():
    trainer = _trainer()
    initial = trainer.initial_weights(1)
    _place(trainer, initial)
    trainer.train(_stream(), 1)
    rewound, _ = trainer.state()
    trainer.train(_stream(), 2)
    trained, _ = trainer.state()
    masks = {
        path: (np.abs(trained[path]) >= np.quantile(np.abs(trained[path]), 0.7))
        for path in layers.masks(trainer.model)
    }
    _place(trainer, rewound, masks=masks, iteration=1)
    placed, _ = trainer.state()
    trainer.train(_stream(), 2)
    after, _ = trainer.state()
    for path, mask in masks.items():
        np.testing.assert_array_equal(placed[path], np.where(mask, rewound[path], 0))
        # Bytes, because -0.0 equals 0.0.
        assert not after[path][~mask].tobytes().strip(b"\0"), path
        assert (after[path][mask] != rewound[path][mask]).any(), path


# Multiplications of a forward pass as torchvision states them, without auxiliary heads.
@pytest.mark.parametrize(
    ("name", "size", "num_multiplications", "num_trainable"),
    [
        ("alexnet", 224, 0.714e9, 61_100_840),
        # Not among those, but the network that Caffe distributes.
        ("alexnet_grouped", 224, 0.724e9, 60_965_224),
        ("resnet18", 224, 1.81e9, 11_689_512),
        ("resnet50", 224, 4.09e9, 25_557_032),
        # As many as on the small images of the other tests.
        ("inception_v3", 299, 5.71e9, 27_161_264),
    ],
)
def test_facts_at_the_published_size(
    name, size, num_multiplications, num_trainable, register
):
    def noise(*, data_dir, minimum_image_size, working_dir):
        images, labels = _images(size), np.arange(_NUM_EXAMPLES, dtype=np.int32)
        return RawSource(
            version="1",
            train_images=images,
            train_labels=labels,
            test_images=images,
            test_labels=labels,
            num_classes=1000,
        )

    own = {"adapt_recipe": lambda recipe: recipe, "version": size}
    register(DATASETS, "noise", noise, **own)
    runtime = Runtime(data_dir=None, placement=Placement())
    facts = metadata.inspect(name, Setting("noise"), runtime)
    assert facts.flops_per_example / 2 == pytest.approx(num_multiplications, rel=0.01)
    assert facts.num_trainable == num_trainable


def test_maps_of_inception_have_their_published_sizes():
    model = MODELS["inception_v3"].function(input_shape=(299, 299, 3), num_classes=2)
    for name, expected in {
        "stem_5": (71, 71, 192),
        "mixed_1_concat": (35, 35, 256),
        "mixed_3_concat": (35, 35, 288),
        "mixed_8_concat": (17, 17, 768),
        "mixed_9_concat": (8, 8, 1280),
        "mixed_11_concat": (8, 8, 2048),
        "auxiliary_conv_2": (1, 1, 768),
    }.items():
        assert model.get_layer(name).output.shape[1:] == expected
