"""The report on claims: which tables are asked, what is told, what is refused."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest

import tflottery
from tflottery.core import tables
from tflottery.experiments.effective_noise import NoisePoint
from tflottery.experiments.instability import Row
from tflottery.experiments.pretraining import PretrainedNetwork
from tflottery.experiments.telemetry import Reading
from tflottery.figures.densities import SETTING
from tflottery.reports import claim_tables, claims, claims_overview
from tflottery.studies.line_tables import Pair, Point
from tflottery.studies.sign_table import SignChange

ROOT = pathlib.Path(tflottery.__file__).parents[1]
# What config.json says of a command on Lenet as its recipe has it.
LENET = {
    "decisions": {"model": "lenet", "variant": "standard"},
    "recipe": {"optimizer": "adam", "learning_rate": 0.0012, "batch_size": 60},
}


def row(row_type=Row, *, replicate, **columns):
    """Returns a row of a dense network, or pair of such."""
    keys = {
        "model": "lenet",
        "variant": "standard",
        "dataset": "mnist",
        "task": "labels",
        "training_iterations": 24000,
        "config": "01234567",
        "rewind_iteration": 0,
        "mask": None,
    }
    if row_type is Row:
        keys |= {"data_order_a": 1, "data_order_b": 2, "iteration": 24000}
        keys |= {"network_a": "a", "network_b": "b"}
    else:
        keys |= {"data_order": 0, "network": "a"}
    return row_type(**(keys | columns), replicate=replicate)


@pytest.fixture
def command(tmp_path):
    """The function that writes what a command leaves, and returns its folder."""

    def written(folder, rows, *, table="instability", said=LENET):
        path = tmp_path / folder
        path.mkdir(parents=True, exist_ok=True)
        tables.write(rows, path / f"{table}.csv")
        if said:
            (path / "config.json").write_text(json.dumps(said))
        return str(path)

    return written


def pairs(*instabilities, **columns):
    """Returns a pair a replicate."""
    return [
        row(replicate=at, test_instability=one, **columns)
        for at, one in enumerate(instabilities, start=1)
    ]


def verdict(claim, *sources):
    """Returns the verdicts on one claim, of settings that tables have if there are."""
    told = claims.judge(claim_tables.load(sources)[0])
    own = [one for one in told if one.claim == claim]
    return [one for one in own if one.model] or own


def test_what_the_papers_own_setting_takes_is_told_beside_others(command):
    folder = command("a", pairs(0.002, 0.003, 0.004, dataset="digits"))
    told = claims.judge(claim_tables.load([folder])[0])
    found, missing = (one for one in told if one.claim == "LMC-F2.1")
    assert (found.answer, missing.answer) == ("holds", "not enough data")
    assert missing.command.endswith("--dataset=mnist --rewind_iterations=0")
    # But not to people, beside what there is.
    assert missing.command not in claims.text(told)


def test_a_claim_is_told_with_its_interval(command):
    [found] = verdict("LMC-F2.1", command("a", pairs(0.002, 0.003, 0.004)))
    assert (found.answer, found.about) == ("holds", "the paper's setting")
    assert found.value == pytest.approx(0.3) and found.std == pytest.approx(0.1)
    assert found.interval_low == pytest.approx(0.3 - 4.303 * 0.1 / 3**0.5, abs=1e-4)
    assert found.num_replicates == 3 and found.command == ""


def test_of_the_papers_own_setting_a_claim_is_contradicted(command):
    high = (0.08, 0.09, 0.1)
    [found] = verdict("LMC-F2.1", command("a", pairs(*high)))
    assert found.answer == "contradicted"
    [found] = verdict("LMC-F2.1", command("a", pairs(*high, dataset="digits")))
    assert (found.answer, found.about) == ("fails", "another data set")


def test_other_options_are_not_the_papers(command):
    """Those that the recipe, here Lenet's, says; a hash tells nobody."""
    said = {
        "decisions": {"model": "lenet", "variant": "standard", "subset": None},
        "recipe": {"optimizer": "adam", "learning_rate": 0.1, "batch_size": 60},
    }
    high = pairs(0.08, 0.09, 0.1)
    [found] = verdict("LMC-F2.1", command("a", high, said=said))
    assert (found.answer, found.about) == ("fails", "another learning_rate")
    said["recipe"]["learning_rate"] = 0.0012
    [found] = verdict("LMC-F2.1", command("a", high, said=said))
    assert found.answer == "contradicted"


def test_without_a_config_nobody_knows_whether_a_setting_is_the_papers(command):
    high = pairs(0.08, 0.09, 0.1)
    [found] = verdict("LMC-F2.1", command("a", high, said=None))
    assert (found.answer, found.about[:14]) == ("fails", "another recipe")
    assert "no config.json" in found.about


