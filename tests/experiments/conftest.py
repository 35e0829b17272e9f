"""Experiments run in this process, with networks that are compiled once for all."""

import contextlib
import dataclasses
import functools
import importlib
import io
import pathlib
import pkgutil
import types

import pandas
import pytest
from rich.console import Console

import tflottery.experiments
from tflottery import results
from tflottery.analysis import interpolation
from tflottery.components import metadata
from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts, inspect
from tflottery.core.recipes import Setting
from tflottery.core.registry import MODELS, PRETEXTS
from tflottery.execution.executor import Executor
from tflottery.execution.inline import InlinePool
from tflottery.execution.log import Log
from tflottery.execution.plan import plan_of
from tflottery.execution.progress import Progress
from tflottery.execution.results_reader import PartialReader
from tflottery.execution.worker import WorkerSettings
from tflottery.experiments import instability
from tflottery.store.store import Store
from tflottery.studies import session
from tflottery.studies.session import Machine
from tflottery.studies.study import Study, resolve
from tflottery.training.distribution import Placement

_NAMES = [found.name for found in pkgutil.iter_modules(tflottery.experiments.__path__)]
_MODULES = [importlib.import_module(f"tflottery.experiments.{name}") for name in _NAMES]
# As many points of a line as tell its ends and its middle apart, in place of 30.
_FEW_ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Measuring the machine for the plan's estimate takes a quarter of a tiny command.
_CORE_RATE = "tflottery.execution.rates.core_rate"
EXPERIMENTS = [module for module in _MODULES if hasattr(module, "TABLES")]


def pytest_generate_tests(metafunc):
    """Runs a test that asks for `every_experiment` with each one there is."""
    if "every_experiment" in metafunc.fixturenames:
        metafunc.parametrize(
            "every_experiment", EXPERIMENTS, ids=lambda module: module.__name__
        )


@pytest.fixture(scope="session")
def experiment_names() -> set[str]:
    return {module.__name__.rsplit(".", 1)[-1] for module in EXPERIMENTS}


@pytest.fixture(scope="session")
def facts(runtime) -> Facts:
    return inspect("lenet", Setting("digits"), runtime)


@pytest.fixture(scope="session")
def study_of(facts, runtime):
    """Returns the study of an experiment: tiny, but for the options given."""

    @functools.cache
    def facts_on(model: str, setting: Setting) -> Facts:
        return inspect(model, setting, runtime)

    def make(module: types.ModuleType, *, of: Facts = facts, **options) -> Study:
        config = dataclasses.replace(module.Config.tiny(), **options)
        related = {
            name: resolve(
                one,
                facts_on(of.network.model, one.setting),
                Placement(),
            )
            for name, one in config.related().items()
        }
        return resolve(config, of, Placement(), related=related)

    return make


@pytest.fixture(scope="session")
def here(runtime):
    """Returns a context in which commands run in this process, with what it has built.

    A network is built once for its facts on some data, which took an eighth of a tiny
    command.
    """
    measured, known = metadata._measured, {}

    def measured_once(model, data, source, runtime):
        parts = [model, MODELS[model].function, data, source.input_scaling]
        parts += [PRETEXTS[data.pretext].function] if data.pretext else []
        key = (*parts, source.is_encoded, runtime)
        if key not in known:
            known[key] = measured(model, data, source, runtime)
        return known[key]

    @contextlib.contextmanager
    def in_this_process():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tflottery.training.runtime.Runtime", lambda **_: runtime)
            patch.setattr(metadata, "_measured", measured_once)
            patch.setattr(_CORE_RATE, lambda: 1e11)
            yield patch

    return in_this_process


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


@dataclasses.dataclass
class EndedForGood(Ended):
    """How a command ended whose tables nobody writes again: each is read once."""

    tables: dict[str, pandas.DataFrame] = dataclasses.field(default_factory=dict)

    def table(self, name: str = "instability") -> pandas.DataFrame:
        if name not in self.tables:
            self.tables[name] = super().table(name)
        return self.tables[name].copy()


@pytest.fixture
def execute(here, monkeypatch, tmp_path, capsys):
    """Runs a command in this process; options are those of Config and Machine.

    The experiment is instability analysis unless another is given.
    """
    monkeypatch.chdir(tmp_path)
    names = {field.name for field in dataclasses.fields(Machine)}

    def run(
        experiment=instability,
        *,
        output="output",
        store="store",
        figure=False,
        all_points=False,
        **options,
    ) -> Ended:
        if not figure:
            # Drawing takes longer than all the rest; an experiment may do without.
            monkeypatch.delattr(experiment, "figure", raising=False)
        folder = tmp_path / output
        machine = {name: options.pop(name) for name in names & options.keys()}
        machine = {
            "executor": "inline",
            "store": str(tmp_path / store),
            "output_dir": str(folder),
        } | machine
        capsys.readouterr()
        with here() as patch:
            if not all_points:
                patch.setattr(interpolation, "ALPHAS", _FEW_ALPHAS)
            code = session.execute(
                experiment,
                dataclasses.replace(experiment.Config.tiny(), **options),
                machine=Machine(**machine),
            )
        return Ended(code, capsys.readouterr().err, folder)

    return run


@pytest.fixture(scope="session")
def tiny(here, tmp_path_factory):
    """Returns how `Config.tiny()` of an experiment ended, made without a break once.

    Each has a store of its own, the folder "store" beside that of the tables.
    """

    @functools.cache
    def run(module: types.ModuleType) -> Ended:
        folder = tmp_path_factory.mktemp("tiny")
        machine = Machine(
            executor="inline", store=f"{folder}/store", output_dir=f"{folder}/output"
        )
        with here() as patch:
            patch.setattr(interpolation, "ALPHAS", _FEW_ALPHAS)
            patch.delattr(module, "figure", raising=False)
            code = session.execute(module, module.Config.tiny(), machine=machine)
        return EndedForGood(code, "", folder / "output")

    return run


@pytest.fixture(scope="session")
def tiny_csvs(tiny) -> dict[str, bytes]:
    """The tables of tiny instability analysis."""
    assert tiny(instability).code == 0
    return tiny(instability).csvs


@pytest.fixture(scope="session")
def make(runtime):
    """Puts artifacts and all they come from into a store; returns the store."""

    def run(goals: list[Artifact], store: Store, *of: Facts) -> Store:
        facts = {one.network: one for one in of}
        settings = WorkerSettings(
            store=store.root,
            data_dir=None,
            placement=Placement(),
            gpu=None,
            checkpoint_seconds=60.0,
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tflottery.training.runtime.Runtime", lambda **_: runtime)
            patch.setattr(interpolation, "ALPHAS", _FEW_ALPHAS)
            log = Log(Console(file=io.StringIO()))
            with Progress(plan_of(goals, store, facts=facts), log=log) as progress:
                executor = Executor(
                    InlinePool(settings), store, facts=facts, progress=progress
                )
                outcome = executor.execute(goals)
        assert not (outcome.failures or outcome.skipped or outcome.unobtainable)
        return store

    return run


@pytest.fixture
def nothing_found(tmp_path) -> PartialReader:
    """What is found in an empty store."""
    return PartialReader(Store(tmp_path / "empty"), unobtainable={})
