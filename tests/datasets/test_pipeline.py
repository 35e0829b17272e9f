"""The image pipeline: seen by hand on small images, the same bits in every form."""

import numpy as np
import pytest
import tensorflow as tf

from tflottery.core.registry import PRETEXTS
from tflottery.datasets import augmentations, pipeline
from tflottery.datasets.arrays import Source, Split
from tflottery.datasets.stream import Stream

# The other one is of images of many sizes.
_OF_ARRAYS = [one for one in pipeline.AUGMENTATIONS if one != pipeline.RESIZED_CROP]


def bits_of(*, mirrored=0, down=0, right=0):
    """The bits that mirror, then show the window moved by some pixels."""
    return mirrored + 2 * ((down + 4) + 9 * (right + 4))


def small_source(*, size=6, channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)):
    generator = np.random.default_rng(0)
    shape = (25, size, size, channels)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    labels = np.arange(25, dtype=np.int32) % 10
    return Source(
        name="small",
        version="1",
        digest="0",
        train=Split(images[:20], labels[:20]),
        # No image of it is one of training's: a mix-up of the splits shows.
        test=Split(images[20:], labels[20:][::-1]),
        num_classes=10,
        mean=mean[:channels],
        std=std[:channels],
    )


def test_images_are_normalized_and_labels_follow():
    data = small_source()
    load = pipeline.loader(data, split="test", augmentation="none")
    images, labels = load(tf.constant([3, 0]), tf.constant([5, 6]))
    assert images.dtype == tf.float32 and labels.dtype == tf.int32
    expected = (data.test.images[[3, 0]] / 255 - data.mean) / data.std
    np.testing.assert_allclose(images, expected, atol=1e-5)
    assert labels.numpy().tolist() == [1, 4]


def test_zeros_are_padded_before_normalization():
    data = small_source()
    load = pipeline.loader(data, split="train", augmentation="flip_crop")
    images, _ = load(tf.constant([0]), tf.constant([bits_of(down=4)]))
    expected = np.broadcast_to(-np.array(data.mean) / data.std, (4, 6, 3))
    np.testing.assert_allclose(images[0, 2:], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("augmentation", "pretext"),
    [(one, None) for one in _OF_ARRAYS]
    # Images come to a pretext as whole numbers, however they were augmented.
    + [
        pytest.param("none", one, marks=() if one == "rotation" else pytest.mark.slow)
        for one in PRETEXTS.names()
    ],
)
def test_dataset_loader_and_compiled_loader_agree_bit_for_bit(augmentation, pretext):
    data = small_source(size=8)
    stream = Stream(20, 16, data_order_seed=3, augmentation_seed=4)
    how = {"augmentation": augmentation, "pretext": pretext, "pretext_seed": 5}
    load = pipeline.loader(data, split="train", **how)
    forms = [load] + [
        tf.function(load, autograph=False, jit_compile=jit) for jit in (False, True)
    ]
    dataset = pipeline.as_dataset(data, stream, first_iteration=62, **how)
    batches = stream.batches(62, 5)
    rows = zip(dataset.take(5), batches.indices, batches.bits, strict=True)
    for batch, indices, bits in rows:
        for form in forms:
            images, labels = form(tf.constant(indices), tf.constant(bits))
            np.testing.assert_array_equal(images, batch[0])
            np.testing.assert_array_equal(labels, batch[1])


@pytest.mark.parametrize("augmentation", _OF_ARRAYS)
def test_a_pretext_is_given_all_it_may_read(augmentation, register):
    data, given = small_source(), {}

    def task(images, labels, **others):
        given.update(others, images=images, labels=labels)
        return 1 - images, labels + 100

    register(PRETEXTS, "negative", task, num_outputs=None, version=1, seeded=True)
    load = pipeline.loader(
        data,
        split="test",
        augmentation=augmentation,
        pretext="negative",
        pretext_seed=7,
    )
    indices, bits = tf.constant([3, 0, 3]), tf.constant([bits_of(right=1), 6, 7])
    images, labels = load(indices, bits)
    assert given["seed"] == 7 and given["num_classes"] == 10
    np.testing.assert_array_equal(given["indices"], indices)
    np.testing.assert_array_equal(given["bits"], bits)
    np.testing.assert_array_equal(given["labels"], [1, 4, 1])
    seen = augmentations.augmented(
        tf.constant(data.test.images[[3, 0, 3]]), bits, augmentation=augmentation
    ).numpy()
    np.testing.assert_array_equal(given["images"], (seen / 255).astype(np.float32))
    expected = (1 - seen / 255 - data.mean) / data.std
    np.testing.assert_allclose(images, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, [101, 104, 101])


