"""Studies, stores and pools small enough for tests."""

import contextlib
import dataclasses
import importlib
import io
import pathlib

import pytest
from rich.console import Console

from tflottery.components.metadata import Facts
from tflottery.components.runs import SLOTS_FILE, State
from tflottery.core.identities import Data, Network
from tflottery.execution.inline import InlinePool
from tflottery.execution.log import Log
from tflottery.execution.plan import plan_of
from tflottery.execution.progress import Progress
from tflottery.execution.worker import WorkerSettings
from tflottery.experiments.instability import Config
from tflottery.store.store import Store
from tflottery.studies.study import Study, resolve
from tflottery.training.distribution import Placement

LENET = Network("lenet", (8, 8, 1), 10)
DIGITS = Data(
    name="digits",
    version="1-8x8x1",
    digest="0",
    image_shape=(8, 8, 1),
    num_train=1437,
    num_test=360,
    num_classes=10,
)
FACTS = Facts(
    network=LENET,
    data=DIGITS,
    num_weights=50_610,
    num_trainable=50_610,
    kernel_shapes={"dense_1/kernel": (64, 300), "dense_2/kernel": (300, 100)},
    flops_per_example=100_000,
    has_batch_norm=False,
    num_devices=1,
)


@pytest.fixture
def facts() -> Facts:
    return FACTS


@pytest.fixture
def make_study():
    """Returns a study of LeNet on digits; options as of the experiment's Config."""

    def make(**options: object) -> Study:
        defaults = {
            "replicates": 1,
            "data_orders": 2,
            "rewind_iterations": (0, 10),
            "training_iterations": 100,
        }
        config = Config(model="lenet", dataset="digits", **(defaults | options))
        return resolve(config, FACTS, Placement())

    return make


@pytest.fixture
def toys(monkeypatch):
    """The components of toy_components.py, which worker processes can import too."""
    monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parent))
    return importlib.import_module("toy_components")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def put(store):
    """Puts artifacts into the store, with files of no meaning."""

    def put_all(*artifacts: object) -> None:
        for artifact in artifacts:
            files = {*artifact.files}
            if isinstance(artifact, State) and artifact.has_slots:
                files.add(SLOTS_FILE)
            with store.writing(artifact.address, {}) as folder:
                for name in sorted(files):
                    (folder / name).write_text(artifact.address)

    return put_all


@dataclasses.dataclass
class Told:
    """What a progress showed."""

    progress: Progress
    screen: io.StringIO

    @property
    def text(self) -> str:
        return self.screen.getvalue()


@pytest.fixture
def told(store):
    """Returns the progress of a plan for goals, and what it printed."""
    with contextlib.ExitStack() as stack:

        def make(goals: list, *, facts: dict | None = None) -> Told:
            screen = io.StringIO()
            console = Console(file=screen, width=300)
            shown = Progress(plan_of(goals, store, facts=facts or {}), log=Log(console))
            return Told(stack.enter_context(shown), screen)

        yield make


@pytest.fixture
def settings(store) -> WorkerSettings:
    return WorkerSettings(
        store=store.root,
        data_dir=None,
        placement=Placement(),
        gpu=None,
        checkpoint_seconds=60.0,
    )


@pytest.fixture
def inline(settings) -> InlinePool:
    return InlinePool(settings)
