"""Which images of a data set are trained on, and which have labels."""

import dataclasses

import numpy as np
import pytest

from tflottery.datasets import selection
from tflottery.datasets.arrays import Source, Split

_SIZES = (30, 20, 15, 10)


def _source(sizes=_SIZES) -> Source:
    """Returns images whose first pixel is their number, in an order without order."""
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    labels = labels[np.random.default_rng(0).permutation(len(labels))]
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(images, (len(labels), 2, 2, 1)).copy()
    test = Split(images[:12], np.arange(12, dtype=np.int32) % len(sizes))
    return Source(
        "dots", "1", "0", Split(images, labels), test, len(sizes), (0.5,), (0.2,)
    )


def _numbers(source: Source) -> set[int]:
    return set(source.train.images[:, 0, 0, 0].tolist())


def test_every_class_keeps_the_same_part():
    source = _source()
    found = selection.of(source, "images:0.5")
    assert np.bincount(found.train.labels).tolist() == [15, 10, 8, 5]
    for image, label in zip(found.train.images, found.train.labels, strict=True):
        assert source.train.labels[image[0, 0, 0]] == label
    assert found.test is source.test
    assert (found.mean, found.std, found.digest) == ((0.5,), (0.2,), "0")


def test_smaller_subsets_lie_in_larger_ones():
    source = _source()
    numbers = [
        _numbers(selection.of(source, f"images:{fraction}"))
        for fraction in (0.1, 0.3, 0.55)
    ]
    assert numbers[0] < numbers[1] < numbers[2]


def test_of_some_classes_labels_begin_at_0():
    source = _source()
    found = selection.of(source, "classes:0.5")
    assert found.num_classes == 2
    kept = sorted(set(source.train.labels[sorted(_numbers(found))].tolist()))
    assert len(kept) == 2
    new = [kept.index(old) for old in source.train.labels if old in kept]
    assert found.train.labels.tolist() == new
    assert found.test.labels.tolist() == [
        kept.index(old) for old in source.test.labels if old in kept
    ]
    assert len(found.test.images) == len(found.test.labels)


def test_fewer_classes_are_among_more():
    source = _source((5,) * 10)
    few, many = (
        set(source.train.labels[sorted(_numbers(selection.of(source, part)))])
        for part in ("classes:0.2", "classes:0.5")
    )
    assert (len(few), len(many)) == (2, 5)
    assert few < many


def test_images_without_labels_are_kept_where_they_are_seen():
    source = _source()
    found = selection.of(source, "images:0.1", unlabeled=True)
    assert found.train.images is source.train.images
    labeled = found.train.labels != selection.UNLABELED
    chosen = selection.of(source, "images:0.1")
    assert set(np.flatnonzero(labeled)) == _numbers(chosen)
    assert (found.train.labels[labeled] == source.train.labels[labeled]).all()
    assert selection.of(source, "classes:0.5", unlabeled=True).num_classes == 2


def test_labels_that_are_not_seen_leave_no_trace():
    # Two images of different classes outside of the subset change places.
    source = _source()
    hidden = selection.of(source, "images:0.5", unlabeled=True).train.labels < 0
    first, second = (
        np.flatnonzero(hidden & (source.train.labels == label))[0] for label in (0, 1)
    )
    labels = source.train.labels.copy()
    labels[[first, second]] = labels[[second, first]]
    swapped = dataclasses.replace(source, train=Split(source.train.images, labels))
    one, other = (
        selection.of(each, "images:0.5", unlabeled=True) for each in (source, swapped)
    )
    # What is chosen goes by the order of images, in which neither may come first.
    assert (one.train.labels == other.train.labels).all()


def test_a_class_or_all_but_one_left_out_are_refused():
    source = _source((30, 4))
    with pytest.raises(ValueError, match="no image of class 1 of 'dots'.* 4. Ask"):
        selection.of(source, "images:0.1")
    with pytest.raises(ValueError, match="leaves 1 of the 2 classes of 'dots'"):
        selection.of(source, "classes:0.4")


def test_classes_without_test_images_are_refused():
    source = _source((5,) * 10)
    kept = selection.of(source, "classes:0.2").train.images[:, 0, 0, 0]
    other = min(set(range(10)) - set(source.train.labels[kept].tolist()))
    test = Split(source.test.images, np.full(12, other, np.int32))
    with pytest.raises(ValueError, match="classes:0.2 leaves no test image of 'dots'"):
        selection.of(dataclasses.replace(source, test=test), "classes:0.2")


def test_where_all_have_labels_none_is_left_to_learn_without():
    source = _source()
    for subset, asked in ((None, "Without a subset"), ("images:0.99", "images:0.99")):
        with pytest.raises(ValueError, match=f"{asked} all 75 .* such as .*images:0.1"):
            selection.of(source, subset, unlabeled=True)
