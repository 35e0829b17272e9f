"""One process for all tests: one thread, four CPU devices, and folders of its own."""

import contextlib
import gc
import io
import os
import pathlib
import resource
import shlex
import shutil
import signal
import sys
import types

import fsspec
import numpy as np
import pytest
from etils.epath import backend, gpath
from fsspec.implementations import memory

from tflottery.core import stopping
from tflottery.core.registry import PRETEXTS, Entry
from tflottery.training import distribution, process

# lagging.py is for tests to import.
sys.path.insert(0, str(pathlib.Path(__file__).parent))

# Of what deals tests out to processes (pytest-xdist's -n): it runs none itself.
_WORDS = [*sys.argv[1:], *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
_DEALS_OUT = "PYTEST_XDIST_WORKER" not in os.environ and any(
    word.startswith(("-n", "--numprocesses")) for word in _WORDS
)
if not _DEALS_OUT:
    process.configure(logical_cpus=4)
# Whoever started the tests may ignore them (nohup, a job in the background), and
# programs inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Leaves what was imported and collected, which stays, to no garbage collection."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory):
    """Keeps every test away from the user's data and store."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFLOTTERY_CACHE", os.fspath(folder / "datasets"))
        patch.setenv("TFLOTTERY_STORE", os.fspath(folder / "store"))
        yield


@pytest.fixture(scope="session")
def imagenet_dir(tmp_path_factory):
    """A folder with a small ImageNet, of the real one's name, features and files.

    As many images of many sizes as it takes: 96 to train on, of the first ten classes,
    40 to validate, and five to test, whose labels are secret.
    """
    folder = tmp_path_factory.mktemp("imagenet")
    _prepare("imagenet2012", folder, {"train": 96, "validation": 40, "test": 5})
    return folder


@pytest.fixture(scope="session")
def places_dir(tmp_path_factory):
    """A folder with a small Places365, likewise, whose images have one size."""
    folder = tmp_path_factory.mktemp("places")
    counts = {"train": 30, "validation": 10, "test": 3}
    _prepare("places365_small", folder, counts, size=(256, 256), named="filename")
    return folder


def _prepare(name, folder, counts, **options):
    """Writes a data set by its real builder, of other images, to a folder."""
    import tensorflow_datasets as tfds

    tfds.core.utils.gcs_utils._is_gcs_disabled = True
    real = tfds.builder_cls(name)
    with tfds.core.registered.skip_registration():

        class Small(real):
            """The real builder over these images."""

            name = real.name
            pkg_dir_path = real.pkg_dir_path

            def _split_generators(self, dl_manager):
                del dl_manager
                return {
                    split: _photographs(split, count, **options)
                    for split, count in counts.items()
                }

    builder = Small(data_dir=os.fspath(folder))
    config = tfds.download.DownloadConfig(num_shards=2, try_download_gcs=False)
    builder.download_and_prepare(download_config=config)


def _photographs(split, count, *, size=None, named="file_name"):
    """Yields images of smooth colours, JPEG of one size or of some from 40 to 90."""
    from PIL import Image

    generator = np.random.default_rng(count)
    for index in range(count):
        label = index % 10
        pixels = generator.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        # The class shows in what is red.
        pixels[..., 0] = 20 + 22 * label
        drawn = tuple(map(int, generator.integers(40, 90, 2)))
        file = io.BytesIO()
        Image.fromarray(pixels).resize(size or drawn, Image.BILINEAR).save(file, "JPEG")
        file.seek(0)
        name = f"{split}_{index}.JPEG"
        label = -1 if split == "test" else label
        yield name, {"image": file, "label": label, named: name}


@pytest.fixture(scope="session")
def imagenet(imagenet_dir):
    """The small ImageNet, of which networks are shown 32 x 32 pixels."""
    from tflottery.datasets import source

    return source.load("imagenet2012", data_dir=str(imagenet_dir), image_size=32)


@pytest.fixture
def broken_imagenet(imagenet_dir, tmp_path):
    """A small ImageNet one of whose training images has a body that is none.

    Its head is sound, and so are the checksums of its record: the sixth of the second
    file, number 53 of the split.
    """
    from tflottery.datasets import records

    folder = tmp_path / "broken"
    shutil.copytree(imagenet_dir, folder)
    path = folder / "imagenet2012/5.1.0/imagenet2012-train.tfrecord-00001-of-00002"
    content = bytearray(path.read_bytes())
    start = 0
    for _ in range(5):
        start += 16 + int.from_bytes(content[start : start + 8], "little")
    stop = start + 12 + int.from_bytes(content[start : start + 8], "little")
    # Behind the marker of a table of codes and its length: how many codes there are.
    codes = content.index(b"\xff\xc4", start, stop) + 5
    content[codes : codes + 16] = b"\xff" * 16
    checksum = records.masked_crc32c(bytes(content[start + 12 : stop]))
    content[stop : stop + 4] = checksum.to_bytes(4, "little")
    path.write_bytes(content)
    return folder


class Bucket(memory.MemoryFileSystem):
    """Memory that knows its paths as gs://, and cannot rename."""

    protocol = ("gs",)
    store: dict = {}
    pseudo_dirs = [""]
    cachable = False

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).replace("gs://", "memory://", 1))

    def mv(self, *arguments, **named):
        raise NotImplementedError("an object store renames nothing")

    def info(self, path, **named):
        # Buckets tell when a file was written.
        found = super().info(path, **named)
        return found | {"mtime": found["created"]} if "created" in found else found


