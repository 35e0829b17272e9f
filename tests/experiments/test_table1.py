"""Table 1: which networks are in it, what its rows say, several in one command."""

import dataclasses
import json

import pytest

from tflottery.core import tables
from tflottery.core.registry import MODELS
from tflottery.experiments import instability, table1
from tflottery.experiments.table1 import Config, Row
from tflottery.studies import answers, endings
from tflottery.studies.accuracy_table import TrainedNetwork
from tflottery.studies.output import Output

COLUMNS = (
    "model variant dataset task training_iterations config precision "
    "num_parameters "
    "num_weights epochs batch_size optimizer learning_rate momentum weight_decay "
    "milestones decay_factor final_learning_rate warmup pruning pruning_fraction "
    "studied_density num_replicates test_accuracy_mean test_accuracy_std "
    "reported_num_parameters reported_test_accuracy reported_test_accuracy_std"
).split()


def named(config):
    return [(one.model, one.variant) for one in table1.members(config)]


# Which networks.


def test_every_network_of_cifar10_and_mnist_in_all_of_its_variants():
    three = ["standard", "low", "warmup"]
    assert named(Config()) == [
        ("lenet", "standard"),
        *(("resnet20", variant) for variant in three),
        *(("vgg16", variant) for variant in three),
    ]
    datasets = [one.setting.dataset for one in table1.members(Config())]
    assert datasets == ["mnist"] + 6 * ["cifar10"]
    assert named(Config(model="resnet50,inception_v3")) == [
        ("resnet50", "standard"),
        ("inception_v3", "standard"),
    ]


def test_named_networks_and_variants():
    found = named(Config(model="vgg16,resnet20", variant="warmup,low"))
    assert found == [
        ("vgg16", "warmup"),
        ("vgg16", "low"),
        ("resnet20", "warmup"),
        ("resnet20", "low"),
    ]


def test_what_is_named_twice_is_there_once():
    assert named(Config(model="lenet,lenet")) == [("lenet", "standard")]
    config = Config(model="resnet20, resnet20,", variant="low,low")
    assert named(config) == [("resnet20", "low")]


