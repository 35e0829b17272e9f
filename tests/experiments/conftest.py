"""Experiments run in this process, with networks that are compiled once for all."""

import dataclasses
import pathlib

import pandas
import pytest

from tflottery import results
from tflottery.components.inspection import Facts, inspect
from tflottery.experiments import instability, session
from tflottery.experiments.instability import Config
from tflottery.experiments.session import Machine
from tflottery.training import trainer
from tflottery.training.distribution import Placement
from tflottery.training.workshop import Workshop


@pytest.fixture(scope="session")
def workshop() -> Workshop:
    return Workshop(data_dir=None, placement=Placement())


@pytest.fixture(scope="session")
def facts(workshop) -> Facts:
    return inspect("lenet", "digits", workshop)


@dataclasses.dataclass
class Ended:
    """How a command ended.

    Attributes:
      code: the exit code.
      text: what it printed.
      folder: its output folder.
    """

    code: int
    text: str
    folder: pathlib.Path

    @property
    def csvs(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.glob("*.csv")}

    def table(self, name: str = "instability") -> pandas.DataFrame:
        return results.load(self.folder, table=name)


@pytest.fixture
def execute(workshop, monkeypatch, tmp_path, capsys):
    """Runs a command in this process; options are those of Config and Machine."""
    monkeypatch.setattr("tflottery.training.workshop.Workshop", lambda **_: workshop)
    # Measuring the machine for the plan's estimate takes a quarter of a tiny command.
    rate = "tflottery.execution.estimate._matrix_product_rate"
    monkeypatch.setattr(rate, lambda: 1e11)
    monkeypatch.chdir(tmp_path)
    names = {field.name for field in dataclasses.fields(Machine)}

    def run(*, output="output", store="store", figure=False, **options) -> Ended:
        if not figure:
            # Drawing takes longer than all the rest; an experiment may do without.
            monkeypatch.delattr(instability, "figure", raising=False)
        folder = tmp_path / output
        machine = {name: options.pop(name) for name in names & options.keys()}
        machine = {
            "executor": "inline",
            "store": str(tmp_path / store),
            "output_dir": str(folder),
        } | machine
        capsys.readouterr()
        code = session.execute(
            instability,
            dataclasses.replace(Config.tiny(), **options),
            machine=Machine(**machine),
        )
        return Ended(code, capsys.readouterr().err, folder)

    return run


@pytest.fixture(scope="session")
def tiny_csvs(workshop, tmp_path_factory) -> dict[str, bytes]:
    """The tables of `Config.tiny()`, made without a break in a store of their own."""
    folder = tmp_path_factory.mktemp("tiny")
    machine = Machine(
        executor="inline", store=f"{folder}/store", output_dir=f"{folder}/output"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tflottery.training.workshop.Workshop", lambda **_: workshop)
        patch.delattr(instability, "figure")
        assert session.execute(instability, Config.tiny(), machine=machine) == 0
    return Ended(0, "", folder / "output").csvs


@pytest.fixture
def trainings(monkeypatch):
    """The (first, last) iterations of every training, in order; grows as they come."""
    found = []
    train = trainer.Trainer.train

    def recorded(self, stream, last, **options):
        first = int(self.optimizer.iterations)
        reached = train(self, stream, last, **options)
        if reached > first:
            found.append((first, reached))
        return reached

    monkeypatch.setattr(trainer.Trainer, "train", recorded)
    return found
