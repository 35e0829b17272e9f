"""Flag files of the papers are planned, without the data sets that they are about."""

import importlib
import pathlib
import time

import pytest

import tflottery
from tflottery.components.metadata import Facts
from tflottery.core import subsets
from tflottery.core.identities import Data, Network
from tflottery.core.registry import PRETEXTS
from tflottery.execution.plan import plan_of
from tflottery.store.store import Store
from tflottery.studies import program
from tflottery.studies.config import validated_members
from tflottery.studies.search_options import TicketConfig
from tflottery.studies.study import study_of
from tflottery.training.distribution import Placement

_CONFIGS = pathlib.Path(tflottery.__file__).parents[1] / "configs"
_COMMANDS = (
    *("label_agnostic", "layerwise", "low_shot", "permuted_labels", "semi_supervised"),
    *("transfer", "natural_sparsity", "late_resetting", "reinitialization"),
)
_PATHS = sorted(
    path for name in _COMMANDS for path in (_CONFIGS / name).glob("*_paper.flags")
)
# Of Linear Mode Connectivity, the networks for ImageNet.
_ON_IMAGENET = [
    _CONFIGS / f"{name}_paper.flags"
    for name in (
        *("instability/resnet50", "instability/resnet50_sparse", "lottery/resnet50"),
        *("instability/inception_v3", "instability/inception_v3_sparse"),
        *("lottery/inception_v3", "table1/imagenet"),
    )
]
# Training and test images, and their shape and classes.
_DATA = {
    "mnist": (60_000, 10_000, (28, 28, 1), 10),
    "cifar10": (50_000, 10_000, (32, 32, 3), 10),
    "cifar10_16x16": (50_000, 10_000, (16, 16, 3), 10),
    "imagenet2012": (1_281_167, 50_000, (224, 224, 3), 1000),
    "places365_small": (1_803_460, 36_500, (224, 224, 3), 365),
}
# Of ResNet-50; what a plan asks of other networks it asks of these likewise.
_NUM_CONVOLUTIONS = 53
_SEMI_SUPERVISED = "semi_supervised"


def facts_of(model, setting):
    """Returns the facts as they are known of the data sets, of a network made up."""
    num_train, num_test, shape, num_classes = _DATA[setting.dataset]
    part = subsets.parse(setting.subset) if setting.subset else None
    if part and setting.task != _SEMI_SUPERVISED:
        num_train = round(part.fraction * num_train)
    if part and part.kind == subsets.CLASSES:
        num_classes = round(part.fraction * num_classes)
    outputs = num_classes
    if setting.pretext:
        declared = PRETEXTS[setting.pretext]["num_outputs"]
        outputs = declared(num_classes) if callable(declared) else declared
    if setting.shaped_like:
        shape = _DATA[setting.shaped_like][2]
    kernels = {
        f"conv_{index}/kernel": (3, 3, 64, 64) for index in range(_NUM_CONVOLUTIONS)
    }
    return Facts(
        network=Network(model, shape, outputs or num_classes),
        data=Data(
            name=setting.dataset,
            version="1",
            digest="0",
            image_shape=shape,
            num_train=num_train,
            num_test=num_test,
            num_classes=num_classes,
            pretext=setting.pretext,
            pretext_version=1 if setting.pretext else None,
            subset=setting.subset,
        ),
        num_weights=1,
        num_trainable=1,
        kernel_shapes=kernels | {"head/kernel": (64, outputs or num_classes)},
        flops_per_example=1,
        has_batch_norm=True,
        num_devices=1,
    )


def studies_of(path):
    """Returns the experiment of a flag file, and its studies."""
    module = importlib.import_module(f"tflottery.experiments.{path.parent.name}")
    config, _ = program.options_of(module, [f"--flagfile={path}"])
    configs = validated_members(module, config)
    return module, [study_of(one, facts_of, Placement()) for one in configs]


_LAPTOP = pytest.mark.parametrize(
    "path",
    sorted(_CONFIGS.glob("*/*laptop.flags")),
    ids=lambda one: f"{one.parent.name}/{one.stem}",
)
_EACH = pytest.mark.parametrize("path", _PATHS, ids=lambda one: str(one)[-40:])


@_EACH
def test_a_flag_file_of_the_paper_says_what_the_paper_does(path):
    _, studies = studies_of(path)
    for study in studies:
        assert study.variant == "limited_supervision"
        assert len(study.replicates) >= 3
        if isinstance(study.config, TicketConfig):
            assert max(study.config.asked_levels(study.recipe)) in (15, 21, 30)
            # All data are judged on, whatever finds the tickets.
            assert study.facts.data.subset is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [*_PATHS, *_ON_IMAGENET], ids=lambda one: str(one)[-40:]
)
def test_a_flag_file_of_the_paper_is_planned_in_seconds(path, tmp_path):
    began = time.process_time()
    module, studies = studies_of(path)
    goals = [goal for study in studies for goal in module.plan(study)]
    networks = {
        one.facts.network: one.facts
        for study in studies
        for one in (study, *study.related.values())
    }
    plan = plan_of(goals, Store(tmp_path), facts=networks)
    assert time.process_time() - began < 10
    assert plan.num_iterations > 100_000


