"""Commands of a list carried out as one: what each has, and what they share."""

import json
import os
import signal
import time
import types

import pytest

from tflottery.core import stopping
from tflottery.execution.executor import Executor
from tflottery.experiments import instability, lottery
from tflottery.plan import commands, joint_session
from tflottery.store.store import Store
from tflottery.studies import endings, program, session
from tflottery.studies.machine import Machine
from tflottery.training.trainer import Trainer

_SMALL = (
    "--model=lenet --dataset=digits --replicates=1 --rewind_iterations=0,8 "
    "--training_iterations=24 --evaluation_examples=32"
)
_INSTABILITY = f"instability {_SMALL} --data_orders=2 --reestimation_examples=0"
_LOTTERY = f"lottery {_SMALL} --levels=1 --subnetworks=imp"
_GONE = "lottery --model=lenet --dataset=npz:gone.npz"


@pytest.fixture
def carry_out(here, monkeypatch, tmp_path):
    """Carries out a list in this process; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(joint_session, "_LOOK_SECONDS", 0.02)
    for module in (instability, lottery):
        monkeypatch.delattr(module, "figure")

    def run(*lines, **options):
        machine = Machine(
            executor="inline", store="store", output_dir="output", **options
        )
        with here():
            asked = [commands.parsed(line) for line in lines]
            return joint_session.execute(asked, machine, command="python the list")

    return run


@pytest.fixture
def alone(here, tmp_path):
    """Returns the tables that a command makes by itself, by experiment and name."""

    def run(line):
        name, *arguments = line.split()
        module = program.experiment(name)
        config, _ = program.options_of(module, arguments)
        folder = tmp_path / f"alone-{name}"
        machine = Machine(
            executor="inline", store=f"{folder}/store", output_dir=f"{folder}/output"
        )
        with here():
            assert session.execute(module, config, machine=machine) == 0
        return {
            f"{name}/{path.name}": path.read_bytes()
            for path in (folder / "output").glob("*.csv")
        }

    return run


def tables(tmp_path):
    found = (tmp_path / "output").glob("*/*/*.csv")
    return {f"{path.parts[-3]}/{path.name}": path.read_bytes() for path in found}


def test_each_command_has_its_tables_and_runs_are_trained_once(
    carry_out, alone, tmp_path, trainings, capsys
):
    code = carry_out(_INSTABILITY, _GONE, _LOTTERY, _LOTTERY)
    assert code == endings.INCOMPLETE
    told = capsys.readouterr().err
    # What is refused is told before anything trains, and again in the end.
    before, _, after = told.partition("2 commands as one plan")
    assert f"error: {_GONE}: " in before and "gone.npz" in before
    assert "1 of 3 commands are not done" in after and f"  {_GONE}: refused" in after
    # Copies from both k, the trunk to its end, and level 1 from both.
    num_updates = 2 * (24 + 16) + 24 + (24 + 16)
    assert sum(last - first for first, last in trainings) == num_updates
    store = Store(tmp_path / "store")
    runs = {address.split("/")[1] for address in store.addresses("runs")}
    assert len(runs) == 4 + 1 + 2
    trainings.clear()
    assert tables(tmp_path) == alone(_INSTABILITY) | alone(_LOTTERY)
    assert sum(last - first for first, last in trainings) == num_updates + 8
    for folder in (tmp_path / "output").glob("*/*"):
        assert json.loads((folder / "config.json").read_text())["complete"]
        log = (folder / "log.txt").read_text()
        assert "  python the list\n" in log
        assert f"Results are in {folder.relative_to(tmp_path)}" in log
        assert not (folder / ".running").exists()


@pytest.mark.slow
def test_tables_are_there_before_other_commands_are_done(
    carry_out, monkeypatch, tmp_path
):
    longer = _LOTTERY.replace("--levels=1", "--levels=1-3")
    whole = []

    def executed(self, *arguments):
        result = conclude(self, *arguments)
        store = Store(tmp_path / "store")
        num_states = len(store.addresses("runs"))
        configs = list((tmp_path / "output").glob("instability/*/config.json"))
        settled = all(map(self.is_settled, goals)) if goals else False
        if settled and not whole:
            # Another thread writes them now, while this one is at the lottery's jobs.
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and not whole:
                if json.loads(configs[0].read_text())["complete"]:
                    whole.append(num_states)
                time.sleep(0.02)
        return result

    goals = []
    prepared = joint_session.prepared_commands

    def noted(*arguments, **options):
        found, refused = prepared(*arguments, **options)
        goals.extend(goal.address for goal in found[0].goals)
        return found, refused

    conclude = Executor._conclude
    monkeypatch.setattr(Executor, "_conclude", executed)
    monkeypatch.setattr(joint_session, "prepared_commands", noted)
    assert carry_out(_INSTABILITY, longer) == 0
    assert whole and whole[0] < len(Store(tmp_path / "store").addresses("runs"))


@pytest.mark.slow
@pytest.mark.usefixtures("signals_as_before")
def test_a_stopped_list_goes_on(carry_out, alone, tmp_path, trainings, monkeypatch):
    trained = Trainer.train

    def interrupted(self, *arguments, **options):
        if len(trainings) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return trained(self, *arguments, **options)

    monkeypatch.setattr(Trainer, "train", interrupted)
    assert carry_out(_INSTABILITY, _LOTTERY) == stopping.INTERRUPTED
    monkeypatch.setattr(Trainer, "train", trained)
    done = sum(last - first for first, last in trainings)
    assert 0 < done < 144
    trainings.clear()
    assert carry_out(_INSTABILITY, _LOTTERY) == 0
    assert sum(last - first for first, last in trainings) == 144 - done
    assert tables(tmp_path) == alone(_INSTABILITY) | alone(_LOTTERY)
    trainings.clear()
    assert carry_out(_INSTABILITY, _LOTTERY) == 0
    assert trainings == []


def test_what_failed_is_named_beside_what_was_refused(carry_out, monkeypatch, capsys):
    def failing(*_, **__):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(Trainer, "train", failing)
    assert carry_out(_INSTABILITY, _GONE) == endings.INCOMPLETE
    told = capsys.readouterr().err
    assert "no such luck" in told
    _, _, last = told.partition("2 of 2 commands are not done:")
    assert f"  {_INSTABILITY}: of " in last and f"  {_GONE}: refused: " in last


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_no_matter_of_others(
    carry_out, tmp_path, trainings, capsys
):
    (tmp_path / "taken").touch()
    line = f"{_LOTTERY} --output_dir=taken/inside"
    assert carry_out(_INSTABILITY, line) == endings.INCOMPLETE
    # Nothing was trained for it, the trunk to its end for one.
    assert sum(last - first for first, last in trainings) == 8 + 2 * (24 + 16)
    assert {name.split("/")[0] for name in tables(tmp_path)} == {"instability"}
    told = capsys.readouterr().err
    assert told.count("--output_dir='taken/inside' cannot be written") == 2
    assert f"  {line}: refused: " in told.partition("1 of 2 commands are not done")[2]
    with pytest.raises(ValueError, match="No command is left"):
        carry_out(line)


@pytest.mark.slow
@pytest.mark.parametrize("function", ["rows", "figure"])
def test_code_of_a_command_that_fails_is_no_matter_of_others(
    carry_out, monkeypatch, tmp_path, capsys, function
):
    def failing(*_):
        raise KeyError("not_there")

    monkeypatch.setattr(instability, function, failing, raising=False)
    assert carry_out(_INSTABILITY, _LOTTERY) == endings.INCOMPLETE
    (config,) = (tmp_path / "output/lottery").glob("*/config.json")
    assert json.loads(config.read_text())["complete"]
    told = capsys.readouterr().err
    assert told.count(f"error: {_INSTABILITY}: KeyError: 'not_there' (see ") == 1
    last = told.partition("1 of 2 commands are not done:")[2]
    assert f"  {_INSTABILITY}: KeyError: 'not_there'" in last
    (log,) = (tmp_path / "output/instability").glob("*/log.txt")
    assert "Traceback" in log.read_text() and "in failing" in log.read_text()


def test_a_stop_waits_for_no_figure():
    looks, done = iter([False, True]), []
    one = types.SimpleNamespace(
        tabulation=types.SimpleNamespace(
            update=lambda *_, **__: done.append("tables"),
        ),
        show_if_whole=lambda: done.append("figure"),
        is_finished=False,
    )
    joint_session._write_whole(one, {}, stopping=lambda: next(looks))
    assert done == ["tables"]


@pytest.mark.slow
def test_what_is_lost_when_tables_are_made_is_made_again(
    carry_out, tmp_path, trainings, capsys
):
    assert carry_out(_INSTABILITY, _LOTTERY) == 0
    before = tables(tmp_path)
    trainings.clear()
    # As large as before, so that it shows when it is read.
    damaged = 0
    for path in (tmp_path / "store/accuracies").glob("*/*.json"):
        if path.name != "manifest.json":
            path.write_bytes(b"{" + path.read_bytes()[:-1])
            damaged += 1
    assert damaged
    assert carry_out(_INSTABILITY, _LOTTERY) == 0
    assert tables(tmp_path) == before
    assert "is damaged" in capsys.readouterr().err
    assert trainings == []


def test_no_command_is_left(carry_out, tmp_path):
    with pytest.raises(ValueError, match="No command is left"):
        carry_out(_GONE)
    assert not (tmp_path / "store").exists()


def test_a_folder_holds_the_results_of_one_command(carry_out, trainings):
    lines = [f"{one} --output_dir=mine" for one in (_INSTABILITY, _LOTTERY)]
    with pytest.raises(ValueError, match="have one output folder, 'mine'"):
        carry_out(*lines)
    assert trainings == []


def test_a_dry_run_writes_nothing(carry_out, tmp_path, capsys):
    assert carry_out(_INSTABILITY, _LOTTERY, dry_run=True) == 0
    assert "144 to make" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
