"""Recipes of Finding Winning Tickets: the rows of Appendix A, planned."""

import pytest

from tflottery.core import recipes
from tflottery.core.recipes import Setting
from tflottery.core.registry import MODELS
from tflottery.figures import reported
from tflottery.models.limited_supervision import APPENDIX_A

_IMAGENET, _PLACES, _CIFAR10 = "imagenet2012", "places365_small", "cifar10"
_NUM_IMAGES = {_IMAGENET: 1_281_167, _PLACES: 1_803_460, _CIFAR10: 50_000}
_TENTH = ("labels", "images:0.1")
# By network and setting: rate, weight decay, batch size, iterations, milestones, warmup
# and k. Epochs in iterations, rounded up,.
_PLANNED = {
    ("alexnet", _IMAGENET, "labels", None): (
        *(0.4, 1e-4, 4096, 28_151, (9_384, 18_768), 0, 938),
    ),
    ("alexnet", _IMAGENET, "rotation", None): (
        *(0.5, 1e-5, 8192, 14_076, (4_692, 9_384), 313, 469),
    ),
    ("alexnet", _IMAGENET, "exemplar", None): (
        *(0.1, 1e-4, 4096, 9_384, (6_256,), 0, 938),
    ),
    ("resnet50", _IMAGENET, "labels", None): (
        *(0.1, 1e-4, 1536, 75_069, (41_705, 54_217, 66_728), 0, 2_500),
    ),
    ("resnet50", _IMAGENET, "labels", "images:0.3"): (
        *(0.1, 3e-4, 1536, 50_046, (35_032, 40_037, 45_042), 1_252, 2_500),
    ),
    ("resnet50", _IMAGENET, "labels", "classes:0.3"): (
        *(0.03, 1e-3, 1536, 50_046, (35_032, 40_037, 45_042), 1_252, 2_500),
    ),
    ("resnet50", _IMAGENET, "labels", "images:0.1"): (
        *(0.1, 1e-3, 768, 33_364, (23_355, 26_692, 30_028), 835, 5_000),
    ),
    ("resnet50", _IMAGENET, "labels", "classes:0.1"): (
        *(0.3, 3e-4, 768, 33_364, (23_355, 26_692, 30_028), 835, 5_000),
    ),
    ("resnet50", _IMAGENET, "labels", "images:0.01"): (
        *(0.1, 1e-3, 768, 16_683, (11_678, 13_346, 15_015), 0, 5_000),
    ),
    ("resnet50", _IMAGENET, "labels", "classes:0.01"): (
        *(0.01, 3e-3, 768, 16_683, (11_678, 13_346, 15_015), 0, 5_000),
    ),
    ("resnet50", _IMAGENET, "semi_supervised", "images:0.1"): (
        *(0.1, 3e-4, 2048, 125_114, (87_580, 100_092, 112_603), 3_128, 1_875),
    ),
    ("resnet50", _IMAGENET, "rotation", None): (
        *(1.0, 1e-5, 1536, 75_069, (41_705, 54_217, 66_728), 4_171, 2_500),
    ),
    ("resnet50", _IMAGENET, "exemplar", None): (
        *(1.0, 1e-5, 1536, 25_023, (16_682, 20_853), 0, 2_500),
    ),
    ("resnet50", _PLACES, "labels", None): (
        *(0.1, 1e-4, 2048, 79_254, (44_030, 57_239, 70_448), 0, 1_875),
    ),
    ("vgg19", _CIFAR10, "labels", None): (
        *(1e-3, 1e-4, 512, 15_625, (7_813, 11_719), 0, 98),
    ),
    ("resnet18", _CIFAR10, "rotation", None): (
        *(1e-3, 1e-4, 512, 15_625, (7_813, 11_719), 0, 98),
    ),
    ("resnet18", _CIFAR10, "exemplar", None): (
        *(3e-4, 1e-4, 512, 17_579, (11_719,), 0, 98),
    ),
    ("vgg19", _CIFAR10, "permuted_labels", None): (
        *(1e-3, 1e-4, 512, 15_625, (7_813, 11_719), 0, 98),
    ),
}
# What the paper has no row for.
_READ = {
    # 160 x 200 / 90 is 356 epochs of a tenth of the images, 80 and 120 are 178 and 267.
    (_CIFAR10, *_TENTH): (1e-3, 1e-4, 512, 3_477, (1_739, 2_608), 0, 98),
    (_CIFAR10, "labels", "images:0.3"): (
        *(1e-3, 1e-4, 512, 10_430, (5_215, 7_823), 0, 98),
    ),
    (_CIFAR10, "labels", "classes:0.3"): (
        *(1e-3, 1e-4, 512, 10_430, (5_215, 7_823), 0, 98),
    ),
    # 1778, 889 and 1333 epochs.
    (_CIFAR10, "labels", "images:0.01"): (
        *(1e-3, 1e-4, 512, 1_737, (869, 1_302), 0, 98),
    ),
    # Epochs of all 50,000 images.
    (_CIFAR10, "semi_supervised", "images:0.1"): (
        *(1e-3, 1e-4, 512, 34_766, (17_383, 26_075), 0, 98),
    ),
    # A hundredth of the labels makes no difference to that.
    (_CIFAR10, "semi_supervised", "images:0.01"): (
        *(1e-3, 1e-4, 512, 34_766, (17_383, 26_075), 0, 98),
    ),
    # A task that the paper does not have.
    (_CIFAR10, "blur", None): (1e-3, 1e-4, 512, 15_625, (7_813, 11_719), 0, 98),
    ("mnist", "labels", None): (1e-3, 1e-4, 512, 18_750, (9_375, 14_063), 0, 118),
    # Ten epochs of 6,000 images, and three of 18,000.
    ("mnist", *_TENTH): (1e-3, 1e-4, 512, 4_172, (2_086, 3_129), 0, 118),
    ("mnist", "labels", "images:0.3"): (
        *(1e-3, 1e-4, 512, 12_516, (6_258, 9_387), 0, 106),
    ),
}


