"""Batches of encoded images: the same in every form, from any iteration on."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tflottery.core.registry import PRETEXTS
from tflottery.datasets import (
    crops,
    encoded,
    encoded_batches,
    feeds,
    forms,
    pipeline,
    resizing,
    selection,
)
from tflottery.datasets.stream import stream_of


def stream(data, batch_size=12):
    return stream_of(
        data.train.labels, batch_size, data_order_seed=1, augmentation_seed=2
    )


def taken(dataset, count):
    return [tuple(one.numpy() for one in batch) for batch in dataset.take(count)]


def dataset(data, *, first=0, augmentation="resized_crop", **task):
    return pipeline.as_dataset(
        data, stream(data), first_iteration=first, augmentation=augmentation, **task
    )


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def reference(data, index, bits):
    """Returns what PIL makes of a training image, float, in [0, 255]."""
    (content,), sizes = data.train.images.read([index])
    bits = np.array([bits], np.int32)
    ((top, left, height, width),) = crops.drawn(sizes, bits)
    image = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    part = np.pad(
        image[top : top + height, left : left + width],
        ((1, 1), (1, 1), (0, 0)),
        mode="edge",
    )
    found = Image.fromarray(part).transform(
        data.image_shape[1::-1],
        Image.EXTENT,
        (1, 1, width + 1, height + 1),
        Image.BILINEAR,
    )
    found = np.asarray(found).astype(float)
    return found[:, ::-1] if bits[0] & 1 else found


def test_batches_are_those_of_pil_within_one_level(imagenet):
    (images, labels), *_ = taken(dataset(imagenet), 1)
    batch = stream(imagenet).batches(0, 1)
    indices, bits = batch.indices[0], batch.bits[0]
    np.testing.assert_array_equal(labels, imagenet.train.labels[indices])
    shown = 255 * (images * np.array(imagenet.std) + np.array(imagenet.mean))
    for number in range(len(images)):
        expected = reference(imagenet, indices[number], bits[number])
        assert abs(shown[number] - expected).max() <= 1.001


def test_every_form_gives_the_same_bits_from_any_iteration_on(imagenet):
    # Eleven batches are more than an epoch of 96 images.
    unbroken = taken(dataset(imagenet), 11)
    assert same(taken(dataset(imagenet, first=9), 1)[0], unbroken[9])
    load = pipeline.loader(imagenet, split="train", augmentation="resized_crop")
    graph = tf.function(load, autograph=False)
    batch = stream(imagenet).batches(10, 1)
    inputs = tf.constant(batch.indices[0]), tf.constant(batch.bits[0])
    for form in (load, graph):
        assert same([one.numpy() for one in form(*inputs)], unbroken[10])
    # An image is seen otherwise in its second epoch.
    again = {int(index) for index in batch.indices[0]}
    assert again and not same(unbroken[0], unbroken[8])


def test_feeds_of_arrays_and_of_files_are_used_alike(imagenet):
    feed = feeds.feed(imagenet, split="test", augmentation="none")
    indices = np.arange(12, dtype=np.int32).reshape(3, 4)
    bits = np.zeros_like(indices)

    def loop(given, count):
        def step(number, total):
            images, labels = feed.shown(*feed.taken(given, number))
            return number + 1, total + labels * tf.cast(number + 1, tf.int32)

        start = [tf.constant(0), tf.zeros(4, tf.int32)]
        return tf.while_loop(lambda number, _: number < count, step, start)[1]

    loop = feed.compiled(loop, jit=True)
    labels = imagenet.test.labels[:12].reshape(3, 4)
    for count in (2, 3, 1):
        given = feed.given(indices, bits, count=count)
        found = loop(given, tf.constant(count)).numpy()
        factors = np.arange(1, count + 1)[:, None]
        np.testing.assert_array_equal(found, (labels[:count] * factors).sum(axis=0))


def test_parts_of_the_data_are_taken_as_of_arrays(imagenet):
    part = selection.of(imagenet, "images:0.5")
    assert len(part.train.labels) == len(part.train.images) == 50
    few = selection.of(imagenet, "classes:0.3")
    assert few.num_classes == 300
    assert len(few.test.images) == len(few.test.labels)
    kept = np.flatnonzero(np.isin(imagenet.test.labels, _old_labels(imagenet, few)))
    assert few.test.images.read([0])[0] == imagenet.test.images.read([kept[0]])[0]
    unlabeled = selection.of(imagenet, "images:0.5", unlabeled=True)
    assert len(unlabeled.train.images) == 96
    assert (unlabeled.train.labels == selection.UNLABELED).sum() == 46


def _old_labels(whole, part):
    """Returns the labels, of those in the test split, that a part of classes keeps."""
    contents = set(part.test.images.read(range(len(part.test.images)))[0])
    return [
        label
        for index, label in enumerate(whole.test.labels)
        if whole.test.images.read([index])[0][0] in contents
    ]


def test_images_are_brought_to_another_shape_as_they_are_decoded(imagenet):
    grey = resizing.of(imagenet, (16, 24, 1))
    images, _ = taken(dataset(grey, augmentation="none"), 1)[0]
    assert images.shape == (12, 16, 24, 1)
    assert abs(images.mean()) < 0.5 and 0.5 < images.std() < 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rotation", "exemplar"])
def test_pretexts_see_them_as_they_see_arrays(imagenet, name):
    if name == "rotation":
        forms.validate(name, imagenet)
    images, targets = taken(dataset(imagenet, pretext=name), 1)[0]
    assert images.shape[-3:] == (32, 32, 3) and len(targets) == 12
    assert PRETEXTS[name]["num_views"] == (images.shape[1] if images.ndim == 5 else 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_the_smallest_images_are_shown(tmp_path, size):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 60)).save(file, "JPEG", quality=95)
    path = tmp_path / "shard"
    path.write_bytes(file.getvalue())
    table = np.array([[0, 0, path.stat().st_size, 0]] * 20)
    images = encoded.in_files([str(path)], table, form="tfrecord").shaped((8, 8, 3))
    bits = np.arange(20, dtype=np.int32) * 99_999_989
    for augmentation in ("none", "resized_crop"):
        windows = encoded_batches.Windows(images, augmentation=augmentation)
        found = encoded_batches.read(windows, tf.range(20), tf.constant(bits)).numpy()
        assert abs(found.astype(int) - (200, 30, 60)).max() < 6


def test_arrays_are_not_cropped_to_size(imagenet):
    from tflottery.datasets import source

    digits = source.load("digits")
    with pytest.raises(ValueError, match="'digits' .*'resized_crop' is one of images"):
        pipeline.loader(digits, split="train", augmentation="resized_crop")


@pytest.mark.parametrize(
    ("own", "all_gpus", "tpus", "expected"),
    [(0, 0, 0, 1), (1, 8, 0, 4), (8, 8, 0, 32), (1, 0, 0, 32), (0, 0, 8, 32)],
)
def test_a_process_decodes_with_its_part_of_the_cores(
    own, all_gpus, tpus, expected, monkeypatch
):
    def physical(kind):
        return [kind] * {"GPU": own}[kind]

    def logical(kind):
        return [kind] * {"TPU": tpus}[kind]

    monkeypatch.setattr(tf.config, "list_physical_devices", physical)
    monkeypatch.setattr(tf.config, "list_logical_devices", logical)
    monkeypatch.setattr(encoded_batches.hardware, "visible_cores", lambda: 32)
    monkeypatch.setattr(encoded_batches.hardware, "num_gpus", lambda: all_gpus)
    assert encoded_batches.num_threads.__wrapped__() == expected


def test_processes_that_share_a_gpu_share_its_part_of_the_cores(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    monkeypatch.setattr(encoded_batches.hardware, "visible_cores", lambda: 16)
    monkeypatch.setattr(encoded_batches.hardware, "num_gpus", lambda: 2)
    try:
        found = []
        for num_processes in (1, 3, 20):
            encoded_batches.share_devices(num_processes)
            found.append(encoded_batches.num_threads())
        assert found == [8, 2, 1]
    finally:
        encoded_batches.share_devices(1)


def test_a_process_of_several_threads_decodes_with_as_many(monkeypatch):
    monkeypatch.setattr(
        tf.config.threading, "get_intra_op_parallelism_threads", lambda: 4
    )
    assert encoded_batches.num_threads.__wrapped__() == 4


@pytest.mark.parametrize(
    ("batch_size", "threads", "expected"),
    # In float32 an image has 600 kB; labels on rotation have batches of 4.9 GB.
    [(8192, 32, 1), (1024, 32, 1), (512, 32, 3), (64, 32, 4), (64, 2, 2)],
)
def test_large_batches_are_shown_one_by_one(batch_size, threads, expected, monkeypatch):
    monkeypatch.setattr(encoded_batches, "num_threads", lambda: threads)
    assert pipeline.num_shown_at_once(batch_size, (224, 224, 3)) == expected
