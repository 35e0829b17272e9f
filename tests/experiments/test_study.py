"""A Config resolved: recipes, overrides and durations meet."""

import dataclasses

import pytest

from tflottery.components.metadata import Facts, inspect
from tflottery.components.runs import Initialization
from tflottery.core import seeds
from tflottery.core.identities import Data, Network
from tflottery.core.recipes import Setting
from tflottery.core.registry import MODELS
from tflottery.experiments import instability, table1
from tflottery.experiments.instability import Config
from tflottery.studies.study import resolve
from tflottery.training.distribution import Placement

CIFAR10 = Data(
    name="cifar10",
    version="3.0.2",
    digest="0",
    image_shape=(32, 32, 3),
    num_train=50_000,
    num_test=10_000,
    num_classes=10,
)


def cifar10_facts(model, *, num_devices=1, has_batch_norm=False):
    return Facts(
        network=Network(model, (32, 32, 3), 10),
        data=CIFAR10,
        num_weights=1,
        num_trainable=1,
        kernel_shapes={},
        flops_per_example=1,
        has_batch_norm=has_batch_norm,
        num_devices=num_devices,
    )


def cifar10_study(model, *, num_devices=1, **options):
    facts = cifar10_facts(model, num_devices=num_devices)
    return resolve(Config(model=model, **options), facts, Placement())


@pytest.fixture
def study(facts):
    """Returns the study of options for LeNet on digits."""

    def make(**options):
        options = {"model": "lenet", "dataset": "digits"} | options
        return resolve(Config(**options), facts, Placement())

    return make


def test_the_model_alone_is_the_papers_setting():
    found = cifar10_study("vgg16")
    assert found.config.setting.dataset == "cifar10"
    recipe = found.recipe
    assert found.variant == "standard"
    assert (recipe.optimizer, recipe.learning_rate, recipe.momentum) == (
        "sgd",
        0.1,
        0.9,
    )
    assert (recipe.batch_size, recipe.training_iterations) == (128, 63_000)
    assert (recipe.milestones, recipe.decay_factor) == ((32_000, 48_000), 0.1)
    assert (recipe.warmup, recipe.weight_decay) == (0, 1e-4)
    assert recipe.augmentation == "flip_crop"


def test_a_length_in_percent_is_a_part_of_the_recipes():
    found = cifar10_study(
        "vgg16", training_iterations="10%", rewind_iterations=("0.5%",)
    )
    assert (found.last, found.rewind_iterations) == (6_300, (32,))
    assert found.recipe.milestones == (3_200, 4_800)


def test_every_value_can_be_overridden():
    recipe = cifar10_study(
        "resnet20",
        training_iterations="100ep",
        batch_size=100,
        optimizer="adam",
        learning_rate=0.5,
        momentum=0.1,
        weight_decay=0.2,
        milestones=("10ep", "20ep3it"),
        decay_factor=0.5,
        warmup="1ep",
        augmentation="none",
    ).recipe
    # An epoch of 50,000 images in batches of 100 is 500 iterations.
    assert recipe.training_iterations == 50_000
    assert recipe.milestones == (5_000, 10_003)
    assert recipe.warmup == 500
    assert (recipe.optimizer, recipe.learning_rate, recipe.momentum) == (
        "adam",
        0.5,
        0.1,
    )
    assert (recipe.weight_decay, recipe.decay_factor) == (0.2, 0.5)
    assert (recipe.batch_size, recipe.augmentation) == (100, "none")


def test_augmentation_is_the_users_else_the_recipes_else_the_data_sets(register):
    standard = MODELS["lenet"]["recipes"]["standard"]
    own = dataclasses.replace(standard, augmentation="flip_crop_2")
    recipes = {"standard": standard, "own": own}
    register(MODELS, "net", None, recipes=recipes, dataset="cifar10")
    found = [
        cifar10_study("net", **options).recipe.augmentation
        for options in ({}, {"variant": "own"})
    ]
    assert found == ["flip_crop", "flip_crop_2"]
    given = cifar10_study("net", variant="own", augmentation="none")
    assert given.recipe.augmentation == "none"