def _recipe(model, *setting):
    known = MODELS[model]["recipes"]
    variant = "limited_supervision"
    of_model = {"model": model, "variant": variant, "setting": Setting(*setting)}
    return recipes.recipe_of(known, **of_model)[1]


def _planned(model, *setting):
    """Returns a recipe's numbers, durations as iterations."""
    dataset, task, subset = setting
    num_examples = {**_NUM_IMAGES, "mnist": 60_000}[dataset]
    if subset is not None and task != "semi_supervised":
        num_examples = round(float(subset.partition(":")[2]) * num_examples)
    found = recipes.resolved(_recipe(model, *setting), num_examples=num_examples)
    (rewind_iteration,) = found.pruning.rewind_iterations
    return (
        *(found.learning_rate, found.weight_decay, found.batch_size),
        *(found.training_iterations, found.milestones, found.warmup),
        rewind_iteration,
    )


@pytest.mark.parametrize("row", _PLANNED, ids=lambda row: "-".join(map(str, row)))
def test_every_row_of_appendix_a_is_planned_as_printed(row):
    assert _planned(*row) == _PLANNED[row]


def test_parts_are_those_of_the_papers_gpus():
    parts = {
        row: _recipe(*row).batch_size // _recipe(*row).replica_batch_size
        for row in _PLANNED
        if row[1] != _CIFAR10
    }
    named = {
        ("alexnet", _IMAGENET, "labels", None): 8,
        ("alexnet", _IMAGENET, "rotation", None): 16,
        ("alexnet", _IMAGENET, "exemplar", None): 16,
        ("resnet50", _IMAGENET, "semi_supervised", "images:0.1"): 32,
        ("resnet50", _IMAGENET, "exemplar", None): 32,
    }
    for row, count in parts.items():
        few = row[3] in ("images:0.1", "classes:0.1", "images:0.01", "classes:0.01")
        assert count == named.get(row, 8 if few else 16), row
    assert _recipe("vgg19", _CIFAR10, "labels", None).replica_batch_size is None