def test_more_of_the_same_takes_the_same_options(command):
    said = {**LENET, "recipe": LENET["recipe"] | {"learning_rate": 0.1}}
    [found] = verdict("LMC-F2.1", command("a", pairs(0.002), said=said))
    assert found.command == (
        "python -m tflottery.experiments.instability --model=lenet --variant=standard "
        "--dataset=mnist --learning_rate=0.1 --rewind_iterations=0"
    )


def test_more_of_one_split_is_of_the_same_split(command):
    """Rows of both are of another `config`."""
    said = {**LENET, "decisions": LENET["decisions"] | {"splits": ["test"]}}
    folder = command("a", pairs(0.002), said=said)
    [found] = verdict("LMC-F2.1", folder)
    assert found.command.endswith(" --splits=test --rewind_iterations=0")
    # Unless what is missing is the other split.
    [found] = verdict("LMC-F3.4", folder)
    assert found.command.endswith("--dataset=mnist --splits=train,test")


def test_another_task_is_told(command):
    low = pairs(0.002, 0.003, 0.004, task="rotation")
    [found] = verdict("LMC-F2.1", command("a", low))
    assert claims.title(found).startswith("LMC: lenet (standard) on mnist, rotation, ")
    assert found.about == "another task"


def test_the_length_of_a_setting_is_told_unless_it_is_its_recipes(command):
    """Of the first network of the claim it is the recipe's, not of this one."""
    vgg = {"model": "vgg13", "variant": "early_phase", "dataset": "cifar10"}
    readings = [
        Reading(
            **{name: getattr(one, name) for name in (*SETTING, "replicate")},
            iteration=0,
            final_iteration=0,
        )
        for one in pairs(0.1, 0.1, **vgg, training_iterations=62_500)
    ]
    [found] = verdict("EP-F3.13", command("a", readings, table="telemetry"))
    assert " --training_iterations=62500" in found.command


def test_what_the_interval_leaves_open_is_undecided(command):
    [found] = verdict("LMC-F2.1", command("a", pairs(0.001, 0.009, 0.012)))
    assert found.answer == "undecided"


def test_settings_are_asked_one_by_one(command):
    a = command("a", pairs(0.002, 0.003, 0.004))
    b = command("b", pairs(0.08, 0.09, 0.1, config="76543210"))
    found = verdict("LMC-F2.1", a, b)
    assert [one.config for one in found] == ["01234567", "76543210"]
    assert [one.answer for one in found] == ["holds", "contradicted"]


def test_rows_of_two_commands_count_once(command):
    a = command("a", pairs(0.002, 0.003))
    b = command("b", pairs(0.002, 0.003, 0.004))
    [found] = verdict("LMC-F2.1", a, b)
    assert found.num_replicates == 3


def test_networks_made_anew_are_asked_by_themselves(command, capsys):
    """On another kind of processor the same commands have other numbers."""
    a, b = command("a", pairs(0.002, 0.003)), command("b", pairs(0.002, 0.0931))
    c = command("c", pairs(0.002, 0.003, 0.004))
    found = verdict("LMC-F2.1", a, b, c)
    assert "b has some of the same networks" in capsys.readouterr().err
    assert [(one.making, one.tables) for one in found] == [(1, "a, c"), (2, "b")]
    assert [one.num_replicates for one in found] == [3, 2]
    first, second = map(claims.title, found)
    assert second.replace(", making 2", "") == first


def test_telemetry_of_another_final_iteration_is_no_other_making(command, capsys):
    """Distances to the final weights are others, and all else is the same."""
    for final in (2000, 24_000):
        own = [
            Reading(
                **{name: getattr(one, name) for name in (*SETTING, "replicate")},
                subnetwork="dense",
                iteration=10,
                final_iteration=final,
                l2_from_final=0.001 * final,
                fraction_of_signs_changed=0.03,
            )
            for one in pairs(0.1, 0.1, model="resnet20", variant="early_phase")
        ]
        command(f"to_{final}", own, table="telemetry")
    root = os.path.dirname(command("to_2000", own[:0], table="other"))
    [found] = verdict("EP-F3.1", root)
    assert (found.making, found.num_replicates) == (1, 2)
    assert capsys.readouterr().err == ""


def test_commands_join_a_making_that_is_not_the_first(command, capsys):
    first, second = (0.002, 0.003), (0.002, 0.0931)
    a, b = command("a", pairs(*first)), command("b", pairs(*second))
    c = command("c", pairs(*second, 0.004))
    found = verdict("LMC-F2.1", a, b, c)
    assert capsys.readouterr().err.count("making 2.") == 2
    assert [(one.making, one.num_replicates) for one in found] == [(1, 2), (2, 3)]