def test_parts_are_shown_of_images_of_many_sizes_alone():
    config = Config(model="resnet20", augmentation="resized_crop")
    facts = cifar10_facts("resnet20")
    with pytest.raises(ValueError, match="'resized_crop' is of .*those of 'cifar10'"):
        resolve(config, facts, Placement())
    # Of data sets that say nothing else it is the usual way.
    data = dataclasses.replace(CIFAR10, name="food101")
    facts = dataclasses.replace(facts, data=data, has_many_sizes=True)
    usual = Config(model="resnet20")
    for one in (config, usual):
        assert resolve(one, facts, Placement()).recipe.augmentation == "resized_crop"
    facts = dataclasses.replace(facts, has_many_sizes=False)
    assert resolve(usual, facts, Placement()).recipe.augmentation == "none"


def test_epochs_of_a_recipe_are_those_of_the_batch_that_was_given():
    options = {"variant": "early_phase", "batch_size": 100}
    recipe = cifar10_study("resnet20", **options).recipe
    # 160 epochs of 50,000 images, the rate lower from the 80th and the 120th on.
    assert recipe.training_iterations == 80_000
    assert recipe.milestones == (40_000, 60_000)


def test_a_shortened_schedule_keeps_its_proportions():
    recipe = cifar10_study("vgg16", variant="warmup", training_iterations=6_300).recipe
    assert recipe.milestones == (3_200, 4_800)
    assert recipe.warmup == 3_000


def test_zero_milestones_and_warmup_are_values_not_defaults():
    recipe = cifar10_study("vgg16", variant="warmup", milestones=(), warmup=0).recipe
    assert (recipe.milestones, recipe.warmup) == ((), 0)


def test_digits_have_a_short_recipe_of_their_own(study):
    assert study().last == 600
    assert study(training_iterations=24_000).last == 24_000


def test_a_task_is_in_the_runs_the_name_and_the_hash(study, runtime):
    """Random labels are drawn once a replicate, so that each has data of its own."""
    facts = inspect("lenet", Setting("digits", "random_labels"), runtime)
    config = Config(model="lenet", dataset="digits", task="random_labels")
    found = resolve(config, facts, Placement())
    datas = [found.trunk(replicate).data for replicate in (1, 2)]
    assert [data.pretext for data in datas] == ["random_labels"] * 2
    assert [data.pretext_seed for data in datas] == [
        seeds.pretext_seed(replicate, pretext="random_labels") for replicate in (1, 2)
    ]
    assert found.columns()["task"] == "random_labels"
    assert study().columns()["task"] == "labels"
    assert found.name.startswith("lenet-digits-random_labels-standard-")
    assert "digits, random_labels" in found.title
    assert found.config_hash != study().config_hash


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"task": "jigsaw"}, "no task 'jigsaw'. Known: labels, blur, "),
        ({"task": "jigsaw", "model": "resnet20"}, "no task 'jigsaw'. Known: labels"),
    ],
)
def test_an_unknown_task_is_refused_before_data_are_read(options, text):
    with pytest.raises(ValueError, match=text):
        Config(**options).validate()


def test_the_recipes_grid_is_clipped_and_the_title_says_so(study):
    found = study(training_iterations=40)
    assert found.rewind_iterations == (0, 10, 25)
    assert "k = 0, 10, 25 (the recipe's 50, 100: " in found.title
    assert "beyond the end" in found.title
    assert "beyond" not in study(rewind_iterations=(0,)).title


def test_a_k_that_was_given_is_refused_beyond_the_end(study):
    assert study(rewind_iterations=(600,)).rewind_iterations == (600,)
    with pytest.raises(ValueError, match=r"names \[601\], beyond .* at 600"):
        study(rewind_iterations=(0, 601))
    # 25 epochs of 1,437 images in batches of 60 are 599 iterations, 26 are 623.
    assert study(rewind_iterations=("25ep",)).rewind_iterations == (599,)
    with pytest.raises(ValueError, match=r"\[623\]"):
        study(rewind_iterations=("26ep",))


def test_a_k_at_the_very_end_is_left_out_unless_it_was_given(study):
    """Copies that part there are never trained apart."""
    found = study(training_iterations=100)
    assert found.rewind_iterations == (0, 10, 25, 50)
    assert "(the recipe's 100: " in found.title
    given = study(training_iterations=100, rewind_iterations=(25, 100))
    assert given.rewind_iterations == (25, 100)


@pytest.mark.parametrize(
    ("examples", "expected"),
    [(None, None), (300, 300), (360, 360), (400, 400), (1436, 1436), (1437, None)],
)
def test_examples_measured_are_all_only_where_no_split_has_more(
    examples, expected, study
):
    """Of 1,437 training and 360 test images."""
    assert study(evaluation_examples=examples).evaluation_examples == expected