def test_shapes_are_static_inside_a_compiled_loop():
    load = pipeline.loader(small_source(), split="train", augmentation="flip_crop")
    shapes = []

    @tf.function(jit_compile=True)
    def total(indices, bits, iterations):
        result = tf.zeros(())
        for iteration in tf.range(iterations):
            images, labels = load(indices[iteration], bits[iteration])
            shapes.append((images.shape.as_list(), labels.shape.as_list()))
            result += tf.reduce_sum(images)
        return result

    batches = Stream(20, 8, data_order_seed=1, augmentation_seed=1).batches(0, 4)
    found = total(tf.constant(batches.indices), tf.constant(batches.bits), 4)
    assert shapes[0] == ([8, 6, 6, 3], [8])
    rows = zip(batches.indices, batches.bits, strict=True)
    expected = sum(tf.reduce_sum(load(*map(tf.constant, row))[0]) for row in rows)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_dataset_has_static_shapes():
    data = small_source(channels=1, mean=(0.0,), std=(1.0,))
    stream = Stream(20, 50, data_order_seed=1, augmentation_seed=1)
    dataset = pipeline.as_dataset(data, stream, augmentation="none")
    images, labels = dataset.element_spec
    assert images.shape == (50, 6, 6, 1) and images.dtype == tf.float32
    assert labels.shape == (50,) and labels.dtype == tf.int32


def test_images_are_mapped_not_copied(tmp_path):
    shape = (16_000, 64, 64, 3)
    path = tmp_path / "images.npy"
    # A sparse file: 197 MB to whoever copies it, nothing on the disk.
    np.lib.format.open_memmap(path, "w+", dtype=np.uint8, shape=shape)
    images = np.load(path, mmap_mode="c")
    split = Split(images, np.zeros(len(images), np.int32))
    data = small_source()
    big = Source("big", "1", "0", split, split, 10, data.mean, data.std)
    stream = Stream(len(images), 32, data_order_seed=1, augmentation_seed=1)
    batches = stream.batches(0, 1)
    batch = tf.constant(batches.indices[0]), tf.constant(batches.bits[0])

    before = private_bytes()
    load = pipeline.loader(big, split="train", augmentation="flip_crop")
    for jit_compile in (False, True):
        tf.function(load, jit_compile=jit_compile)(*batch)
    assert private_bytes() - before < images.nbytes / 2
    next(iter(pipeline.as_dataset(big, stream, augmentation="flip_crop")))
    assert private_bytes() - before < images.nbytes / 2


def private_bytes():
    """Resident memory of this process that no file stands behind."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["RssAnon"].split()[0]) * 1024


def test_what_is_unknown_is_refused():
    data = small_source()
    with pytest.raises(ValueError, match="'blur'.*none, flip_crop"):
        pipeline.loader(data, split="train", augmentation="blur")
    with pytest.raises(ValueError, match="'validation'.*train, test"):
        pipeline.loader(data, split="validation", augmentation="none")
    with pytest.raises(ValueError, match="'jigsaw'.*rotation"):
        pipeline.loader(data, split="train", augmentation="none", pretext="jigsaw")


def test_a_stream_of_another_size_is_refused():
    stream = Stream(19, 4, data_order_seed=1, augmentation_seed=1)
    with pytest.raises(ValueError, match="19 examples.*small's 20"):
        pipeline.as_dataset(small_source(), stream, augmentation="none")


@pytest.mark.parametrize(
    ("relabel", "text"),
    [
        (lambda labels, seed: labels[:-1], r"int32 of shape \(19,\) for 20 labels"),
        (lambda labels, seed: labels / 2, r"float64 of shape \(20,\) for 20 labels"),
    ],
)
def test_labels_that_are_not_one_an_example_are_refused(relabel, text, register):
    register(
        PRETEXTS,
        "lossy",
        lambda images, labels, **_: (images, labels),
        num_outputs=None,
        version=1,
        seeded=False,
        relabel=relabel,
    )
    with pytest.raises(ValueError, match=f"relabel of pretext 'lossy' returns {text}"):
        pipeline.loader(
            small_source(), split="train", augmentation="none", pretext="lossy"
        )
