"""One process for all tests: one thread, two CPU devices, and folders of its own."""

import contextlib
import os
import resource
import signal

import pytest

from tflottery.core import stopping
from tflottery.core.registry import Entry
from tflottery.training import distribution, process

process.configure(logical_cpus=2)
# Whoever started the tests may ignore them (nohup, a job in the background), and
# programs inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory):
    """Keeps every test away from the user's data and store."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFLOTTERY_CACHE", os.fspath(folder / "datasets"))
        patch.setenv("TFLOTTERY_STORE", os.fspath(folder / "store"))
        yield


@pytest.fixture(scope="session")
def mirrored():
    """One strategy for all tests: TensorFlow mixes up the collective operations of two
    mirrored strategies over the same devices in one process."""
    return distribution.strategy(
        distribution.Placement(distribute="mirrored", num_replicas=2)
    )


@pytest.fixture
def small_disk():
    """Returns a context in which no file can grow above 64 KiB: writes end midway."""

    @contextlib.contextmanager
    def limited():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def signals_as_before():
    """Leaves the signals of the test process as they are."""
    before = {one: signal.getsignal(one) for one in stopping.SIGNALS}
    yield
    stopping.restore(before)


@pytest.fixture
def register(monkeypatch):
    """Registers a function for the length of a test."""

    def add(registry, name, function, **attributes):
        registry.names()
        entry = Entry(name, function, registry._defaults | attributes)
        monkeypatch.setitem(registry._entries, name, entry)

    return add


@pytest.fixture
def trainings(monkeypatch):
    """The (first, last) iterations of every training, in order; grows as they come."""
    from tflottery.training import optimizers, trainer

    found = []
    train = trainer.Trainer.train

    def recorded(self, stream, last, **options):
        first = reached = optimizers.iteration(self.optimizer)
        try:
            reached = train(self, stream, last, **options)
        finally:
            # Also of a training that a divergence or a stop ends.
            reached = max(reached, optimizers.iteration(self.optimizer))
            if reached > first:
                found.append((first, reached))
        return reached

    monkeypatch.setattr(trainer.Trainer, "train", recorded)
    return found
