"""Known keys: by them stores find what was trained, so they outlive every change.

A key may change where what it stands for does: with the VERSION of a run or component
whose results are others now, a version of a perturbation or criterion, or by an issue
that says that stores begin anew. With nothing else: a class that is renamed keeps its
KIND, a field that is added later has `metadata=fingerprints.LATER`, and seeds keep the
names of their purposes. Keys that changed for a good reason are printed by

    python -m tests.experiments.test_keys
"""

import dataclasses
import importlib
import itertools
import pkgutil
import textwrap

import tflottery
from tflottery.components.accuracies import Accuracy
from tflottery.components.component import Component
from tflottery.components.gradual_pruning import gradual_pruning
from tflottery.components.interpolating import Line
from tflottery.components.mask_counts import MaskCounts
from tflottery.components.metadata import Facts
from tflottery.components.observing import Telemetry
from tflottery.components.perturbing import Perturbed
from tflottery.components.runs import Initialization, Run, State
from tflottery.components.sign_changes import SignChanges
from tflottery.components.transferring import BodyMask
from tflottery.core import fingerprints
from tflottery.core.identities import Data, Network
from tflottery.core.initializers import Initializers
from tflottery.core.recipes import PruningRecipe, Recipe
from tflottery.experiments import lottery
from tflottery.studies import pretraining_runs
from tflottery.studies.pretraining_runs import Pretraining
from tflottery.studies.study import Study
from tflottery.studies.subnetworks import (
    IMP,
    RANDOM_PRUNING,
    RANDOM_REINIT,
    Subnetwork,
    Subnetworks,
)
from tflottery.training.distribution import Placement

# The first eight digits of the keys of a dozen of each kind, as `_artifacts` has them.
_KEYS = {
    "run": (
        "66e40b2c f99a8592 b5e3c43a e15f7821 4d3c92ef 991a3b4d 2f2e86c3 bcdfeffa "
        "cade53c7 3b90d181 661bde25 e0f39b77 "
    ),
    "state": (
        "c13578fa 33f7d711 63d3d1c2 0869e093 41f63e2d 3e7061c0 2a20ffbe 1d049e29 "
        "6e09f215 9913e769 74fb9084 4422ab0b "
    ),
    "run from a pretext": (
        "feae83ab fac24ec4 d9dbcd02 565564a5 7aa17a28 a790a9a5 27a2b51f 5f8d915d "
        "3f3be110 49acaace 84bcf812 5c5e7c15 "
    ),
    "mask": (
        "6f1bfea9 d4a21eef ba11ddcf a05eb902 b6fa42e9 9707c776 a4ebf8e8 78b69b7c "
        "370a62bc e81031cd 98d4019e 1d029d41 "
    ),
    "body mask": (
        "31e04128 85791e20 ac84c794 6076f373 bf060894 69da4091 b1540279 b150953b "
        "797b930b 5147183b a6a782b4 0630d8db "
    ),
    "mask counts": (
        "0440b11c 385fd3d5 de9d3b6b 162a5066 2d2637db 1bcf63d4 b819643e 6d453d83 "
        "0867e78b f2db9a76 6860439d f215293c "
    ),
    "sign changes": (
        "929bde16 76986f2d ecf736aa 0adbc6c7 988f03e0 69e25ff9 70708392 95e87d53 "
        "cd53c132 e0230791 f0255e02 c888745d "
    ),
    "transferred": (
        "f8b4edff 988443ec cd480cd8 e493a2ad 79510f2c d1879fbe 4e1b027e 08c4d8e7 "
        "91cf84d1 aa646baf e00ee5c1 afdf3f79 "
    ),
    "accuracy": (
        "7f508580 4c375db8 93858226 7874b41d 7388ee87 9f0cddd0 a82dd477 e54bce76 "
        "38a20ede 11c83342 0038f143 9a60cc59 "
    ),
    "line": (
        "395b3f06 b35ecd02 b0d9568d 0ec35b60 ddb97e1e 56035035 c7c66b92 1eaded43 "
        "052ab69e a92543b9 db24830c f79ea496 "
    ),
    "telemetry": (
        "47e211f9 2c6b229e ecd049e6 ddba9739 ade7246e 5394f9ef 6d481f18 061fc350 "
        "b59fceff a029352e 1049049a 4a4a430e "
    ),
    "perturbed": (
        "541747f0 23f4be23 81ee592b c55307ba 349c989d 353edfdf 82821447 e4515b01 "
        "2c65c418 39e229b5 b0f4e684 73bb7c11 "
    ),
    "configuration": ("d885a075 4c5f17d9 79e0afc2 "),
    "network": ("a10bdf08 a1ca198c "),
    "data": ("21f96f1c e7cb0443 8c00aea4 "),
    "unusual": ("c186de4b a2e102fa 1aec731c 773746eb 4f471972 "),
    # Under a constant rate, fine-tuning is learning-rate rewinding.
    "other kinds": (
        "2a8cb2fe 07849a47 c19f41a8 83d2e151 6ed615eb c179e0b9 31e920d0 e5c80309 "
        "31e920d0 e5c80309 8786bf1d "
    ),
}

