"""The loop on images that stay in their files: exact, resumable, counted alike."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tflottery.datasets import pipeline
from tflottery.datasets import source as sources
from tflottery.datasets.encoded import DamagedImage
from tflottery.datasets.source import Source
from tflottery.datasets.stream import stream_of
from tflottery.models import weights as model_weights
from tflottery.training import checkpoints
from tflottery.training.callbacks import WeightSnapshot
from tflottery.training.evaluation import Evaluator
from tflottery.training.trainer import Trainer

_LAST = 10


@pytest.fixture
def make(imagenet, trainers, small_conv_registered):
    """Makes a trainer of a kind on the small ImageNet."""

    def trainer(kind="small_conv", *, source=imagenet, **options):
        recipe = dataclasses.replace(
            trainers(kind).recipe, batch_size=16, augmentation="resized_crop"
        )
        model = kind.removesuffix("_sgd")
        return Trainer(model, recipe, source, num_classes=10, **options)

    return trainer


@dataclasses.dataclass
class Broken:
    """A small ImageNet with a training image that cannot be decoded.

    Attributes:
      source: all of it.
      path: the file that holds the image, as its record number 5.
      name: of the image's own file.
      index: of the image in the split.
    """

    source: Source
    path: str
    name: str
    index: int


@pytest.fixture
def broken(broken_imagenet):
    source = sources.load("imagenet2012", data_dir=str(broken_imagenet), image_size=32)
    path = source.train.images.files.paths[1]
    content = list(tf.data.TFRecordDataset(path).as_numpy_iterator())[5]
    features = tf.train.Example.FromString(content).features.feature
    name = features["file_name"].bytes_list.value[0].decode()
    return Broken(source, path, name, 48 + 5)


def place(trainer, weights, *, slots=None, at=0):
    trainer.restore(weights, masks={}, slots=slots, iteration=at, first_iteration=0)


def stream(trainer):
    return trainer.stream(data_order_seed=3, augmentation_seed=4)


def equal(one, other):
    return all(
        np.array_equal(a[path], b[path])
        for a, b in zip(one, other, strict=True)
        for path in a
    )


@pytest.mark.slow
def test_cut_at_iteration_7_of_10_equals_unbroken(make, tmp_path):
    first, other = make(), make()
    initial = first.initial_weights(1)
    place(first, initial)
    first.train(stream(first), _LAST)
    unbroken = first.state()
    # Begun in one trainer and ended in another one, an epoch and a half along.
    place(first, initial)
    first.train(stream(first), 7)
    weights, slots = first.state()
    assert not equal([weights], [unbroken[0]])
    checkpoints.write(tmp_path, weights, slots=slots)
    place(
        other,
        checkpoints.read_weights(tmp_path),
        slots=checkpoints.read_slots(tmp_path),
        at=7,
    )
    other.train(stream(other), _LAST)
    assert equal(other.state(), unbroken)


@pytest.mark.slow
def test_what_xla_compiles_takes_batches_from_outside(make):
    trainer = make("lenet_sgd")
    place(trainer, trainer.initial_weights(1))
    # On a CPU it compiles dense networks, on a GPU all.
    trainer.train(stream(trainer), 3)
    weights, _ = trainer.state()
    assert all(np.isfinite(value).all() for value in weights.values())


@pytest.mark.slow
@pytest.mark.parametrize("distributed", [False, True])
def test_an_image_that_cannot_be_decoded_is_named(make, broken, request, distributed):
    """Wherever it is read; what was trained before it is kept."""
    strategy = request.getfixturevalue("mirrored") if distributed else None
    trainer = make(source=broken.source, strategy=strategy)
    place(trainer, trainer.initial_weights(1))
    order = stream(trainer).batches(0, 6).indices
    sound = int(np.flatnonzero((order == broken.index).any(axis=1))[0])
    kept = []
    snapshot = WeightSnapshot([sound], lambda iteration, model: kept.append(iteration))
    with pytest.raises(DamagedImage) as caught:
        trainer.train(stream(trainer), _LAST, callbacks=[snapshot])
    assert_names(caught.value, broken)
    assert sound > 0 and kept == [sound]


@pytest.mark.slow
def test_an_image_that_cannot_be_decoded_is_named_by_what_measures(
    broken, small_conv_registered
):
    evaluator = Evaluator("small_conv", broken.source, num_classes=10)
    evaluator.assign(model_weights.initial_weights(evaluator.model, 1))
    (block,) = evaluator.blocks("train")
    batch = np.arange(48, 64, dtype=np.int32)
    for measure in (
        lambda: evaluator.measure("train", block),
        lambda: evaluator.reestimate(96, batch_size=16),
        lambda: evaluator.gradient_magnitudes(batch),
    ):
        with pytest.raises(DamagedImage) as caught:
            measure()
        assert_names(caught.value, broken)


def assert_names(error, broken):
    for fact in (
        "record 5 ",
        repr(broken.path),
        repr(broken.name),
        "cannot be decoded",
        "Copy that file again",
    ):
        assert fact in str(error)
    assert "node" not in str(error)


@pytest.mark.slow
def test_replicas_share_batches(make, mirrored):
    trainer = make(strategy=mirrored)
    place(trainer, trainer.initial_weights(1))
    assert trainer.train(stream(trainer), 2) == 2


@pytest.mark.slow
def test_measuring_counts_what_a_loader_shows(make, imagenet):
    trainer = make()
    evaluator = Evaluator("small_conv", imagenet, num_classes=10)
    evaluator.assign(trainer.initial_weights(1))
    load = pipeline.loader(imagenet, split="test", augmentation="none")
    every = tf.range(len(imagenet.test.labels))
    images, labels = load(every, tf.zeros_like(every))
    logits = evaluator.model(images, training=False)
    answers = logits.numpy().argmax(axis=1)
    (block,) = evaluator.blocks("test")
    found = evaluator.measure("test", block)
    assert found.num_misclassified == (answers != labels.numpy()).sum()
    # Which tells other windows of the same images, as training draws them.
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    assert found.loss == pytest.approx(float(tf.reduce_sum(losses)), rel=1e-5)
    assert evaluator.measure("test", block) == found
    (few,) = evaluator.blocks("test", 7)
    assert len(few) == 7 and evaluator.measure("test", few).loss < found.loss

    magnitudes = [
        evaluator.gradient_magnitudes(batch)
        for batch in evaluator.whole_batches(32, batch_size=16)
    ]
    assert len(magnitudes) == 2 and magnitudes[0].norm != magnitudes[1].norm
    statistics = []
    for _ in range(2):
        evaluator.reestimate(96, batch_size=16)
        layer = evaluator.model.get_layer("norm_1")
        statistics.append(layer.moving_variance.numpy())
    assert (statistics[0] == statistics[1]).all() and statistics[0].min() > 0


def test_streams_over_files_are_those_over_arrays(imagenet):
    found = stream_of(
        imagenet.train.labels, 16, data_order_seed=3, augmentation_seed=4
    ).batches(0, 6)
    assert sorted(found.indices.reshape(-1)) == list(range(96))
