"""One figure of the tables of several commands, and the program around it."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pandas
import pytest
from matplotlib import image as pictures

import tflottery
from tflottery.core import tables
from tflottery.experiments import instability, label_agnostic, lottery
from tflottery.experiments.instability import Point, Row
from tflottery.figures import lines, merging
from tflottery.figures.densities import SETTING
from tflottery.reports import figure
from tflottery.studies.ticket_tables import EvaluatedTicket

ROOT = pathlib.Path(tflottery.__file__).parents[1]


def rows(kind, *, instabilities, config="01234567", level=8, **more_keys):
    """Returns rows of both tables: a pair a k, at 0, 100, ..."""
    level = 0 if kind == "dense" else level
    pairs, points = [], []
    for index, height in enumerate(instabilities):
        keys = {
            "model": "resnet20",
            "variant": "low",
            "dataset": "cifar10",
            "task": "labels",
            "training_iterations": 63000,
            "config": config,
            "subnetwork": kind,
            "level": level,
            "density": 0.8**level,
            "axis_density": 0.8**level,
            "replicate": 1,
            "data_order_a": 1,
            "data_order_b": 2,
            "rewind_iteration": 100 * index,
            "iteration": 63000,
            "network_a": f"runs/{kind}/a{config}",
            "network_b": f"runs/{kind}/b{config}",
            "mask": None,
        } | more_keys
        ends = {f"test_error_{end}": 0.1 for end in "ab"}
        more = {"dense_test_error": 0.09} if level else {}
        pair = {"test_instability": height, "l2_distance": 5.0, **ends, **more}
        pairs.append(Row(**keys, **pair))
        points += [
            Point(**keys, alpha=alpha, test_error=0.1 + height * (alpha == 0.5))
            for alpha in (0.0, 0.5, 1.0)
        ]
    return {"instability": pairs, "interpolation": points}


@pytest.fixture
def command(tmp_path):
    """The function that writes what a command leaves, and returns its folder."""

    def written(name, found, *, said=None):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for table, own in found.items():
            row_type = instability.TABLES[table]
            tables.write(own, folder / f"{table}.csv", row_type=row_type)
        if said is not None:
            (folder / "config.json").write_text(json.dumps(said))
        return str(folder)

    return written


def load(*sources):
    found, damaged = figure.load(instability, sources)
    assert not damaged
    return found


def panel(found, title):
    drawn = instability.figure(found)
    [axes] = [one for one in drawn.axes if one.get_title() == title]
    return axes


def by_label(axes):
    """Returns the heights of a panel's lines by what the legend calls them."""
    named = [one for one in axes.lines if not one.get_label().startswith("_")]
    return {one.get_label(): list(one.get_ydata()) for one in named}


def test_tables_of_several_commands_share_their_panels(command):
    sources = [
        command("dense", rows("dense", instabilities=(0.8, 0.2))),
        command("imp", rows("imp", instabilities=(0.3, 0.1), config="76543210")),
        command("random", rows("random_pruning", instabilities=(0.7, 0.6))),
    ]
    axes = panel(load(*sources), "Instability")
    found = by_label(axes)
    assert found["unpruned"] == pytest.approx([80, 20])
    assert found["IMP"] == pytest.approx([30, 10])
    assert found["random pruning"] == pytest.approx([70, 60])
    red = [one for one in axes.lines if one.get_color() == lines.UNPRUNED_COLOR]
    assert red[0].get_label() == "unpruned"


def test_a_file_stands_for_those_beside_it_and_a_folder_for_those_below(command):
    inside = command("all/imp", rows("imp", instabilities=(0.3,)))
    command("all/random", rows("random_pruning", instabilities=(0.7,)))
    (pathlib.Path(inside) / "notes.csv").write_text("anything\n1\n")
    by_file = load(f"{inside}/instability.csv")
    assert len(by_file["instability"]) == 1 and len(by_file["interpolation"]) == 3
    below = load(os.path.dirname(inside))
    assert set(below["instability"]["subnetwork"]) == {"imp", "random_pruning"}
    assert len(below["interpolation"]) == 6