def test_commands_of_other_settings_are_not_compared(command, monkeypatch):
    """With all that were read before, hundreds of them would take minutes."""
    compared = []
    difference = claim_tables._difference
    monkeypatch.setattr(
        claim_tables,
        "_difference",
        lambda parts: compared.append(len(parts)) or difference(parts),
    )
    folders = [command(f"{n}", pairs(0.1, 0.2, config=f"{n:08x}")) for n in range(4)]
    claim_tables.load(folders)
    # Each with itself.
    assert set(compared) == {1}
    claim_tables.load([*folders, command("more", pairs(0.1, 0.2, config=f"{1:08x}"))])
    assert compared.count(2) == 1


def test_where_no_more_rows_help_no_command_is_told(command):
    [found] = verdict("LMC-F2.1", command("a", pairs(0.002)))
    *told, last = claims.text([found]).splitlines()
    assert last.strip() == found.command
    unasked = dataclasses.replace(found, command="")
    # Of which network the command says else.
    told[-1] += " (lenet, standard, mnist)"
    assert claims.text([unasked]).splitlines() == told


def test_what_is_missing_of_ones_own_networks_is_told_first(command):
    """Before all that was not measured at all."""
    folder = command("a", pairs(0.002, model="my_net"))
    told, _ = claims.tell([folder])
    own, others = told.split("\nNot measured:\n")
    assert own.startswith("Not enough data:") and "no table" not in own
    assert "  LMC-F2.1: 1 replicate" in own and "LMC-F2.1" not in others
    assert others.count("no table") > 20


def test_people_read_it_in_a_terminal(command):
    """And where the numbers come from."""
    low = pairs(0.002, 0.003, 0.004)
    folders = [command(name, low) for name in ("first/of_all", "second/of_all")]
    ticket = {"subnetwork": "imp", "level": 15, "density": 0.035}
    more = pairs(0.1, 0.2, 0.3, axis_density=0.035, **ticket)
    folders.append(command("third", more))
    told = claims.text(claims.judge(claim_tables.load(folders)[0])).splitlines()
    assert told[1] == "  from first/of_all, third"
    commands = [line for line in told if line.startswith("    python")]
    assert max(len(line) for line in told if line not in commands) <= 120
    assert any("LMC-F2.1   the dense network is stable" in line for line in told)


def test_small_numbers_are_told_apart():
    assert claims._numbers(-0.0312, -0.0401, -0.0223) == ["-0.031", "-0.040", "-0.022"]
    assert claims._numbers(2.5, -0.001, 5.0) == ["2.50", "0.00", "5.00"]
    assert claims._numbers(0.0, -1e-9, 1e-9) == ["0.00", "0.00", "0.00"]


def test_means_over_more_replicates_are_no_other_making(command, capsys):
    """Points of Figure 8 are means: of three replicates, and of five."""
    folders = []
    for count in (3, 5):
        own = [
            NoisePoint(
                **{name: getattr(one, name) for name in SETTING},
                level=15,
                density=0.8**15,
                axis_density=0.8**15,
                rewind_iteration=200,
                perturbation="any",
                condition=f"scale={scale}",
                num_replicates=count,
                effective_std=0.1 * scale,
                test_error_mean=0.1 * scale + 0.01 * (scale == 3) + 0.01 * count,
                test_error_std=None,
            )
            for one in pairs(0.1)
            for scale in range(5)
        ]
        folders.append(command(f"{count}_replicates", own, table="points"))
    for sources in (folders, folders[::-1]):
        [found] = verdict("EP-F8.1", *sources)
        assert (found.answer, found.num_replicates) == ("holds", 5)
    assert capsys.readouterr().err == ""


def test_a_table_that_contradicts_itself_is_refused(command):
    folder = command("a", [*pairs(0.002, 0.003), *pairs(0.002, 0.0031)])
    with pytest.raises(ValueError, match="that differ in test_instability: it was put"):
        claim_tables.load([folder])


def test_a_table_without_what_tells_rows_apart_is_refused(command):
    folder = pathlib.Path(command("a", pairs(0.002, 0.003)))
    table = tables.read(folder / "instability.csv").drop(columns="replicate")
    table.to_csv(folder / "instability.csv", index=False)
    with pytest.raises(ValueError, match="lacks the columns replicate"):
        claim_tables.load([str(folder)])