# The first is the usual one, which no key names.
_INITIALIZERS = (
    Initializers(),
    Initializers(kernel="glorot_normal"),
    Initializers(batch_norm_scale="uniform"),
)
_DATA = Data(
    name="digits",
    version="1",
    digest="0123456789abcdef",
    image_shape=(8, 8, 1),
    num_train=1437,
    num_test=360,
    num_classes=10,
)
_FACTS = Facts(
    network=Network("lenet", (8, 8, 1), 10, "2573f923f3363811"),
    data=_DATA,
    num_weights=50_610,
    num_trainable=50_610,
    kernel_shapes={
        "dense_1/kernel": (64, 300),
        "dense_2/kernel": (300, 100),
        "head/kernel": (100, 10),
    },
    flops_per_example=100_400,
    has_batch_norm=False,
    num_devices=1,
)
_ADAM = Recipe(
    optimizer="adam",
    learning_rate=12e-4,
    batch_size=60,
    training_iterations=600,
    pruning=PruningRecipe(random_counts="global"),
)
# Every value that decides a trajectory is another one in some recipe.
_RECIPES = (
    _ADAM,
    Recipe(
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=128,
        training_iterations=1000,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=(500, 750),
        decay_factor=0.2,
        warmup=20,
        augmentation="flip_crop",
        pruning=PruningRecipe(unpruned=("head",), random_counts="per_layer"),
    ),
    Recipe(
        optimizer="sgd",
        learning_rate=0.03,
        batch_size=64,
        training_iterations=800,
        final_learning_rate=0.005,
        pruning=PruningRecipe(
            one_shot=True, pruning_fraction=0.5, random_counts="global"
        ),
    ),
)


def _studies():
    """Returns one study a recipe; they differ in all else that enters a key too."""
    places = (
        (Placement(), _FACTS, "fresh"),
        (Placement(device="gpu"), _FACTS, "carried"),
        (
            Placement("mirrored", num_devices=2),
            dataclasses.replace(_FACTS, num_devices=2, precision="mixed_bfloat16"),
            "fresh",
        ),
    )
    for recipe, (placement, facts, state) in zip(_RECIPES, places, strict=True):
        config = lottery.Config(model="lenet", dataset="digits", optimizer_state=state)
        study = Study(config, "", recipe, (0, 100), facts, placement)
        related = {
            name: dataclasses.replace(
                study,
                facts=dataclasses.replace(
                    facts,
                    network=dataclasses.replace(facts.network, num_classes=classes),
                    data=dataclasses.replace(_DATA, pretext=name, pretext_version=1),
                ),
            )
            for name, classes in (("rotation", 4), ("blur", 10))
        }
        yield dataclasses.replace(study, related=related)


def _subnetworks():
    """Yields the subnetworks of which runs and masks are, one study after another."""
    asked = (
        (IMP, 1, 1, 0),
        (IMP, 2, 1, 100),
        (RANDOM_PRUNING, 1, 2, 100),
        (RANDOM_REINIT, 1, 2, 100),
    )
    for study, (kind, level, replicate, k) in itertools.product(_studies(), asked):
        subnetwork = Subnetwork(
            kind=kind, level=level, replicate=replicate, rewind_iteration=k
        )
        yield study, Subnetworks(study), subnetwork


def _runs():
    """Yields dense runs, copies of them, and subnetworks."""
    for study in _studies():
        yield study.trunk(1)
        yield study.trunk(2)
        yield study.branch(
            State(study.trunk(1), 100), rewind_iteration=100, replicate=1, data_order=2
        )
    for _, sparse, subnetwork in _subnetworks():
        if subnetwork.level == 2:
            yield sparse.run(subnetwork, data_order=1)


def _pretrained():
    """Yields subnetworks that begin from a pretext task, with heads and without."""
    pretexts = (Pretraining("rotation", 2), Pretraining("blur", 5))
    for number, (study, sparse, subnetwork) in enumerate(_subnetworks()):
        pretraining = pretexts[number % 2]
        yield pretraining_runs.sparse_run(study, pretraining, sparse, subnetwork)


