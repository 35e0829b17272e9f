"""Facts by the published sizes of data sets, against networks that have weights."""

import dataclasses
import pathlib

import pytest

import tflottery
from tflottery.components import metadata
from tflottery.core.files import readable_size
from tflottery.core.identities import Data, Network
from tflottery.core.recipes import Setting
from tflottery.core.registry import MODELS
from tflottery.plan import known_data


@pytest.mark.parametrize(
    ("model", "dataset"), [("lenet", "mnist"), ("resnet20", "cifar10")]
)
def test_a_network_without_values_has_the_same_facts(model, dataset):
    found = known_data.facts_of(model, Setting(dataset))
    shape = known_data.SIZES[dataset].image_shape
    built = MODELS[model].function(input_shape=shape, num_classes=10)
    expected = metadata.facts_of(
        built,
        Network(model, shape, 10),
        Data(dataset, "", "", shape, 1, 1, 10),
        num_devices=1,
    )
    assert dataclasses.replace(found, data=expected.data) == expected
    assert found.network.architecture


def test_a_task_has_its_head_and_its_views():
    labels, exemplar = (
        known_data.facts_of("lenet", Setting("mnist", task))
        for task in ("labels", "exemplar")
    )
    assert exemplar.network.num_classes == exemplar.kernel_shapes["head/kernel"][-1]
    assert exemplar.network.num_classes != labels.network.num_classes == 10
    assert exemplar.flops_per_example > 2 * labels.flops_per_example


@pytest.mark.parametrize(
    ("setting", "sizes"),
    [
        (Setting("imagenet2012"), (1_281_167, 50_000, 1000)),
        (Setting("imagenet2012", subset="images:0.1"), (128_117, 50_000, 1000)),
        (Setting("imagenet2012", subset="classes:0.3"), (384_350, 15_000, 300)),
        # What has no label is seen all the same.
        (
            Setting("imagenet2012", "semi_supervised", "images:0.1"),
            (1_281_167, 50_000, 1000),
        ),
    ],
)
def test_a_part_of_the_data_has_its_own_numbers(setting, sizes):
    data = known_data.data_of("resnet50", setting)
    assert (data.num_train, data.num_test, data.num_classes) == sizes
    assert data.image_shape == (224, 224, 3)


def test_images_are_as_large_as_a_network_or_another_data_set_has_them():
    shaped_like = Setting("cifar10", shaped_like="imagenet2012")
    assert known_data.data_of("resnet50", shaped_like).image_shape == (224, 224, 3)
    of_inception = known_data.data_of("inception_v3", Setting("imagenet2012"))
    assert of_inception.image_shape == (299, 299, 3)


def test_a_data_set_whose_size_is_not_known_is_refused():
    with pytest.raises(ValueError, match="size of 'stripes' is not known.*--dry_run"):
        known_data.data_of("lenet", Setting("stripes"))


def test_a_part_of_too_few_classes_is_refused_as_by_the_command_itself():
    setting = Setting("mnist", subset="classes:0.01")
    with pytest.raises(ValueError, match="leaves 0 of the 10 classes of 'mnist'"):
        known_data.facts_of("lenet", setting)


def test_what_the_largest_batch_takes_of_memory_is_on_the_page():
    known = known_data.facts_of("resnet50", Setting("imagenet2012"))
    # Of 1,024 images at a time, in float32.
    size = readable_size(4 * 1024 * known.num_activations)
    page = pathlib.Path(tflottery.__file__).parents[1] / "docs/scaling.md"
    assert size.startswith("16") and f"is {size[:2]}0 GB" in page.read_text()