def test_no_row_is_left_out():
    # The paper has labels and rotation of CIFAR-10 in one row, for two networks.
    rows = [
        (dataset, network, row.task, row.subset)
        for (dataset, network), of_network in APPENDIX_A.items()
        for row in of_network
    ]
    assert len(set(rows)) == len(rows) == 17 + 1
    planned = {
        (dataset, None if dataset == _CIFAR10 else network, task, subset)
        for network, dataset, task, subset in _PLANNED
    }
    assert planned == set(rows)


@pytest.mark.parametrize("setting", _READ, ids=lambda one: "-".join(map(str, one)))
def test_settings_that_follow_another_row(setting):
    for model in ("vgg19", "resnet50"):
        assert _planned(model, *setting) == _READ[setting]


@pytest.mark.parametrize(
    "model",
    [
        *("alexnet_cifar_stem", "resnet18", "resnet18_cifar_stem", "resnet50"),
        *("resnet50_cifar_stem", "vgg11", "vgg13", "vgg16"),
    ],
)
def test_all_networks_follow_the_rows_of_cifar10(model):
    assert _recipe(model, _CIFAR10) == _recipe("vgg19", _CIFAR10)
    assert MODELS[model]["dataset"] == (_IMAGENET if model == "resnet50" else _CIFAR10)


def test_forms_of_a_network_have_its_rows():
    assert _recipe("alexnet_grouped", _IMAGENET) == _recipe("alexnet", _IMAGENET)
    assert _recipe("resnet50_cifar_stem", _PLACES) == _recipe("resnet50", _PLACES)


@pytest.mark.parametrize(
    ("network", "dataset"), [("resnet50", _IMAGENET), ("resnet18", _CIFAR10)]
)
def test_all_four_turns_are_learned_as_one_is(network, dataset):
    one = _recipe(network, dataset, "rotation")
    assert _recipe(network, dataset, "rotation_all") == one


@pytest.mark.parametrize(
    ("setting", "augmentation"),
    [
        ((_CIFAR10,), "flip_crop_2"),
        ((_CIFAR10, "rotation"), "flip_crop_2"),
        ((_CIFAR10, "exemplar"), "flip_crop_2"),
        ((_CIFAR10, *_TENTH), "flip_crop_2"),
        ((_CIFAR10, "labels", "images:0.01"), "flip_crop_2_colour"),
        # All images are seen.
        ((_CIFAR10, "semi_supervised", "images:0.01"), "flip_crop_2"),
        ((_CIFAR10, "permuted_labels"), "none"),
        (("mnist", "permuted_labels"), "none"),
        (("mnist", "labels", "images:0.01"), None),
        ((_IMAGENET,), None),
    ],
)
def test_augmentation_is_that_of_the_data_and_the_task(setting, augmentation):
    assert _recipe("resnet50", *setting).augmentation == augmentation


def test_what_all_rows_of_a_data_set_share():
    pruning = recipes.PruningRecipe(
        unpruned=("head",),
        num_levels=30,
        measured_levels=("1-6", "9-30:3"),
        random_counts="global",
        random_weights="initial",
        schedule="restarted",
        studied_density=0.069,
    )
    for model, *setting in _PLANNED:
        found = _recipe(model, *setting)
        cifar10 = setting[0] == _CIFAR10
        assert found.optimizer == ("adam" if cifar10 else "sgd")
        assert found.momentum == (0.0 if cifar10 else 0.9)
        assert found.replicates == (5 if cifar10 else 3)
        assert found.decay_factor == 0.1
        rewind = found.pruning.rewind_iterations
        assert rewind == (("1ep",) if cifar10 else ("3840000ex",))
        assert recipes.replaced(found, rewind_iterations=(0,)).pruning == pruning


