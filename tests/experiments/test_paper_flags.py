"""Flag files of the papers are planned, without the data sets that they are about."""

import importlib
import pathlib
import shlex
import time

import pytest
from absl import flags

import tflottery
from tflottery.components.metadata import Facts
from tflottery.core import subsets
from tflottery.core.identities import Data, Network
from tflottery.core.registry import PRETEXTS
from tflottery.execution.plan import plan_of
from tflottery.store.store import Store
from tflottery.studies import program
from tflottery.studies.search_options import TicketConfig
from tflottery.studies.session import Machine
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
    values = flags.FlagValues()
    for options in (module.Config, Machine):
        program.define_flags(options, values, program=module.__name__)
    values([module.__name__, *shlex.split(path.read_text(), comments=True)])
    config = program.from_flags(module.Config, values)
    members = module.members(config) if hasattr(module, "members") else (config,)
    configs = [one.named() for one in members]
    for one in configs:
        one.validate()
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


@_LAPTOP
def test_a_flag_file_of_the_laptop_is_planned(path):
    module, studies = studies_of(path)
    for study in studies:
        assert module.plan(study)
        assert len(study.replicates) >= 3 or study.config.model != "lenet_batch_norm"


def test_every_experiment_has_flags_for_a_laptop():
    experiments = {path.name for path in _CONFIGS.iterdir() if path.is_dir()}
    assert {path.parent.name for path in _CONFIGS.glob("*/laptop.flags")} == experiments