def test_members_keep_every_other_option():
    config = Config(model="lenet,vgg16", dataset="digits", replicates=7, momentum=0.5)
    for one in table1.members(config):
        changed = {"model": one.model, "variant": one.variant}
        assert one == dataclasses.replace(config, **changed)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"model": "lenet,lenet5"}, "no model 'lenet5'. Known: "),
        ({"model": ""}, "--model='' names no network"),
        ({"model": ","}, "--model=',' names no network"),
        ({"model": "lenet", "variant": "low"}, "'lenet' has no variant 'low'"),
        # A variant that one of the networks lacks is not passed over.
        (
            {"model": "resnet20,lenet", "variant": "standard,low"},
            "'lenet' has no variant 'low'. Known: standard",
        ),
        ({"replicates": 0}, "--replicates=0 has to be at least 1"),
    ],
)
def test_wrong_options_are_refused(execute, trainings, tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        execute(table1, **options)
    assert trainings == []
    assert not (tmp_path / "output").exists()


# Rows.


def test_columns():
    assert [field.name for field in dataclasses.fields(Row)] == COLUMNS
    assert table1.TABLES == {"table1": Row, "accuracy": TrainedNetwork}


def test_rows_by_hand(tiny):
    ended = tiny(table1)
    assert ended.code == 0
    networks, table = ended.table("accuracy"), ended.table("table1")
    assert list(table.columns) == COLUMNS
    assert list(networks["replicate"]) == [1, 2]
    assert set(networks["subnetwork"]) == {"dense"}
    [row] = table.to_dict("records")
    assert row["test_accuracy_mean"] == pytest.approx(1 - networks["test_error"].mean())
    assert row["test_accuracy_std"] == pytest.approx(networks["test_error"].std(ddof=1))
    assert row["num_replicates"] == 2
    assert (row["model"], row["dataset"]) == ("lenet", "digits")
    # 64 * 300 + 300 * 100 + 100 * 10 weights and 410 biases.
    assert row["num_parameters"] == 50_200 + 410
    assert (row["batch_size"], row["optimizer"], row["warmup"]) == (60, "adam", 0)
    assert row["learning_rate"] == 25 * 12e-4
    assert row["epochs"] == pytest.approx(24 * 60 / 1437)
    assert (row["pruning"], row["pruning_fraction"]) == ("iterative", 0.2)
    assert row["num_weights"] >= row["num_parameters"]
    assert table[["milestones", "decay_factor"]].isna().all(axis=None)
    # The paper has no digits.
    assert (
        table[["reported_test_accuracy", "reported_test_accuracy_std"]]
        .isna()
        .all(axis=None)
    )


def test_one_replicate_has_no_deviation_and_none_no_mean(execute):
    one = execute(table1, replicates=1).table("table1")
    assert one["test_accuracy_mean"].notna().all()
    assert one["test_accuracy_std"].isna().all()
    diverging = {"optimizer": "sgd", "learning_rate": 1e20}
    ended = execute(table1, replicates=1, output="diverged", **diverging)
    assert ended.code == endings.INCOMPLETE
    [row] = ended.table("table1").to_dict("records")
    assert row["num_replicates"] == 0
    assert ended.table("table1")["test_accuracy_mean"].isna().all()
    assert (ended.table("accuracy")["diverged_iteration"] > 0).all()


@pytest.mark.parametrize(
    ("model", "variant", "accuracy", "deviation", "parameters", "told"),
    [
        ("lenet", "standard", 0.983, 0.001, 266_000, ["constant", "3.5%, iterative"]),
        (
            "resnet20",
            "standard",
            0.917,
            0.001,
            274_000,
            ["sgd 0.1, momentum 0.9", "x0.1 at 32,000 48,000", "16.8%, iterative"],
        ),
        ("resnet20", "low", 0.888, 0.001, 274_000, ["sgd 0.01, momentum 0.9", "8.6%"]),
        (
            "resnet20",
            "warmup",
            0.897,
            0.003,
            274_000,
            ["sgd 0.03", "warmup 30,000, x0.1 at 32,000 48,000", "6.9%"],
        ),
        ("vgg16", "warmup", 0.934, 0.001, 14_700_000, ["warmup 30,000", "1.5%"]),
        ("resnet50", "standard", 0.761, 0.001, 25_500_000, ["30%, one-shot"]),
        (
            "inception_v3",
            "standard",
            0.781,
            0.001,
            27_100_000,
            ["linear to 0.005", "30%, one-shot"],
        ),
        ("resnet56", "early_phase", 0.93, 0.001, 856_000, ["(160 ep)", "x0.1 at"]),
        ("vgg13", "early_phase", 0.935, 0.001, 9_420_000, ["(160 ep)", " 64 "]),
    ],
)
def test_the_numbers_of_the_paper(
    study_of,
    facts,
    model,
    variant,
    accuracy,
    deviation,
    parameters,
    told,
    nothing_found,
    tmp_path,
):
    """The data are said to be the paper's; nothing has been trained."""
    dataset = MODELS[model]["dataset"]
    num_train = 1_281_167 if dataset == "imagenet2012" else 50_000
    data = dataclasses.replace(facts.data, name=dataset, num_train=num_train)
    network = dataclasses.replace(facts.network, model=model)
    of = dataclasses.replace(facts, data=data, network=network)
    options = {"model": model, "variant": variant, "dataset": dataset}
    study = study_of(table1, of=of, training_iterations=None, **options)
    found = table1.rows(study, nothing_found)
    [row] = found["table1"]
    assert row.reported_num_parameters == parameters
    frames = {}
    for name, row_type in table1.TABLES.items():
        tables.write(found[name], tmp_path / "table.csv", row_type=row_type)
        frames[name] = tables.read(tmp_path / "table.csv")
    text = answers.text(table1, frames)
    assert all(part in text for part in told), text
    assert row.reported_test_accuracy == pytest.approx(accuracy)
    assert row.reported_test_accuracy_std == pytest.approx(deviation)
    assert row.test_accuracy_mean is None and row.num_replicates == 0


# Several networks.


@pytest.fixture
def second_model(register):
    """LeNet under another name, with two variants."""
    recipe = MODELS["lenet"]["recipes"]["standard"]
    slow = dataclasses.replace(recipe, learning_rate=6e-4)
    register(
        MODELS,
        "second",
        MODELS["lenet"].function,
        recipes={"standard": recipe, "low": slow},
        dataset="digits",
        minimum_image_size=1,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("second_model")
def test_several_networks_in_one_command(execute, trainings, tiny):
    ended = execute(table1, model="lenet,second", replicates=2)
    assert ended.code == 0
    assert len(trainings) == 3 * 2
    table, networks = ended.table("table1"), ended.table("accuracy")
    assert list(zip(table["model"], table["variant"], strict=True)) == [
        ("lenet", "standard"),
        ("second", "standard"),
        ("second", "low"),
    ]
    assert list(table["learning_rate"]) == [25 * 12e-4, 25 * 12e-4, 25 * 6e-4]
    keys = ["model", "variant", "dataset", "task", "training_iterations", "config"]
    assert not table.duplicated(keys).any()
    assert not networks.duplicated([*keys, "replicate"]).any()
    assert len(networks) == 3 * 2
    # The row of a network is that of its own command.
    alone = tiny(table1)
    assert table[:1].to_csv() == alone.table("table1").to_csv()
    assert networks[:2].to_csv() == alone.table("accuracy").to_csv()
    for text in ("lenet on digits, standard", "second on digits, low"):
        assert text in ended.text
    trainings.clear()
    again = execute(table1, model="lenet,second", replicates=2)
    assert again.csvs == ended.csvs and trainings == []


@pytest.mark.usefixtures("second_model")
def test_a_folder_of_several_networks(execute, trainings):
    options = {"model": "lenet,second", "variant": "standard", "replicates": 1}
    ended = execute(table1, **options)
    said = json.loads((ended.folder / "config.json").read_text())
    assert said["experiment"] == "table1"
    for part in ("decisions", "recipe", "data"):
        names = [name.rsplit("-", 1)[0] for name in said[part]]
        assert names == ["lenet-digits-standard", "second-digits-standard"]
    models = [one["model"] for one in said["decisions"].values()]
    assert models == ["lenet", "second"]
    trainings.clear()
    for other in (
        {"model": "lenet"},
        {"variant": None},
        {"replicates": 2},
        {"training_iterations": 30},
    ):
        with pytest.raises(ValueError, match="holds other results .*Name another"):
            execute(table1, **(options | other))
    with pytest.raises(ValueError, match="'table1' there, 'instability' asked for"):
        execute(instability)
    assert trainings == []
    # The same again is welcome.
    assert execute(table1, **options).csvs == ended.csvs


@pytest.mark.usefixtures("second_model")
def test_the_default_folder_of_several_networks_is_their_own(study_of):
    def folder(*models, **options):
        studies = [study_of(table1, model=model, **options) for model in models]
        return Output(table1, *studies, folder=None).folder

    names = [
        folder("lenet"),
        folder("lenet", "second"),
        folder("lenet", "second", replicates=1),
    ]
    assert len(set(names)) == 3
    assert names[0].name.startswith("lenet-digits-standard-")
    assert names[1].name.startswith("2-networks-")
    assert all(name.parent.name == "table1" for name in names)