@pytest.mark.parametrize("percent", [100, 30, 10, 1])
def test_late_resetting_is_that_of_table_1(percent):
    """Epochs and updates are of each row's own subset, rounded as they are printed."""

    def printed(metric):
        labels = {"dataset": _IMAGENET, "method": f"ImageNet {percent}%"}
        source = {"paper": "limited_supervision", "model": "resnet50", **labels}
        return reported.number(f"rewind_{metric}", **source).value

    subset = None if percent == 100 else f"images:{percent / 100}"
    *_, batch_size, iterations, _, _, k = _planned(
        "resnet50", _IMAGENET, "labels", subset
    )
    assert k == printed("gradient_updates")
    assert k * batch_size == printed("samples_seen")
    assert round(k * batch_size / (percent / 100 * 1_281_167)) == printed("epochs")
    assert round(100 * k / iterations, 1) == printed("pct_of_training")


@pytest.mark.parametrize(
    ("model", "setting", "known"),
    [
        ("resnet18", (_IMAGENET,), "alexnet labels, alexnet rotation, .*resnet50 exe"),
        ("alexnet", (_IMAGENET, *_TENTH), "resnet50 labels images:0.1, "),
        ("resnet50", (_IMAGENET, "labels", "images:0.2"), "resnet50 labels images:0.1"),
        ("resnet50", (_IMAGENET, "semi_supervised"), "semi_supervised images:0.1"),
        ("resnet50", (_IMAGENET, "permuted_labels"), "resnet50 labels, "),
        ("alexnet", (_PLACES,), r"has there: resnet50 labels\."),
        ("resnet50", (_PLACES, "rotation"), r"has there: resnet50 labels\."),
    ],
)
def test_what_the_paper_has_no_row_for_is_refused(model, setting, known):
    told = f"no recipe for model '{model}' on '{setting[0]}' with task='.*{known}"
    with pytest.raises(ValueError, match=told):
        _recipe(model, *setting)


def test_lenet_sees_part_of_the_images_as_often_as_the_papers_networks():
    def epochs(subset):
        setting = Setting("mnist", subset=subset)
        _, recipe = recipes.recipe_of(
            MODELS["lenet"]["recipes"],
            model="lenet",
            variant="limited_supervision",
            setting=setting,
        )
        fraction = 1 if subset is None else float(subset.partition(":")[2])
        images = round(60_000 * fraction)
        resolved = recipes.resolved(recipe, num_examples=images)
        return resolved.training_iterations * resolved.batch_size / images

    assert epochs(None) == 24
    assert epochs("images:0.1") == pytest.approx(24 * 200 / 90, abs=0.5)
    assert epochs("classes:0.3") == pytest.approx(24 * 200 / 90, abs=0.5)
    assert epochs("images:0.01") == pytest.approx(24 * 1000 / 90, abs=0.5)


@pytest.mark.parametrize(
    ("setting", "augmentation", "iterations", "drops", "k"),
    [
        (Setting("cifar10_16x16"), "flip_crop_2", 8000, (4000, 6000), 1000),
        (Setting("cifar10_16x16", "permuted_labels"), "none", 8000, (4000, 6000), 1000),
        # 200/90 and 1000/90 of 20.48 epochs.
        (
            Setting("cifar10_16x16", subset="images:0.1"),
            "flip_crop_2",
            "46ep",
            ("23ep", "34ep"),
            1000,
        ),
        (
            Setting("cifar10_16x16", subset="images:0.01"),
            "flip_crop_2_colour",
            "228ep",
            ("114ep", "171ep"),
            # 300 of 1000 epochs.
            "68ep",
        ),
    ],
)
def test_the_laptop_follows_the_paper(setting, augmentation, iterations, drops, k):
    _, recipe = recipes.recipe_of(
        MODELS["lenet_batch_norm"]["recipes"],
        model="lenet_batch_norm",
        variant="limited_supervision",
        setting=setting,
    )
    assert (recipe.augmentation, recipe.optimizer) == (augmentation, "sgd")
    assert (recipe.training_iterations, recipe.milestones) == (iterations, drops)
    assert recipe.pruning.rewind_iterations == (k,)
    assert recipe.pruning.unpruned == ("head",)
    assert recipe.pruning.schedule == "restarted"