def test_a_word_among_numbers_is_refused(command):
    folder = command("a", pairs(0.002, 0.003))
    path = pathlib.Path(folder, "instability.csv")
    path.write_text(path.read_text().replace("0.003", "oops"))
    with pytest.raises(ValueError, match="'oops' in column test_instability, line 3"):
        claim_tables.load([folder])


def test_a_config_of_another_kind_says_nothing(command):
    folder = command("a", pairs(0.1, 0.1), said={"decisions": "x", "recipe": [1]})
    [found] = verdict("LMC-F2.1", folder)
    assert found.answer == "fails" and "no config.json" in found.about


@pytest.mark.parametrize(
    "changed",
    [
        {"decisions": {"model": ["lenet"], "variant": "standard"}},
        {"decisions": LENET["decisions"] | {"subset": "a third"}},
        {"recipe": {"a": 1}, "data": {"num_train": 60000}},
    ],
)
def test_a_config_that_somebody_changed_stops_no_claims(changed, command):
    """Nor makes it damage of the table."""
    folder = command("a", pairs(0.002, 0.003, 0.004), said=LENET | changed)
    assert verdict("LMC-F2.1", folder)[0].answer in ("holds", "not enough data")


def test_a_claim_at_a_glance_counts_settings(command):
    """In the paper's setting; of its network otherwise; of another network."""
    low, high = (0.002, 0.003, 0.004), (0.08, 0.09, 0.1)
    folders = [
        command("a", pairs(*low)),
        command("b", pairs(*high, config="76543210")),
        command("c", pairs(*high, dataset="digits")),
        command("d", pairs(0.002, model="my_net")),
    ]
    told = claims.judge(claim_tables.load(folders)[0])
    grid = claims_overview.rows(claims_overview.by_paper(told)["LMC"])
    by_claim = {claim: cells for claim, *cells in grid}
    assert by_claim["LMC-F2.1"][1:] == [
        "lenet",
        "a small fraction of a point",
        "1 contradicted, 1 holds",
        "fails",
        "",
    ]
    assert by_claim["LMC-F2.2"][-3:] == ["not enough data", "", ""]
    assert by_claim["LMC-F7.4"][1] == "all"
    assert "## EP: The Early Phase" in claims_overview.markdown(told)


def test_signs_between_several_iterations_are_those_of_several_commands(command):
    own = {
        config: [
            SignChange(
                **{name: getattr(pair, name) for name in (*SETTING, "replicate")},
                subnetwork="dense",
                level=0,
                density=1.0,
                axis_density=1.0,
                rewind_iteration=0,
                mask=None,
                earlier_iteration=earlier,
                later_iteration=later,
                num_weights=100,
                fraction_of_signs_changed=later / 10_000,
            )
            for pair in pairs(0.1, 0.1, config=config)
            for earlier, later in ((0, 500), (0, 2000), (500, 2000))
        ]
        for config in ("01234567", "76543210")
    }
    folders = [command(name, rows, table="sign_changes") for name, rows in own.items()]
    again = command("again", own["01234567"], table="sign_changes")
    assert len(claim_tables.load([*folders, again])[0]["sign_changes"]) == 12


def test_what_is_missing_is_told_with_the_command(command):
    [found] = verdict("LMC-F2.1", command("a", pairs(0.002, dataset="digits")))
    assert found.answer == "not enough data" and "1 replicate" in found.lacking
    assert found.command == (
        "python -m tflottery.experiments.instability --model=lenet --variant=standard "
        "--dataset=digits --rewind_iterations=0"
    )
    [other] = verdict("LMC-F2.2", command("a", pairs(0.002)))
    assert other.model is None and other.lacking.startswith(
        "no table 'interpolation' of resnet20, vgg16"
    )
    assert "--model=resnet20" in other.command


def test_pairs_along_the_training_are_a_table_of_their_own(command):
    own = [*pairs(0.5, 0.5, iteration=12000), *pairs(0.002, 0.003)]
    found, _ = claim_tables.load([command("a", own)])
    assert len(found["instability"]) == 2


def test_lines_between_epochs_are_none_of_those_between_ends(command):
    """Where nothing is learned yet every point of a line is near chance."""
    keys = [field.name for field in dataclasses.fields(Pair)]
    own = [
        Point(
            **{name: getattr(one, name) for name in keys}, alpha=0.5, test_error=error
        )
        for at, error in ((390, 0.9), (24000, 0.5))
        for one in pairs(0.1, 0.1, iteration=at)
    ]
    found, _ = claim_tables.load([command("a", own, table="interpolation")])
    assert found["interpolation"]["test_error"].to_list() == [0.5, 0.5]