def test_a_single_file_of_any_name_is_the_first_table(command, tmp_path):
    folder = pathlib.Path(command("out", rows("imp", instabilities=(0.3, 0.1))))
    (folder / "instability.csv").rename(tmp_path / "A.csv")
    found = load(str(tmp_path / "A.csv"))
    assert len(found["instability"]) == 2 and not len(found["interpolation"])
    assert by_label(panel(found, "Instability"))["test"] == pytest.approx([30, 10])


def test_rows_that_commands_share_count_once(command):
    one = command("one", rows("imp", instabilities=(0.3, 0.1)))
    more = rows("imp", instabilities=(0.3, 0.1, 0.0), config="76543210")
    # A command that says more of its data has the same rows.
    other = command("other", more, said={"data": {"num_classes": 10}})
    found = load(one, other)
    assert len(found["instability"]) == 3 and len(found["interpolation"]) == 9
    assert found["instability"]["config"].nunique() == 1


def test_other_values_of_the_same_network_keep_panels_of_their_own(command):
    one = command("one", rows("imp", instabilities=(0.3,)))
    other = command("other", rows("imp", instabilities=(0.4,), config="76543210"))
    found = load(one, other)
    assert list(found["instability"]["config"]) == ["01234567", "76543210"]
    assert len(instability.figure(found).subfigs) == 2


def test_what_was_trained_in_other_precisions_has_panels_of_its_own(command):
    one = command("one", rows("dense", instabilities=(0.4,)))
    more = {"config": "76543210", "precision": "mixed_bfloat16"}
    other = command("other", rows("imp", instabilities=(0.3,), **more))
    found = load(one, other)
    assert list(found["instability"]["config"]) == ["01234567", "76543210"]
    assert len(instability.figure(found).subfigs) == 2


def test_random_kinds_of_other_values_are_told_apart_by_their_command(command):
    dense = rows("dense", instabilities=(0.8, 0.2))
    one = rows("random_pruning", instabilities=(0.7, 0.6))
    other = rows("random_pruning", instabilities=(0.5, 0.4), config="76543210")
    for table, own in dense.items():
        one[table] += own
    found = load(command("per_layer", one), command("global", other))
    heights = by_label(panel(found, "Instability"))
    assert heights["random pruning"] == pytest.approx([70, 60])
    assert heights["random pruning (global)"] == pytest.approx([50, 40])
    assert heights["unpruned"] == pytest.approx([80, 20])


@pytest.fixture
def ticket_command(tmp_path):
    """The function that writes what a command on tickets leaves; returns its folder."""
    network = EvaluatedTicket(
        model="vgg19",
        variant="limited_supervision",
        dataset="cifar10",
        task="labels",
        training_iterations=15625,
        config="",
        replicate=1,
        rewind_iteration=0,
        data_order=0,
        network="",
        mask=None,
        test_error=0.1,
    )

    def written(name, errors, *, kind="imp", replicates=1, **columns):
        """`errors` are of a search, or None for what is random, and part of data."""
        ours = [
            dataclasses.replace(
                network, config=name * 8, replicate=replicate, network=f"runs/{name}"
            )
            for replicate in range(1, replicates + 1)
        ]
        found = list(ours)
        for (search, subset), error in errors.items():
            if search is not None:
                columns |= {"ticket_task": "labels", "ticket_dataset": "cifar10"}
            found += [
                dataclasses.replace(
                    one,
                    subnetwork=kind if search else "random_pruning",
                    level=1,
                    density=0.8,
                    axis_density=0.8,
                    data_order=1,
                    # Of other errors, other networks.
                    network=f"runs/{error}-{one.replicate}",
                    test_error=error,
                    # It compares with all replicates of the command.
                    matching=bool(replicates % 2),
                    search=search,
                    ticket_subset=subset,
                    **columns,
                )
                for one in ours
            ]
        folder = tmp_path / name
        folder.mkdir()
        tables.write(found, folder / "accuracy.csv", row_type=EvaluatedTicket)
        return str(folder)

    return written