def test_runs_have_the_seeds_of_their_replicate_level_and_order(study):
    order = {"level": 3, "data_order": 2}
    run = study().branch(
        Initialization(1), rewind_iteration=0, replicate=4, mask=None, **order
    )
    assert run.data_order_seed == seeds.data_order_seed(4, **order)
    assert run.augmentation_seed == seeds.augmentation_seed(4, **order)
    assert run.dropout_seed == seeds.dropout_seed(4, **order)


def test_k_are_sorted_and_each_counts_once(study):
    found = study(rewind_iterations=("50", 0, "50it", "1ep"))
    assert found.rewind_iterations == (0, 24, 50)


def test_a_batch_has_to_be_shared_evenly_by_replicas():
    assert cifar10_study("vgg16", num_devices=4).last == 63_000
    with pytest.raises(ValueError, match="batch of 128 cannot be shared by 3 replicas"):
        cifar10_study("vgg16", num_devices=3)


def test_parts_of_a_batch_have_the_key_of_as_many_devices():
    def run(num_devices, **options):
        return cifar10_study("vgg16", num_devices=num_devices, **options).trunk(1)

    shared = run(2)
    assert (run(1).num_replicas, shared.num_replicas) == (1, 2)
    for num_devices in (1, 2):
        assert run(num_devices, replica_batch_size=64).key == shared.key
    assert run(1, replica_batch_size=128).key == run(1).key != shared.key


def test_the_parts_of_a_recipe_are_on_any_number_of_devices():
    options = {"model": "resnet50", "variant": "limited_supervision"}
    studies = [
        cifar10_study(num_devices=count, **options) for count in (1, 2, 4, 8, 16)
    ]
    assert {one.num_replicas for one in studies} == {16}
    assert len({one.trunk(1).key for one in studies}) == 1
    assert len({(one.config_hash, one.name) for one in studies}) == 1
    with pytest.raises(ValueError, match="16 parts of 96 images .* by 3 devices"):
        cifar10_study(num_devices=3, **options)


def test_the_parts_of_a_recipe_are_those_of_its_own_batch():
    options = {"model": "resnet50", "variant": "limited_supervision"}
    found = {
        (batch, part): cifar10_study(
            batch_size=batch, replica_batch_size=part, **options
        ).num_replicas
        for batch, part in ((None, 48), (1536, None), (64, None), (64, 16))
    }
    assert list(found.values()) == [32, 16, 1, 4]
    with pytest.raises(ValueError, match="size=100 has to be a divisor of .*=1536"):
        cifar10_study(replica_batch_size=100, **options)


def test_parts_that_nobody_asked_for_are_not_told(study):
    """The names of folders were made without them."""
    assert "replica_batch_size" not in study().decisions()
    assert study(replica_batch_size=30).decisions()["replica_batch_size"] == 30


def pretext_study(pretext, batch_size, *, num_devices=1):
    facts = cifar10_facts("vgg16", num_devices=num_devices)
    data = dataclasses.replace(facts.data, pretext=pretext)
    config = Config(model="vgg16", batch_size=batch_size)
    return resolve(config, dataclasses.replace(facts, data=data), Placement())


def test_a_replica_has_as_many_images_with_labels_as_without():
    assert pretext_study("semi_supervised", 6).last == 63_000
    assert pretext_study("semi_supervised", 8, num_devices=4).last == 63_000
    with pytest.raises(ValueError, match="--batch_size=7 has no half .*Give an even"):
        pretext_study("semi_supervised", 7)
    with pytest.raises(ValueError, match="of 2 replicas, 3 images each, has no half"):
        pretext_study("semi_supervised", 6, num_devices=2)


def test_exemplar_compares_two_images_at_least():
    assert pretext_study("exemplar", 2).last == 63_000
    with pytest.raises(ValueError, match="--batch_size=1 is too small for 'exemplar'"):
        pretext_study("exemplar", 1)
    with pytest.raises(ValueError, match="1 images each, is too .* needs 2 images"):
        pretext_study("exemplar", 4, num_devices=4)