def test_of_a_network_that_no_table_has_it_is_said_so(command):
    folder = command("a", pairs(0.002, 0.003))
    [found] = verdict("LMC-F7.1", folder)
    assert found.lacking.startswith("no table 'instability' of resnet20, as the paper")


def test_numbers_of_one_network_are_not_asked_of_others(command):
    """That ResNet-20 reaches 91.5% says nothing of what Lenet should."""
    readings = [
        Reading(
            **{name: getattr(one, name) for name in (*SETTING, "replicate")},
            subnetwork="dense",
            level=0,
            density=1.0,
            axis_density=1.0,
            iteration=24000,
            final_iteration=24000,
            test_error=0.02,
        )
        for one in pairs(0.1, 0.1)
    ]
    folder = command("a", readings, table="telemetry")
    for claim in ("EP-F3.10", "EP-F3.2", "EP-F3.4", "EP-A1.2"):
        [found] = verdict(claim, folder)
        assert found.model is None and found.claimed_of.startswith("resnet")
    [found] = verdict("EP-F3.13", folder)
    assert found.about == "another network"


def test_trainings_that_diverged_are_counted(command):
    lost = row(replicate=3, diverged_iteration=70)
    folder = command("a", [*pairs(0.002, 0.003), lost])
    [found] = verdict("LMC-F2.1", folder)
    assert (found.num_replicates, found.num_diverged) == (2, 1)
    assert "2, 1 row diverged" in claims.tell([folder])[0]
    folder = command("b", [*pairs(0.002), lost])
    [found] = verdict("LMC-F2.1", folder)
    assert found.lacking.endswith("1 row diverged")


def test_pretrained_networks_are_none_of_accuracy():
    own = [
        {**vars(row(PretrainedNetwork, replicate=1, test_error=0.1)), "pretext": text}
        for text in (None, "rotation")
    ]
    import pandas

    parts = dict(claim_tables.named("accuracy", pandas.DataFrame(own)))
    assert len(parts["pretrained"]) == 2 and len(parts["accuracy"]) == 1
    assert "pretext" not in parts["accuracy"]


def test_perturbed_networks_are_none_of_accuracy():
    import pandas

    own = pandas.DataFrame({"perturbation": ["none", "shuffle"], "condition": ["", ""]})
    parts = dict(claim_tables.named("accuracy", own.assign(test_error=[0.1, 0.9])))
    assert parts["perturbed"]["test_error"].to_list() == [0.1, 0.9]
    assert parts["accuracy"].to_dict("list") == {"test_error": [0.1]}


def test_incomplete_tables_are_named(command, capsys):
    claim_tables.load([command("a", pairs(0.1, 0.2), said={"complete": False})])
    assert "a is incomplete" in capsys.readouterr().err


def test_all_is_told_and_saved(command, tmp_path):
    folder = command("a", pairs(0.002, 0.003, 0.004))
    output = os.fspath(tmp_path / "new" / "claims.csv")
    told, _ = claims.tell([folder], output=output)
    assert "\n LMC-F2.1   the dense network is stable" in told
    assert "\n    python -m tflottery.experiments.instability --model=" in told
    assert told.endswith(f"The claims are in {output}")
    saved = tables.read(output)
    own = saved[saved["claim"] == "LMC-F2.1"].iloc[0]
    assert own["answer"] == "holds" and own["config"] == "01234567"


def test_the_short_form_leaves_out_what_no_table_is_about(command, tmp_path):
    folder = command("a", pairs(0.002, 0.003, 0.004))
    output = tmp_path / "claims.md"
    claims.tell([folder], output=os.fspath(output))
    assert output.read_text().splitlines()[4].startswith("| LMC-F2.1 | the dense")
    assert "LMC-F2.2" not in output.read_text()


WRONG = {
    "Name the results: CSV files, folders or patterns": ([], None),
    "No results in .*nothing'": (["nothing"], None),
    "out.png' has to end in .csv or .md": (["a"], "out.png"),
    "No claim is about these tables": (["notes.csv"], None),
    "cannot be written": (["a"], "notes.csv/out.csv"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_refused(text, command, tmp_path):
    command("a", pairs(0.002, 0.003))
    (tmp_path / "notes.csv").write_text("anything\n1\n")
    sources, output = WRONG[text]
    named = [os.fspath(tmp_path / source) for source in sources]
    with pytest.raises((ValueError, OSError), match=text):
        claims.tell(named, output=output and os.fspath(tmp_path / output))
    assert not list(tmp_path.glob("out.*"))


@pytest.mark.slow
def test_the_program_refuses_with_a_line_of_text(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tflottery.reports.claims", "nothing"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: No results in 'nothing'")
    assert done.stderr.count("\n") == 1