def test_tickets_of_several_commands_are_lines_of_one_panel(ticket_command):
    """Of other searches, and of other numbers of replicates."""
    one = {("labels", None): 0.1, ("rotation", None): 0.2, (None, None): 0.5}
    other = {("labels", None): 0.1, ("images:0.3", "images:0.3"): 0.3}
    sources = [
        ticket_command("a", one, replicates=2),
        ticket_command("b", other, replicates=3),
        ticket_command("c", {("labels", None): 0.4}, kind="random_reinit"),
    ]
    found, _ = figure.load(label_agnostic, sources)
    assert set(found["accuracy"]["config"]) == {"a" * 8}
    drawn = label_agnostic.figure(found)
    [axes] = drawn.axes
    heights = {
        container.get_label(): container.lines[0].get_ydata()
        for container in axes.containers
        if not container.get_label().startswith("_")
    }
    assert list(heights) == [
        *("labels", "labels, reinitialized", "rotation", "images:0.3"),
        "random pruning",
    ]
    shown = [float(height[0]) for height in heights.values()]
    assert shown == pytest.approx([90, 60, 80, 70, 50])
    counts = found["accuracy"]["search"].value_counts().to_dict()
    assert counts == {"labels": 4, "rotation": 2, "images:0.3": 3}


def test_a_search_of_other_names_is_a_line_by_the_first(ticket_command):
    sources = [
        ticket_command("a", {("labels", None): 0.1, ("rotation", None): 0.2}),
        # As commands on transfer and on semi-supervised learning call them.
        ticket_command("b", {("cifar10", None): 0.1, ("mnist", None): 0.3}),
        ticket_command("c", {("label_agnostic", None): 0.2, ("low", None): 0.4}),
    ]
    found = figure.load(label_agnostic, sources)[0]["accuracy"]
    searches = ["labels", "rotation", "mnist", "low"]
    assert list(found["search"].dropna()) == searches


def test_tables_without_searches_are_merged_beside(ticket_command):
    """Such as what tickets are reset to."""
    commands = {}
    for name in "ab":
        folder = ticket_command(name, {("labels", None): 0.1})
        table = tables.read(f"{folder}/accuracy.csv")
        other = table[[*SETTING, "rewind_iteration"]][-1:]
        commands[name] = {"accuracy": table, "other": other}
    found = merging.merged(commands, first="accuracy")
    assert [len(table) for table in found.values()] == [2, 1]


def test_parts_of_a_network_that_are_pruned_are_told_apart(ticket_command):
    sources = [
        ticket_command("a", {("labels", None): 0.1}),
        ticket_command("b", {("labels", None): 0.2}, first_convolutions=3),
        ticket_command("c", {("labels", None): 0.3}, first_convolutions=5),
    ]
    drawn = label_agnostic.figure(figure.load(label_agnostic, sources)[0])
    assert [axes.get_title() for axes in drawn.axes] == [
        *("first 3 convolutions pruned", "first 5 convolutions pruned"),
        "all layers pruned",
    ]


def test_tickets_of_one_name_with_other_values_keep_panels_of_their_own(
    ticket_command,
):
    sources = [
        ticket_command("a", {("labels", None): 0.1}),
        ticket_command("b", {("labels", None): 0.2}),
    ]
    drawn = label_agnostic.figure(figure.load(label_agnostic, sources)[0])
    assert len(drawn.subfigs) == 2


def test_what_config_json_says_is_drawn(command):
    said = {
        "complete": False,
        "data": {"num_classes": 10, "num_train": 50_000},
        "recipe": {"batch_size": 128},
    }
    found = load(command("a", rows("dense", instabilities=(0.8,)), said=said))
    assert set(found["interpolation"]["num_classes"]) == {10}
    assert set(found["instability"]["epoch_iterations"]) == {50_000 / 128}
    title = "Test error along the line"
    assert by_label(panel(found, title))["chance"] == pytest.approx([90, 90])


def test_incomplete_tables_are_named(command, capsys):
    folder = command("a", rows("imp", instabilities=(0.3,)), said={"complete": False})
    load(folder)
    told = capsys.readouterr().err
    assert "a/instability.csv is incomplete" in told


