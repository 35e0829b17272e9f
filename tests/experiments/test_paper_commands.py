"""Commands that name a network alone are the papers' figures: replicates and k."""

import dataclasses
import pathlib
import shlex

import pytest

import tflottery
from tflottery.components.metadata import Facts
from tflottery.core.identities import Data, Network
from tflottery.experiments import (
    effective_noise,
    instability,
    lottery,
    perturbation,
    pretraining,
    telemetry,
)
from tflottery.studies.study import resolve
from tflottery.studies.subnetworks import Subnetworks
from tflottery.training.distribution import Placement

_MODULES = {"instability": instability, "lottery": lottery, "pretraining": pretraining}
_ROOT = pathlib.Path(tflottery.__file__).parents[1]
_EARLY_PHASE = (0, 100, 250, 500, 1000, 2000, 4000)
_LMC = (0, 100, 250, 500, 1000, 2000, 5000, 10_000)
_LENET = (0, 25, 50, 100, 250, 500, 1000, 2000)
_OF_EP = {"variant": "early_phase"}


_CIFAR10 = Data(
    name="cifar10",
    version="3.0.2",
    digest="0",
    image_shape=(32, 32, 3),
    num_train=50_000,
    num_test=10_000,
    num_classes=10,
)


def _study(module, **options):
    config = module.Config(**options)
    facts = Facts(
        network=Network(config.model, (32, 32, 3), 10),
        data=_CIFAR10,
        num_weights=1,
        num_trainable=1,
        kernel_shapes={},
        flops_per_example=1,
        has_batch_norm=True,
        num_devices=1,
    )
    return resolve(config, facts, Placement())


@pytest.mark.parametrize(
    ("module", "options", "replicates", "ks"),
    [
        # EP, Figures 1 and A2.
        (lottery, {"model": "resnet20", **_OF_EP}, 5, _EARLY_PHASE),
        (lottery, {"model": "resnet56", **_OF_EP}, 5, _EARLY_PHASE),
        (lottery, {"model": "resnet18", **_OF_EP}, 5, _EARLY_PHASE),
        (
            lottery,
            {"model": "vgg13", **_OF_EP},
            5,
            (0, 10, 50, 100, 250, 500, 1000, 2000, 4000),
        ),
        (
            lottery,
            {"model": "wrn16_8", **_OF_EP},
            5,
            (0, 50, 100, 250, 500, 1000, 2000, 4000),
        ),
        # EP, Figures 4 to 8 and A4 to A8.
        (perturbation, {"perturbation": "shuffle"}, 5, (500, 2000)),
        (perturbation, {"model": "vgg13"}, 5, (250, 500)),
        (perturbation, {"model": "wrn16_8"}, 5, (50, 250)),
        (effective_noise, {}, 5, (500, 2000)),
        # EP, Figures 9 and 10.
        (pretraining, {}, 5, (0, 500, 2000)),
        (pretraining, {"sparse": True}, 5, (0, 500)),
        # LMC, Figures 5, 7 and 8.
        (lottery, {"model": "resnet20"}, 3, _LMC),
        (lottery, {"model": "lenet"}, 3, _LENET),
        (instability, {"model": "lenet", "subnetworks": ("imp",)}, 3, _LENET),
        (instability, {"model": "lenet", "subnetworks": ("dense", "imp")}, 3, _LENET),
        # LMC, Figure 3 and Appendix D: of dense networks alone.
        (instability, {"model": "lenet"}, 3, (*_LENET, 5000, 10_000)),
        (instability, {"model": "resnet20"}, 3, _LMC),
        # LMC, Figure 4.
        (
            instability,
            {"model": "vgg16", "throughout": True},
            3,
            (0, 50, 100, 250, 500, 1000, 2000),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_replicates_and_k_are_the_papers(module, options, replicates, ks):
    study = _study(module, **options)
    assert len(study.replicates) == replicates
    assert study.rewind_iterations == ks


def test_dense_networks_of_imagenet_are_copied_at_epochs_of_their_own():
    options = {"model": "resnet50"}
    dense = _study(instability, **options)
    sparse = _study(instability, **options, subnetworks=("imp",))
    # An epoch of these 50,000 images is 48.8 iterations.
    assert dense.rewind_iterations == (0, 196, 391, 586, 782, 879, 977)
    assert sparse.rewind_iterations == (0, 98, 196, 293, 391, 489, 586)


def test_limited_supervision_measures_the_levels_of_its_tables():
    options = {"model": "vgg19", "variant": "limited_supervision"}
    study = _study(lottery, **options)
    study = dataclasses.replace(
        study,
        facts=dataclasses.replace(
            study.facts,
            kernel_shapes={"conv/kernel": (3, 3, 1000, 1000), "head/kernel": (9, 9)},
        ),
    )
    assert Subnetworks(study).levels == (*range(1, 7), *range(9, 31, 3))
    assert len(study.replicates) == 5


def test_telemetry_has_the_replicates_of_its_paper():
    assert len(_study(telemetry).replicates) == 5
    assert len(_study(telemetry, replicates=2).replicates) == 2


def test_replicates_that_are_given_are_those_that_are_told():
    for replicates in (None, 5, 2):
        study = _study(lottery, **_OF_EP, model="resnet20", replicates=replicates)
        assert study.decisions()["replicates"] == len(study.replicates)


_FLAGFILES = [
    *("instability/lenet", "instability/resnet20", "instability/vgg16"),
    *("instability/lenet_sparse", "instability/resnet20_sparse"),
    *("instability/vgg16_sparse", "instability/throughout"),
    *("instability/resnet50", "instability/resnet50_sparse"),
    *("instability/inception_v3", "instability/inception_v3_sparse"),
    *("lottery/early_phase", "lottery/lenet", "lottery/resnet20", "lottery/vgg16"),
    *("pretraining/resnet20", "pretraining/resnet20_sparse"),
]


@pytest.mark.parametrize("name", _FLAGFILES)
def test_what_the_papers_flagfiles_spell_out_is_what_the_recipe_says(name):
    path = _ROOT / "configs" / f"{name}_paper.flags"
    if not path.exists():
        pytest.skip("an installed package comes without configs/")
    lines = shlex.split(path.read_text(), comments=True)
    given = {
        flag: value or True
        for flag, _, value in (one.removeprefix("--").partition("=") for one in lines)
    }
    switches = ("model", "variant", "throughout", "sparse")
    options = {flag: given[flag] for flag in switches if flag in given}
    if "subnetworks" in given:
        options["subnetworks"] = tuple(given["subnetworks"].split(","))
    module = _MODULES[name.split("/")[0]]
    study = _study(module, **options)
    assert given.get("replicates") in (None, str(len(study.replicates)))
    if "rewind_iterations" in given:
        ks = tuple(given["rewind_iterations"].split(","))
        spelled = _study(module, **options, rewind_iterations=ks)
        assert spelled.rewind_iterations == study.rewind_iterations