@pytest.fixture
def bucket(monkeypatch):
    """A bucket in memory, which goes by gs:// in this process."""
    files = Bucket(skip_instance_cache=True)
    files.store.clear()
    monkeypatch.setattr(gpath, "_is_tf_installed", lambda: False)
    systems = {"gcs": files, "file": fsspec.filesystem("file")}
    monkeypatch.setattr(backend.fsspec_backend, "_get_filesystem", systems.get)
    return files


@pytest.fixture(scope="session")
def mirrored():
    """One strategy for all tests: TensorFlow mixes up the collective operations of two
    mirrored strategies over the same devices in one process."""
    return distribution.strategy(
        distribution.Placement(distribute="mirrored", num_devices=2)
    )


@pytest.fixture(scope="session")
def mirrored_over_four():
    """Four devices, which add up without the collective operations of the other two."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(
        [f"CPU:{number}" for number in range(4)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


@pytest.fixture(scope="session")
def graphs():
    """Returns a context in which loops are graphs, as those of convolutions are.

    XLA takes a second of a processor for each, LeNet for a test's few iterations less
    than one tenth. What is compiled by XLA has its tests in tests/training.
    """
    from tflottery.training import evaluation, trainer

    @contextlib.contextmanager
    def as_graphs():
        with pytest.MonkeyPatch.context() as patch:
            for module in (evaluation, trainer):
                patch.setattr(module, "compiled_by_xla", lambda model: False)
            yield

    return as_graphs


@pytest.fixture(scope="module")
def loops_are_graphs(graphs):
    """Has whatever a module's tests build trained and measured as graphs."""
    with graphs():
        yield


@pytest.fixture(scope="session", autouse=True)
def own_pretexts_are_tried():
    """Leaves out what an inspection compiles to try a pretext of ours on the digits.

    All of them are tried in every form in tests/pretexts.
    """
    from tflottery.components import metadata
    from tflottery.datasets import forms

    def validate(pretext, source):
        module = PRETEXTS[pretext].function.__module__
        if source.name != "digits" or module != f"tflottery.pretexts.{pretext}":
            forms.validate(pretext, source)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metadata, "forms", types.SimpleNamespace(validate=validate))
        yield


@pytest.fixture(scope="session")
def runtime(graphs):
    """Builds networks for whatever is made of training and measuring, once for all."""
    from tflottery.training.runtime import Runtime

    class Graphs(Runtime):
        """A runtime whose networks are not compiled by XLA."""

        def trainer(self, *parts, **options):
            with graphs():
                return super().trainer(*parts, **options)

        def evaluator(self, *parts):
            with graphs():
                return super().evaluator(*parts)

    return Graphs(data_dir=None, placement=distribution.Placement(), most_built=100)


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
