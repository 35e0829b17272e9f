"""Whole commands on a small ImageNet, in the real one's files."""

import dataclasses
import importlib
import pathlib

import keras
import numpy as np
import pytest

import tflottery
from tflottery import layers
from tflottery.core.recipes import PruningRecipe, Recipe
from tflottery.core.registry import MODELS
from tflottery.experiments import instability, label_agnostic, lottery, low_shot
from tflottery.studies import program

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
_CONFIGS = pathlib.Path(tflottery.__file__).parents[1] / "configs"
_FLAG_FILES = [
    path
    for path in sorted(_CONFIGS.glob("*/*_paper.flags"))
    if "--dataset=imagenet2012" in path.read_text()
]
_PAPERS_NETWORKS = ("resnet50", "alexnet", "inception_v3")
# What a flag file asks for in its smallest form; what an experiment has no option for
# is left out.
_SMALLEST = {
    "replicates": 1,
    "data_orders": 2,
    "levels": ("1",),
    "training_iterations": 2,
    "rewind_iterations": (1,),
    "random_rewind_iterations": (1,),
    "batch_size": 8,
    "evaluation_examples": 8,
    "reestimation_examples": 0,
    "splits": ("test",),
    # Of ten images a class.
    "subsets": ("images:0.3",),
    "rewind_rules": ("1it",),
    # Of a network of two convolutions.
    "depths": ("1", "all"),
    # Data sets that come with the package.
    "ticket_datasets": ("digits",),
}


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


@pytest.mark.slow
def test_instability_on_places365(run, runtime, places_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(places_dir))
    runtime.forget()
    options = {"rewind_iterations": (2,), "training_iterations": 3}
    ended = run(
        instability, dataset="places365_small", reestimation_examples=8, **options
    )
    runtime.forget()
    (row,) = ended.table().to_dict("records")
    assert row["dataset"] == "places365_small"
    # The ten images of the validation split, whose labels are told.
    assert 0 <= row["test_error_barrier"] <= 1


@pytest.mark.slow
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


@pytest.fixture
def small_stand_ins(register):
    """Has two convolutions go by the names of the papers' networks, and recipes."""
    for name in _PAPERS_NETWORKS:
        attributes = MODELS[name].attributes | {"image_size": 24}
        register(
            MODELS, name, small_network, **(attributes | {"minimum_image_size": 8})
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", _FLAG_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_a_flag_file_runs_end_to_end_in_its_smallest_form(path, run, small_stand_ins):
    experiment = importlib.import_module(f"tflottery.experiments.{path.parent.name}")
    config, _ = program.options_of(experiment, [f"--flagfile={path}"])
    names = {field.name for field in dataclasses.fields(config)}
    asked = {name: getattr(config, name) for name in names}
    smallest = {name: _SMALLEST[name] for name in names & _SMALLEST.keys()}
    if asked.get("levels") is None:
        smallest.pop("levels", None)
    if path.stem.endswith("classes_paper"):
        smallest["subsets"] = ("classes:0.3",)
    ended = run(experiment, **(asked | smallest))
    for name in experiment.TABLES.keys() & {"accuracy", "instability", "table1"}:
        table = ended.table(name)
        assert set(table["dataset"]) == {"imagenet2012"}
        assert set(table["training_iterations"]) == {2}
        measured = [one for one in table.columns if one.startswith("test_")]
        assert table[measured].notna().any(axis=1).all()


@pytest.mark.slow
# Of AlexNet every state is 240 MB on disk, and Inception-v3 takes most of a minute.
def test_the_papers_network_on_images_made_smaller(run, register, name="resnet50"):
    of_paper = MODELS[name]
    smallest = max(32, of_paper["minimum_image_size"])
    register(
        MODELS,
        f"small_{name}",
        of_paper.function,
        **(of_paper.attributes | {"image_size": smallest}),
    )
    ended = run(
        instability,
        model=f"small_{name}",
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