def test_tables_of_earlier_versions_lack_columns(command):
    """Those with a default, and where networks lie."""
    folder = command("old", rows("dense", instabilities=(0.8,)))
    path = f"{folder}/instability.csv"
    table = pandas.read_csv(path)
    lost = ["network_a", "network_b", "mask", "task", "dense_test_error", "matching"]
    table.drop(columns=lost).to_csv(path, index=False)
    new = command("new", rows("imp", instabilities=(0.3,)))
    found = load(folder, new)
    assert by_label(panel(found, "Instability"))["unpruned"] == pytest.approx([80])
    assert set(found["instability"]) >= {one.name for one in dataclasses.fields(Row)}


def test_every_kind_is_an_experiment_with_a_figure():
    kinds = figure.kinds()
    assert {"instability", "lottery", "telemetry", "effective_noise"} <= kinds.keys()
    assert "table1" not in kinds


WRONG = {
    "There is no figure 'lotery'. Known: .*lottery": ("lotery", "a", "out.png"),
    "out.jpg' has to end in .png": ("instability", "a", "out.jpg"),
    "no such": ("instability", "nothing", "out.png"),
    "a/instability.csv' is not a table of this experiment: it lacks .*data_order": (
        "lottery",
        "a/instability.csv",
        "out.png",
    ),
    "No table of lottery in .*expected accuracy.csv, best.csv": (
        "lottery",
        "a",
        "out.png",
    ),
    "no rows of instability.csv in .*empty, of which instability is drawn": (
        "instability",
        "empty",
        "out.png",
    ),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_refused(text, command, tmp_path):
    command("a", rows("imp", instabilities=(0.3,)))
    command("empty", {"instability": [], "interpolation": []})
    kind, source, output = WRONG[text]
    expected = "nothing of that name" if text == "no such" else text
    with pytest.raises((ValueError, OSError), match=expected):
        figure.save(kind, [str(tmp_path / source)], output=str(tmp_path / output))
    assert not list(tmp_path.glob("out.*"))


def test_lottery_tables_share_dense_networks(tmp_path):
    """Two commands with the same dense networks, under other configs."""
    keys = {
        "model": "lenet",
        "variant": "standard",
        "dataset": "mnist",
        "task": "labels",
        "training_iterations": 24000,
        "replicate": 1,
        "rewind_iteration": 0,
        "data_order": 0,
        "network": "runs/a",
        "mask": None,
    }
    made = lottery.TABLES["accuracy"]
    sources = []
    for name, kind in (("1", "imp"), ("2", "random_pruning")):
        sparse = {"subnetwork": kind, "level": 1, "density": 0.8, "axis_density": 0.8}
        own = [
            made(**keys, config=name, test_error=0.02),
            made(**keys, **sparse, config=name, test_error=0.03),
        ]
        (tmp_path / name).mkdir()
        tables.write(own, tmp_path / name / "accuracy.csv")
        sources.append(str(tmp_path / name))
    found, _ = figure.load(lottery, sources)
    assert list(found["accuracy"]["subnetwork"]) == ["dense", "imp", "random_pruning"]
    assert not len(found["best"])
    [axes] = lottery.figure(found).axes
    labels = [container.get_label() for container in axes.containers]
    assert labels == ["IMP, k = 0", "random pruning, k = 0"]


def run(*arguments, folder):
    """Returns how the program ended."""
    return subprocess.run(
        [sys.executable, "-m", "tflottery.reports.figure", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
def test_the_program_saves_and_says_where(command, tmp_path):
    command("a", rows("dense", instabilities=(0.8, 0.3)))
    command("b", rows("imp", instabilities=(0.4, 0.1)))
    done = run("instability", "a", "b", "--output=new/both.png", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The figure is in new/both.png\n"
    image = pictures.imread(tmp_path / "new" / "both.png")
    assert image.shape[1] > image.shape[0] > 600 and np.std(image) > 0.01


@pytest.mark.slow
def test_wrong_arguments_are_refused_with_a_line_of_text(tmp_path):
    done = run("instability", folder=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "Name a figure and its tables: effective_noise |" in done.stderr
