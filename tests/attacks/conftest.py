"""A finished store, cache and output folder that took no training, and sandboxes."""

import pathlib

import pytest

from benchmarks.attacks import reference as references
from benchmarks.attacks import stored
from benchmarks.attacks.reference import EMPTY, FINISHED, MEASURING, TRAINING, Reference
from benchmarks.attacks.sandbox import Sandbox, Workload
from tflottery.store.store import Store

ADDRESSES = (
    "accuracies/a",
    "accuracies/b",
    "lines/c",
    "runs/d/00000040",
    "runs/d/00000120",
)


@pytest.fixture
def made_up(tmp_path) -> Reference:
    """A reference of a command that nobody ran."""
    folder = tmp_path / "reference"
    store = Store(folder / FINISHED)
    for address in ADDRESSES:
        with store.writing(address, {}) as draft:
            (draft / "value.json").write_text(f'"{address}"')
    (folder / "cache" / "digits-1").mkdir(parents=True)
    (folder / "cache" / "digits-1" / "images.npy").write_bytes(b"images")
    (folder / "cache" / "digits.lock").touch()
    found = stored.folders(folder / FINISHED)
    return Reference(
        workload=Workload("lottery", ("--model=lenet",)),
        folder=folder,
        beginnings=(EMPTY, TRAINING, MEASURING, FINISHED),
        output={"config.json": b'{"decisions": 1}', "table.csv": b"a,b\n1,2\n"},
        artifacts={address: stored.files(found[address]) for address in found},
        cache=stored.digests(folder / "cache"),
        operations={"parent": 10, "worker": 100},
        cpu_seconds={"parent": 2.0, "worker": 8.0},
    )


@pytest.fixture
def sandbox(made_up, tmp_path):
    """The folders of a trial that begins with everything made."""
    with Sandbox(tmp_path / "trial", fonts=tmp_path / "fonts") as sandbox:
        made_up.lay_out(sandbox, FINISHED, cached=True)
        output = sandbox.paths["output"]
        output.mkdir()
        for name, data in made_up.output.items():
            (output / name).write_bytes(data)
        yield sandbox


@pytest.fixture
def say(sandbox):
    """Has a command that ran in the sandbox have printed a text."""

    class Printed:
        def __init__(self, text: str):
            self.text = text
            self.process = None

    def say(text: str) -> None:
        sandbox.commands.append(Printed(text))

    yield say
    sandbox.commands.clear()


@pytest.fixture(scope="session")
def fonts(tmp_path_factory) -> pathlib.Path:
    """Where commands keep matplotlib's list of fonts."""
    return tmp_path_factory.mktemp("fonts")


@pytest.fixture(scope="session")
def make_reference(tmp_path_factory, fonts):
    """Returns the reference of a workload, run once for all tests that ask for it."""
    made = {}

    def make(workload: Workload, killed: tuple[str, ...] = ()) -> Reference:
        if (workload, killed) not in made:
            folder = tmp_path_factory.mktemp("reference") / "reference"
            made[workload, killed] = references.make(
                workload, folder, fonts=fonts, killed=killed
            )
        return made[workload, killed]

    return make