@pytest.mark.parametrize("path", _ON_IMAGENET, ids=lambda one: str(one)[-40:])
def test_an_imagenet_flag_file_has_table_1s_integers(path):
    _, studies = studies_of(path)
    for study in studies:
        epochs = {"resnet50": 90, "inception_v3": 171}[study.config.model]
        # Table 1's batch of 1,024: an epoch is 1,251.14 iterations.
        assert study.recipe.batch_size == 1024
        assert study.recipe.training_iterations == round(epochs * 1_281_167 / 1024)
        assert len(study.replicates) == 3
        if study.config.model == "resnet50" and path.parent.name != "table1":
            assert {0, 5_005} <= set(study.rewind_iterations)
        if path.stem.endswith("sparse_paper"):
            assert study.recipe.pruning.one_shot
            assert study.recipe.pruning.pruning_fraction == 0.7


# Of the flag files of limited supervision on ImageNet: how many levels are judged, and
# of every search (the own task's by "own") the length of its trainings and its k.
_ALEXNET = {"own": (28_151, 938)}
_RESNET50 = {"own": (75_069, 2_500)}
_ROTATION, _EXEMPLAR = (75_069, 2_500), (25_023, 2_500)
_TENTH = (33_364, 5_000)
_SEARCHES = {
    "label_agnostic/alexnet": (
        14,
        _ALEXNET | {"rotation": (14_076, 469), "exemplar": (9_384, 938)},
    ),
    "label_agnostic/resnet50": (
        14,
        _RESNET50 | {"rotation": _ROTATION, "exemplar": _EXEMPLAR},
    ),
    "layerwise/alexnet": (
        9,
        _ALEXNET
        | {f"labels in first {depth}": (28_151, 938) for depth in (1, 3, 5)}
        | {f"rotation in first {depth}": (14_076, 469) for depth in (1, 3, 5)}
        | {"rotation": (14_076, 469)},
    ),
    "layerwise/resnet50": (
        9,
        _RESNET50
        | {f"labels in first {depth}": (75_069, 2_500) for depth in (11, 24, 43)}
        | {f"rotation in first {depth}": _ROTATION for depth in (11, 24, 43)}
        | {"rotation": _ROTATION},
    ),
    "low_shot/resnet50": (
        14,
        _RESNET50
        | {
            "images:0.3": (50_046, 2_500),
            "images:0.1": _TENTH,
            "images:0.01": (16_683, 5_000),
        },
    ),
    "low_shot/resnet50_classes": (
        14,
        _RESNET50
        | {
            "classes:0.3": (50_046, 2_500),
            "classes:0.1": _TENTH,
            "classes:0.01": (16_683, 5_000),
        },
    ),
    "semi_supervised/resnet50": (
        11,
        _RESNET50
        | {
            "semi_supervised (images:0.1)": (125_114, 1_875),
            "low_shot (images:0.1)": _TENTH,
            "label_agnostic (rotation)": _ROTATION,
        },
    ),
    "transfer/resnet50": (
        11,
        _RESNET50 | {"places365_small": (79_254, 1_875), "cifar10": (15_625, 98)},
    ),
    # Three epochs of a tenth are 501 updates, 3.3% of its training 1,102.
    "late_resetting/resnet50": (
        9,
        _RESNET50
        | {
            "images:0.1 to 3ep": (33_364, 501),
            "images:0.1 to 3.3%": (33_364, 1_102),
            "images:0.1 to 2500it": (33_364, 2_500),
            "images:0.1 to 3840000ex": _TENTH,
            # What resetting.csv tells of, without a training.
            "images:0.3": (50_046, 2_500),
            "images:0.1": _TENTH,
            "images:0.01": (16_683, 5_000),
        },
    ),
    "reinitialization/alexnet": (14, _ALEXNET | {"rotation": (14_076, 469)}),
    "reinitialization/resnet50": (14, _RESNET50 | {"rotation": _ROTATION}),
}


@pytest.mark.parametrize("name", _SEARCHES)
def test_a_flag_file_of_limited_supervision_on_imagenet_has_its_integers(name):
    num_levels, searches = _SEARCHES[name]
    _, (study,) = studies_of(_CONFIGS / f"{name}_paper.flags")
    assert len(study.config.asked_levels(study.recipe)) == num_levels
    assert len(study.replicates) == 3
    found = {
        key: (one.last, *one.rewind_iterations)
        for key, one in ({"own": study} | study.related).items()
    }
    assert found == searches


def test_every_flag_file_of_limited_supervision_on_imagenet_has_integers():
    on_imagenet = {
        f"{path.parent.name}/{path.stem}".removesuffix("_paper")
        for path in _PATHS
        if "imagenet2012" in path.read_text()
    }
    assert on_imagenet == _SEARCHES.keys()


@_LAPTOP
def test_a_flag_file_of_the_laptop_is_planned(path):
    module, studies = studies_of(path)
    for study in studies:
        assert module.plan(study)
        assert len(study.replicates) >= 3 or study.config.model != "lenet_batch_norm"


def test_every_experiment_has_flags_for_a_laptop():
    experiments = {path.name for path in _CONFIGS.iterdir() if path.is_dir()}
    assert {path.parent.name for path in _CONFIGS.glob("*/laptop.flags")} == experiments