def test_the_hash_is_of_what_a_row_cannot_tell_by_its_own_columns(study):
    plain = study()
    for same in (
        {"replicates": 9},
        {"data_orders": 5},
        {"rewind_iterations": (0, 7)},
        {"throughout": True, "splits": ("train", "test")},
        {"training_iterations": "600it"},
        {"learning_rate": 0.03},
        {"evaluation_examples": 100_000},
        {"splits": ("test", "train")},
        # Without batch norm there is nothing to re-estimate.
        {"reestimation_examples": 256},
    ):
        assert study(**same).config_hash == plain.config_hash, same
    for other in (
        {"learning_rate": 1e-3},
        {"training_iterations": 601},
        {"evaluation_examples": 100},
        {"splits": ("test",)},
        {"throughout": True},
        {"optimizer_state": "carried"},
        {"batch_size": 61},
        {"milestones": (300,)},
    ):
        assert study(**other).config_hash != plain.config_hash, other


def test_how_weights_are_drawn_and_images_scaled_tells_runs_and_rows_apart():
    facts = cifar10_facts("resnet20", has_batch_norm=True)

    def found(**options):
        config = Config(model="resnet20", rewind_iterations=(0,), **options)
        return resolve(config, facts, Placement())

    plain = found()
    for same in (
        {"kernel_initializer": "he_normal"},
        {"batch_norm_scale": "uniform"},
        # CIFAR-10's own way.
        {"input_scaling": "standardized"},
    ):
        assert found(**same).trunk(1).key == plain.trunk(1).key, same
        assert found(**same).config_hash == plain.config_hash, same
        assert found(**same).decisions().items() >= same.items()
    others = [
        found(**other)
        for other in (
            {"kernel_initializer": "glorot_normal"},
            {"kernel_initializer": "glorot_uniform"},
            {"batch_norm_scale": "ones"},
            {"input_scaling": "unit_interval"},
        )
    ]
    assert len({one.trunk(1).key for one in (plain, *others)}) == 5
    assert len({one.config_hash for one in (plain, *others)}) == 5
    assert len({one.name for one in (plain, *others)}) == 5
    assert others[-1].facts.data.input_scaling == "unit_interval"


def test_a_scale_of_batch_norm_that_is_not_there_decides_nothing(study):
    plain, uniform = study(), study(batch_norm_scale="uniform")
    assert uniform.trunk(1).key == plain.trunk(1).key
    assert uniform.config_hash == plain.config_hash
    assert uniform.decisions()["batch_norm_scale"] == "ones"


def test_images_are_scaled_as_the_recipe_says(study, facts):
    """Digits' own way is [0, 1]."""
    assert facts.input_scaling == "unit_interval"
    plain, same, other = (
        study(input_scaling=scaling)
        for scaling in (None, "unit_interval", "standardized")
    )
    assert plain.facts.data == same.facts.data == facts.data
    assert plain.decisions()["input_scaling"] == "unit_interval"
    assert other.facts.data.input_scaling == "standardized"
    assert other.trunk(1).key != plain.trunk(1).key


def test_slots_that_cannot_be_carried_do_not_tell_rows_apart(study):
    plain = {"optimizer": "sgd", "momentum": 0.0}
    fresh, carried = (
        study(**plain, optimizer_state=state) for state in ("fresh", "carried")
    )
    assert fresh.config_hash == carried.config_hash
    assert fresh.config_hash != study(optimizer="sgd", momentum=0.9).config_hash


@pytest.mark.parametrize(
    ("options", "images"),
    [
        ({}, 10_240),
        ({"evaluation_examples": 2_000}, 1_920),
        ({"evaluation_examples": 200}, 1_280),
        ({"evaluation_examples": 40_000}, 10_240),
        # All test images are no limit.
        ({"evaluation_examples": 10_000, "splits": ("test",)}, 10_240),
        ({"evaluation_examples": 200, "reestimation_examples": 10_240}, 10_240),
        ({"reestimation_examples": 10**6}, 49_920),
        ({"reestimation_examples": 0}, 0),
    ],
)
def test_batch_norm_is_reestimated_on_so_many_images(options, images):
    facts = cifar10_facts("resnet20", has_batch_norm=True)
    found = resolve(Config(model="resnet20", **options), facts, Placement())
    lines = instability.plan(found)[:3]
    assert {line.reestimation_examples for line in lines} == {images}
    said = found.decisions()
    assert said["reestimation_examples"] == images
    assert said["splits"] == options.get("splits", ("train", "test"))
    again = dataclasses.replace(found.config, reestimation_examples=images)
    assert resolve(again, facts, Placement()).name == found.name


