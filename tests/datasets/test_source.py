"""Datasets by name: the digits, the doors for names, and what is not imported."""

import dataclasses
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tflottery.core.recipes import PruningRecipe, Recipe
from tflottery.core.registry import DATASETS
from tflottery.datasets import source
from tflottery.datasets.arrays import RawSource

RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    batch_size=128,
    training_iterations=6000,
    milestones=(3000, 4500),
    warmup=1000,
    pruning=PruningRecipe(rewind_iterations=(0, 500, 2000)),
)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


def test_digits_are_the_digits(cache_dir):
    digits = source.load("digits", minimum_image_size=1, cache_dir=cache_dir)
    assert digits.train.images.shape == (1437, 8, 8, 1)
    assert digits.test.images.shape == (360, 8, 8, 1)
    bunch = load_digits()
    np.testing.assert_array_equal(digits.test.labels, bunch.target[::5])
    np.testing.assert_array_equal(digits.train.labels[:4], bunch.target[1:5])
    scaled = digits.test.images[..., 0] / 255
    np.testing.assert_allclose(scaled, bunch.images[::5] / 16, atol=0.5 / 255 + 1e-9)
    assert digits.train.images.max() == 255
    assert (digits.mean, digits.std, digits.num_classes) == ((0.0,), (1.0,), 10)


def test_digits_for_convolutional_networks_are_enlarged(cache_dir):
    small = source.load("digits", minimum_image_size=8, cache_dir=cache_dir)
    large = source.load("digits", minimum_image_size=16, cache_dir=cache_dir)
    assert large.train.images.shape == (1437, 32, 32, 3)
    assert large.version != small.version
    for row, column, channel in ((0, 0, 0), (3, 1, 2)):
        pixels = large.train.images[:, row::4, column::4, channel]
        np.testing.assert_array_equal(pixels, small.train.images[..., 0])


def test_images_too_small_for_the_model_are_refused(cache_dir):
    with pytest.raises(ValueError, match="'digits'.*32 x 32.*64 x 64"):
        source.load("digits", minimum_image_size=64, cache_dir=cache_dir)


def test_recipes_are_adapted():
    digits = source.adapted(RECIPE, dataset="digits")
    assert digits.training_iterations == 600
    assert digits.milestones == (300, 450)
    assert digits.augmentation == "none"
    assert source.adapted(RECIPE, dataset="cifar10").augmentation == "flip_crop"
    for dataset in ("imagenet2012", "places365_small"):
        assert source.adapted(RECIPE, dataset=dataset).augmentation == "resized_crop"
    plain = dataclasses.replace(RECIPE, augmentation="none")
    assert source.adapted(RECIPE, dataset="mnist") == plain
    assert source.adapted(RECIPE, dataset="fashion_mnist") == plain


@pytest.mark.parametrize("dataset", ["cifar10", "digits", "fashion_mnist"])
def test_an_augmentation_that_the_recipe_names_stays(dataset):
    recipe = dataclasses.replace(RECIPE, augmentation="flip_crop_2")
    assert source.adapted(recipe, dataset=dataset).augmentation == "flip_crop_2"
    recipe = dataclasses.replace(RECIPE, augmentation="none")
    assert source.adapted(recipe, dataset=dataset).augmentation == "none"


def test_number_of_outputs_is_the_pretexts_where_it_has_one(cache_dir):
    digits = source.load("digits", cache_dir=cache_dir)
    assert source.num_outputs(digits, pretext=None) == 10
    assert source.num_outputs(digits, pretext="rotation") == 4


def test_registered_names():
    assert DATASETS.names() == [
        "cifar10",
        "cifar10_16x16",
        "digits",
        "imagenet2012",
        "mnist",
        "places365_small",
    ]


@pytest.mark.parametrize("minimum_image_size", [1, 16])
def test_a_cached_dataset_needs_neither_tensorflow_nor_scikit_learn(
    cache_dir, minimum_image_size
):
    source.load("digits", minimum_image_size=minimum_image_size, cache_dir=cache_dir)
    program = (
        "import sys\n"
        "from tflottery.core.registry import DATASETS, PRETEXTS\n"
        "from tflottery.datasets import source\n"
        "DATASETS.names(), PRETEXTS.names()\n"
        f"source.load('digits', minimum_image_size={minimum_image_size}, "
        f"cache_dir={cache_dir!r})\n"
        "heavy = ('tensorflow', 'tensorflow_datasets', 'sklearn', 'keras')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout == "[]\n"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "num_train", "shape"),
    [("mnist", 60000, (28, 28, 1)), ("cifar10", 50000, (32, 32, 3))],
)
def test_prepared_datasets(tmp_path, name, num_train, shape):
    data_dir = os.environ["TFLOTTERY_DATA_DIR"]
    data = source.load(name, data_dir=data_dir, cache_dir=str(tmp_path))
    assert data.train.images.shape == (num_train, *shape)
    assert data.test.images.shape == (10000, *shape)
    assert np.bincount(data.test.labels).shape == (10,)


def test_digits_have_a_recipe_of_their_own():
    paper = dataclasses.replace(RECIPE, optimizer="adam")
    adam = source.adapted(paper, dataset="digits")
    assert (adam.training_iterations, adam.learning_rate) == (
        600,
        25 * paper.learning_rate,
    )
    ks = adam.pruning.rewind_iterations
    assert ks[0] == 0 and max(ks) <= 600 / 5
    # A rate of SGD says nothing about one of Adam.
    sgd = source.adapted(dataclasses.replace(paper, optimizer="sgd"), dataset="digits")
    assert sgd.learning_rate == paper.learning_rate


def test_what_is_the_same_for_all_models_is_read_once(tmp_path, monkeypatch):
    read, images = [], np.zeros((4, 32, 32, 3), np.uint8)

    def made(name, *, data_dir, working_dir):
        read.append(name)
        labels = np.arange(4, dtype=np.int32)
        parts = {f"{split}_images": images for split in ("train", "test")}
        parts |= {f"{split}_labels": labels for split in ("train", "test")}
        return RawSource(version="1", num_classes=4, **parts)

    monkeypatch.setattr(source.tfds_source, "read", made)
    names = ("imagenet2012", "cifar10", "svhn_cropped")
    for name, size in itertools.product(names, (1, 16, 32)):
        folders = {"data_dir": str(tmp_path), "cache_dir": str(tmp_path / "cache")}
        source.load(name, minimum_image_size=size, **folders)
    assert read == list(names)
