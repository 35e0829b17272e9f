"""`python -m tflottery`: the programs there are, and running one of them."""

import runpy
import subprocess
import sys

import pytest

import tflottery
import tflottery.__main__ as programs
from tflottery.experiments import instability, label_agnostic
from tflottery.studies import manual, program
from tflottery.studies.session import Machine

pytestmark = pytest.mark.usefixtures("signals_as_before")


def _told(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["tflottery", *arguments])
    programs.main()
    return capsys.readouterr().out


def test_every_program_has_a_line(monkeypatch, capsys):
    text = _told(monkeypatch, capsys)
    for heading, name in (("Experiments", "instability"), ("Reports", "pretexts")):
        assert f"{heading}:" in text and f"\n  {name} " in text
    # It is started by others.
    assert "tfds_reader" not in text
    found = programs.programs()
    assert len(found["Experiments"]) >= 7
    assert all(line.endswith((".", ")")) for line in found["Experiments"].values())
    assert _told(monkeypatch, capsys, "--help") == text


def test_signals_are_handled_before_any_library_is_imported():
    code = "import sys, tflottery.__main__; print('absl' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_an_unknown_program_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tflottery", "lotery"])
    with pytest.raises(SystemExit) as ended:
        programs.main()
    assert ended.value.code == programs.WRONG_INPUT
    assert "no program 'lotery'. Known: " in capsys.readouterr().err


def test_a_program_runs_as_by_itself(monkeypatch):
    ran = []
    monkeypatch.setattr(runpy, "run_module", lambda *a, **k: ran.append((a, k)))
    monkeypatch.setattr(sys, "argv", ["tflottery", "lottery", "--dry_run"])
    programs.main()
    assert ran == [
        (
            ("tflottery.experiments.lottery",),
            {"run_name": "__main__", "alter_sys": True},
        )
    ]
    assert sys.argv == ["tflottery", "--dry_run"]


def test_help_is_no_error():
    done = subprocess.run(
        [sys.executable, "-m", "tflottery", "lottery", "--help", "--model=vgg16"],
        capture_output=True,
        text=True,
        check=True,
    )
    headings = ("What is trained:", "Pruning:", "Measuring:", "Machine:", "Models:")
    assert all(f"\n{heading}\n" in done.stdout for heading in headings)
    variants = "standard, low, warmup, limited_supervision"
    assert f"Recipe of vgg16 (variants {variants};" in done.stdout
    assert "batch_size=128, training_iterations=63000" in done.stdout


def test_help_says_where_a_model_has_no_recipe():
    asked = ["program", "--model=resnet18", "--dataset=imagenet2012"]
    told = manual.text(label_agnostic, Machine, asked)
    last = " ".join(told.rsplit("\n\n", 1)[-1].split())
    assert last.startswith("Recipe of resnet18 (variants early_phase, limited_superv")
    assert "no recipe for model 'resnet18' on 'imagenet2012' with" in last


def test_help_names_a_model_or_variant_that_is_not_there():
    for asked, told in (
        (["--model", "lenett"], "There is no model 'lenett'"),
        (["--model", "vgg16", "--variant=lowe"], "'vgg16' has no variant 'lowe'. "),
        (["--model", "resnet20", "--help"], "Recipe of resnet20 (variants standard,"),
    ):
        assert told in manual.text(instability, Machine, ["program", *asked])


def test_help_refuses_plugins_that_are_not_there(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["program", "--help", "--plugins=nowhere"])
    with pytest.raises(SystemExit) as ended:
        program.run("tflottery.experiments.lottery")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: --plugins names 'nowhere', and")


def test_an_option_is_told_under_the_heading_it_has_elsewhere():
    told = manual.text(instability, Machine, [])
    groups = dict(part.split(":\n", 1) for part in told.split("\n\n") if ":\n" in part)
    # Instability says more of it than other experiments.
    assert "--splits" in groups["Measuring"]
    assert "--splits" not in groups["What is trained"]


def test_notebooks_complete_what_the_package_has():
    assert {"find_ticket", "mask", "run", "results"} <= {*dir(tflottery)}
    assert all(getattr(tflottery, name) for name in dir(tflottery))


def test_a_reader_that_leaves_early_is_no_error():
    piped = subprocess.Popen(
        [sys.executable, "-m", "tflottery"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    piped.stdout.close()
    assert (piped.stderr.read(), piped.wait()) == ("", 0)
    piped.stderr.close()