def _artifacts():
    """Returns a dozen of each kind."""
    runs = list(_runs())
    states = [
        State(run, max(10, run.first_iteration) + number, keeps_slots=number % 2 == 0)
        for number, run in enumerate(runs)
    ]
    masks = [sparse.mask(subnetwork) for _, sparse, subnetwork in _subnetworks()]
    pretrained = list(_pretrained())
    options = [
        {"evaluation_examples": examples, "splits": splits}
        for examples in (None, 50, 100, 200)
        for splits in (("train", "test"), ("train",), ("test",))
    ]
    couples = list(zip(states, states[1:] + states[:1], strict=True))
    return {
        "run": runs,
        "state": states,
        "run from a pretext": pretrained,
        "mask": masks,
        "body mask": [BodyMask(mask) for mask in masks],
        "mask counts": [MaskCounts(mask) for mask in masks],
        "sign changes": [
            SignChanges(state, other, ("dense_1/kernel",), mask if number % 3 else None)
            for number, ((state, other), mask) in enumerate(
                zip(couples, masks, strict=True)
            )
        ],
        "transferred": [run.initial for run in pretrained],
        "accuracy": [
            Accuracy(state, **asked)
            for state, asked in zip(states, options, strict=True)
        ],
        "line": [
            Line(*pair, **asked, reestimation_examples=1024 * number)
            for number, (pair, asked) in enumerate(zip(couples, options, strict=True))
        ],
        "telemetry": [
            Telemetry(state, other, state, gradient_examples=60 * number, chosen_seed=1)
            for number, (state, other) in enumerate(couples)
        ],
        "perturbed": [
            Perturbed(
                perturbation="gaussian_noise",
                version=1,
                options=(("scale", 0.5 * number), ("scope", "layers"), ("sign", True)),
                of=state,
                mask=mask if number % 3 else None,
                initial=State(state.run, 0),
                kernels=(("dense_1/kernel", (64, 300)), ("head/kernel", (100, 10))),
                seed=number,
            )
            for number, (state, mask) in enumerate(zip(states, masks, strict=True))
        ],
    }


def _of_other_kinds():
    """Yields runs and masks by other criteria, and what prunes while it trains."""
    study = next(_studies())
    sparse = Subnetworks(study)
    kinds = ("snip", "grasp_reinit", "synflow_shuffled", "lr_rewinding", "fine_tuning")
    for kind in kinds:
        subnetwork = Subnetwork(kind=kind, level=2, replicate=1, rewind_iteration=100)
        yield sparse.mask(subnetwork)
        yield sparse.run(subnetwork, data_order=1)
    yield gradual_pruning(
        study.trunk(1), iterations=600, kernels=sparse.kernels, num_survivors=5000
    )


def _found():
    """Returns the beginnings of the keys, by kind."""
    found = {
        kind: [one.key[:8] for one in artifacts]
        for kind, artifacts in _artifacts().items()
    }
    found["configuration"] = [study.config_hash for study in _studies()]
    every = [*_runs(), *(run.initial.of.run for run in _pretrained())]
    for name in ("network", "data"):
        values = [
            fingerprints.fingerprint(getattr(run, name), length=8) for run in every
        ]
        found[name] = list(dict.fromkeys(values))
    unusual = [
        *(Initialization(1, one) for one in _INITIALIZERS),
        dataclasses.replace(_DATA, input_scaling="standardized"),
        dataclasses.replace(next(_runs()), threads=4),
    ]
    found["unusual"] = [fingerprints.fingerprint(one, length=8) for one in unusual]
    found["other kinds"] = [one.key[:8] for one in _of_other_kinds()]
    return found


def test_keys_are_what_they_were():
    assert _found() == {kind: keys.split() for kind, keys in _KEYS.items()}


def test_what_is_different_has_different_keys():
    for kind, artifacts in _artifacts().items():
        assert len({one.key for one in artifacts}) == len(artifacts) == 12, kind


def test_every_kind_has_one_class():
    """Two classes of one KIND would find each other's artifacts."""
    for module in pkgutil.walk_packages(tflottery.__path__, "tflottery."):
        if module.name.split(".")[1] in ("core", "components", "studies"):
            importlib.import_module(module.name)
    known = [Network, Data, Initializers, Initialization, Run, State]
    waiting = [Component]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        waiting += subclasses
        known += [one for one in subclasses if one.__module__.startswith("tflottery.")]
    kinds = [vars(one)["KIND"] for one in known]
    assert len(set(kinds)) == len(kinds) > 10


if __name__ == "__main__":
    print("_KEYS = {")
    for kind, keys in _found().items():
        print(f'    "{kind}": (')
        for line in textwrap.wrap(" ".join(keys), 72):
            print(f'        "{line} "')
        print("    ),")
    print("}")
