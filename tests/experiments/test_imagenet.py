"""Whole commands on a small ImageNet, in the real one's files."""

import dataclasses

import keras
import numpy as np
import pytest

from tflottery import layers
from tflottery.core.recipes import PruningRecipe, Recipe
from tflottery.core.registry import MODELS
from tflottery.experiments import instability, label_agnostic, lottery, low_shot

# Tickets of other tasks have other heads.
_UNPRUNED_HEAD = PruningRecipe(
    unpruned=("head",), rewind_iterations=(2,), num_levels=2, schedule="restarted"
)
_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    batch_size=16,
    training_iterations="1ep",
    replicates=1,
    pruning=PruningRecipe(rewind_iterations=(0, 2), num_levels=2, one_shot=True),
)


def small_network(*, input_shape, num_classes):
    """Two convolutions, one with batch norm."""
    images = keras.Input(input_shape, name="images")
    x = layers.MaskedConv2D(8, 3, strides=2, use_bias=False, name="conv_1")(images)
    x = layers.BatchNormalization(name="norm_1")(x)
    x = keras.layers.ReLU(name="relu_1")(x)
    x = layers.MaskedConv2D(8, 3, strides=2, activation="relu", name="conv_2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.MaskedDense(num_classes, name="head")(x)
    return keras.Model(images, logits, name="small_network")


@pytest.fixture
def run(execute, imagenet_dir, register, monkeypatch):
    """Runs a command of a small network on the small ImageNet, six iterations."""
    # The test process keeps one runtime, which has no folder of its own.
    monkeypatch.setenv("TFDS_DATA_DIR", str(imagenet_dir))
    register(
        MODELS,
        "small_network",
        small_network,
        recipes={
            "standard": _RECIPE,
            "limited_supervision": dataclasses.replace(_RECIPE, pruning=_UNPRUNED_HEAD),
        },
        dataset="imagenet2012",
        minimum_image_size=8,
        image_size=24,
    )

    def command(experiment, *, code=0, **options):
        options = {
            "model": "small_network",
            "dataset": "imagenet2012",
            "training_iterations": None,
            "evaluation_examples": 20,
        } | options
        ended = execute(experiment, **options)
        assert ended.code == code, ended.text
        return ended

    return command


def test_instability(run):
    options = {"rewind_iterations": (2,), "reestimation_examples": 0}
    ended = run(instability, splits=("test",), **options)
    (row,) = ended.table().to_dict("records")
    assert row["dataset"] == "imagenet2012" and row["rewind_iteration"] == 2
    assert 0 <= row["test_error_barrier"] <= 1


def test_an_image_that_cannot_be_decoded_ends_a_command_as_refused(
    run, runtime, broken_imagenet, monkeypatch, tmp_path
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(broken_imagenet))
    runtime.forget()
    options = {"rewind_iterations": (0,), "reestimation_examples": 0}
    ended = run(instability, code=2, splits=("test",), **options)
    runtime.forget()
    for fact in ("error: The image in record 5 of", ".JPEG'", "To go on after that"):
        assert fact in ended.text
    assert "Traceback" not in ended.text and "{{node" not in ended.text
    assert len(list((tmp_path / "store").glob("runs/*/00000000"))) > 0


@pytest.mark.slow
def test_the_same_command_gives_the_same_tables(run):
    options = {"rewind_iterations": (2,), "reestimation_examples": 32}
    first = run(instability, **options)
    assert run(instability, output="again", store="other", **options).csvs == first.csvs


@pytest.mark.slow
def test_what_is_trained_in_parts_is_what_is_trained_at_once(run):
    options = {"rewind_iterations": (0,), "reestimation_examples": 0}
    whole = run(instability, training_iterations=10, **options)
    run(instability, training_iterations=7, store="parts", output="part", **options)
    rest = run(
        instability, training_iterations=10, store="parts", output="rest", **options
    )
    assert rest.csvs == whole.csvs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "options"),
    [
        (lottery, {}),
        (label_agnostic, {"ticket_tasks": ("labels", "rotation")}),
        (low_shot, {"subsets": ("images:0.5", "classes:0.5")}),
    ],
    ids=["lottery", "label_agnostic", "low_shot"],
)
def test_tickets_are_found_and_judged(run, experiment, options):
    options |= {"levels": ("1",), "rewind_iterations": (2,), "replicates": 1}
    table = run(experiment, **options).table("accuracy")
    assert len(table) >= 2
    errors = table["test_error"].to_numpy(float)
    assert np.isfinite(errors).all()


@pytest.mark.slow
def test_the_papers_network_on_images_made_smaller(run, register):
    of_paper = MODELS["resnet50"]
    register(
        MODELS,
        "small_resnet50",
        of_paper.function,
        **(of_paper.attributes | {"image_size": 32}),
    )
    ended = run(
        instability,
        model="small_resnet50",
        batch_size=4,
        training_iterations=2,
        rewind_iterations=(1,),
        evaluation_examples=4,
        reestimation_examples=0,
        splits=("test",),
    )
    (row,) = ended.table().to_dict("records")
    assert np.isfinite(row["test_error_barrier"])


def test_recipes_see_a_part_of_an_image():
    from tflottery.datasets import source

    adapted = source.adapted(_RECIPE, dataset="imagenet2012")
    assert adapted == dataclasses.replace(_RECIPE, augmentation="resized_crop")