def test_without_batch_norm_nothing_is_reestimated():
    facts = cifar10_facts("lenet")
    found = resolve(
        Config(model="lenet", reestimation_examples=128), facts, Placement()
    )
    assert instability.plan(found)[0].reestimation_examples == 0


def test_folders_of_different_commands_have_different_names(study):
    names = [
        study(**options).name
        for options in (
            {},
            {"replicates": 2},
            {"data_orders": 2},
            {"rewind_iterations": (0,)},
            {"throughout": True},
            {"training_iterations": 100},
        )
    ]
    assert len(set(names)) == len(names)
    assert all(name.startswith("lenet-digits-standard-") for name in names)


def test_where_nothing_is_rewound_k_decides_nothing(study_of):
    one, other = (study_of(table1, rewind_iterations=(k,)) for k in (0, 8))
    assert "k = " not in one.title
    assert (one.name, one.decisions()) == (other.name, other.decisions())


def test_decisions_hold_resolved_values(study):
    decided = study(training_iterations="2ep", rewind_iterations=("1ep",)).decisions()
    assert decided["training_iterations"] == 48
    assert decided["rewind_iterations"] == (24,)
    assert decided["variant"] == "standard"
    assert decided["dataset"] == "digits"
    assert decided["learning_rate"] == 0.03
    names = {field.name for field in dataclasses.fields(Config)}
    # The stem is part of the model's name by then; for the others nobody asked.
    unasked = {"stem", "replica_batch_size", "precision"}
    assert names - unasked <= decided.keys()


def test_runs_of_a_replicate_differ_in_order_and_share_their_start(study):
    found = study()
    parting = found.trunk_state(1, 50)
    assert parting.keeps_slots
    one, two = (
        found.branch(parting, rewind_iteration=50, replicate=1, data_order=order)
        for order in (1, 2)
    )
    trunk = parting.run
    orders = {run.data_order_seed for run in (trunk, one, two)}
    assert len(orders) == 3
    assert len({run.augmentation_seed for run in (trunk, one, two)}) == 3
    assert one.initial == two.initial == parting
    assert (one.first_iteration, trunk.first_iteration) == (50, 0)


def test_orders_do_not_depend_on_k(study):
    found = study()
    seeds = {
        found.branch(
            found.trunk_state(1, k), rewind_iteration=k, replicate=1, data_order=1
        ).data_order_seed
        for k in (0, 50, 100)
    }
    assert len(seeds) == 1


def test_replicates_share_neither_weights_nor_orders(study):
    found = study()
    trunks = [found.trunk(replicate) for replicate in (1, 2)]
    assert trunks[0].initial != trunks[1].initial
    assert trunks[0].data_order_seed != trunks[1].data_order_seed


def test_threads_make_another_run_where_there_are_several(study):
    usual = study()
    one, four = (
        dataclasses.replace(usual, placement=Placement(threads=threads))
        for threads in (1, 4)
    )
    assert one.trunk(1).key == usual.trunk(1).key != four.trunk(1).key
    assert one.config_hash == usual.config_hash != four.config_hash
    assert "threads" not in one.decisions()
    assert four.decisions()["threads"] == 4


def test_a_precision_makes_another_run_and_is_said_in_one_way(study):
    usual, spelled = study(), study(precision="float32")
    mixed = study(precision="mixed_bfloat16")
    keys = [one.trunk(1).key for one in (usual, spelled, mixed)]
    assert keys[0] == keys[1] != keys[2]
    assert mixed.trunk(1).precision == "mixed_bfloat16"
    assert mixed.columns()["precision"] == "mixed_bfloat16"
    assert usual.columns()["precision"] == "float32"
    assert usual.config_hash == spelled.config_hash != mixed.config_hash
    assert usual.decisions() == spelled.decisions()
    assert "precision" not in usual.decisions()
    assert mixed.decisions()["precision"] == "mixed_bfloat16"


def test_a_network_that_computes_in_bfloat16_by_itself_does_in_nothing_else(
    facts,
):
    def study(**options):
        return resolve(Config(**options), own, Placement())

    own = dataclasses.replace(facts, precision="mixed_bfloat16")
    assert study().trunk(1).precision == "mixed_bfloat16"
    with pytest.raises(ValueError, match="say that they compute in mixed_bfloat16"):
        study(precision="float32")
    with pytest.raises(ValueError, match="--precision='float16' is not known"):
        Config(precision="float16").validate()
