"""Arrays of one's own as data sets: in a line of code, a file or folders."""

import io

import numpy as np
import pytest
from PIL import Image

import tflottery
from tflottery.core.registry import DATASETS
from tflottery.datasets import source

GENERATOR = np.random.default_rng(0)
X = GENERATOR.integers(0, 256, (12, 5, 4, 3), np.uint8)
Y = np.arange(12) % 3


@pytest.fixture
def cache_dir(tmp_path):
    return str(tmp_path / "cache")


def test_arrays_registered_in_a_line_are_a_data_set(cache_dir, monkeypatch):
    known = [DATASETS[name] for name in DATASETS.names()]
    known = {entry.name: entry for entry in known}
    monkeypatch.setattr(DATASETS, "_entries", dict(known))
    grey = X[..., 0]
    tflottery.datasets.register("mine", train=(grey[:8], Y[:8]), test=(grey[8:], Y[8:]))
    found = source.load("mine", cache_dir=cache_dir)
    np.testing.assert_array_equal(found.train.images, X[:8, ..., :1])
    np.testing.assert_array_equal(found.test.labels, Y[8:])
    assert (found.num_classes, found.input_scaling) == (3, "standardized")
    with pytest.raises(ValueError, match=r"'mine'.*twice"):
        tflottery.datasets.register("mine", train=(X, Y), test=(X, Y))
    # Other arrays under that name, in another process, are other data.
    monkeypatch.setattr(DATASETS, "_entries", dict(known))
    tflottery.datasets.register("mine", train=(X[:8], Y[:8]), test=(X[8:], Y[8:]))
    other = source.load("mine", cache_dir=cache_dir)
    assert other.digest != found.digest
    np.testing.assert_array_equal(other.train.images, X[:8])
    # So are the same bytes of another shape, or not normalized.
    for images, normalized in ((X.reshape(12, 4, 5, 3), True), (X, False)):
        monkeypatch.setattr(DATASETS, "_entries", dict(known))
        parts = {"train": (images[:8], Y[:8]), "test": (images[8:], Y[8:])}
        tflottery.datasets.register("mine", **parts, normalized=normalized)
        other = source.load("mine", cache_dir=cache_dir)
        np.testing.assert_array_equal(other.train.images, images[:8])
    assert other.input_scaling == "unit_interval"


def test_a_file_of_arrays_is_a_data_set_and_read_again_when_it_changes(
    tmp_path, cache_dir
):
    file = tmp_path / "mine.npz"
    parts = {"x_train": X[:8], "y_train": Y[:8, None], "x_test": X[8:], "y_test": Y[8:]}
    np.savez(file, **parts)
    found = source.load(f"npz:{file}", cache_dir=cache_dir)
    np.testing.assert_array_equal(found.train.images, X[:8])
    np.testing.assert_array_equal(found.train.labels, Y[:8])
    assert source.load(f"npz:{file}", cache_dir=cache_dir).digest == found.digest
    np.savez(file, **parts | {"x_test": X[:4]})
    assert source.load(f"npz:{file}", cache_dir=cache_dir).digest != found.digest


def test_folders_of_images_are_a_data_set_with_a_class_each(tmp_path, cache_dir):
    for number, (image, label) in enumerate(zip(X, Y, strict=True)):
        split = "train" if number < 9 else "test"
        folder = tmp_path / "photos" / split / ["ant", "bee", "cat"][label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02}.png")
    (folder / "notes.txt").write_text("no image")
    name = f"folder:{tmp_path}/photos"
    found = source.load(name, cache_dir=cache_dir)
    order = np.argsort(Y[:9], kind="stable")
    np.testing.assert_array_equal(found.train.images, X[:9][order])
    np.testing.assert_array_equal(found.train.labels, Y[:9][order])
    assert found.test.images.shape == (3, 5, 4, 3)
    squares = source.load(f"{name}@8", cache_dir=cache_dir)
    assert squares.train.images.shape == (9, 8, 8, 3)

    # So it is with what is measured in a folder of another name, beside images of none.
    (tmp_path / "photos" / "test").rename(tmp_path / "photos" / "val")
    (tmp_path / "photos" / "test").mkdir()
    (tmp_path / "photos" / "test" / "000.png").write_bytes(b"")
    again = source.load(name, cache_dir=cache_dir)
    assert again.digest == found.digest

    folder = tmp_path / "photos" / "val" / folder.name
    Image.fromarray(X[0, :3]).save(folder / "other.png")
    several = r"other\.png is \(3, 4, 3\).*@64.*prepare_folder"
    with pytest.raises(ValueError, match=several):
        source.load(name, cache_dir=cache_dir)
    (folder / "other.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"other\.png cannot be decoded"):
        source.load(name, cache_dir=cache_dir)
    Image.fromarray(np.full((5, 4), 999, np.uint16)).save(folder / "other.png")
    with pytest.raises(ValueError, match=r"other\.png has pixels of more than 8 bits"):
        source.load(name, cache_dir=cache_dir)


def test_mistakes_say_what_is_expected(tmp_path, cache_dir):
    file = tmp_path / "mine.npz"
    good = {"x_train": X[:8], "y_train": Y[:8], "x_test": X[8:], "y_test": Y[8:]}
    for wrong, facts in (
        ({"x_train": X[:8] / 255}, r"float64.*uint8.*np\.rint\(255"),
        ({"y_test": Y[8:] / 2}, r"float64.*whole number"),
        ({"x_test": X[8:, :3]}, r"\(5, 4, 3\) and \(3, 4, 3\)"),
        ({"y_test": Y[8:] + 9}, r"Test images have the labels .*no training image"),
        ({"y_train": np.eye(9)[Y[:8]]}, r"shape \(8, 9\).*argmax"),
        (
            {n: 900 * good[n] for n in ("y_train", "y_test")},
            r"largest label is 1800, .* 8 training images",
        ),
        ({"y_test": Y[:9]}, r"shape \(9,\).*for 4 images"),
    ):
        np.savez(file, **good | wrong)
        with pytest.raises(ValueError, match=facts):
            source.load(f"npz:{file}", cache_dir=cache_dir)
    np.savez(file, x=X)
    with pytest.raises(ValueError, match=r"lacks \['x_train'.*it has \['x'\]"):
        source.load(f"npz:{file}", cache_dir=cache_dir)
    one, several = io.BytesIO(), file.read_bytes()
    np.save(one, X)
    for wrong in (b"nothing", b"", several[: len(several) // 2], one.getvalue()):
        file.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"mine\.npz is no file of numpy\.savez"):
            source.load(f"npz:{file}", cache_dir=cache_dir)
    with pytest.raises(FileNotFoundError, match=r"hat\.npz"):
        source.load("npz:hat.npz", cache_dir=cache_dir)
    file.write_bytes(b"")
    for name, facts in (
        (f"folder:{file}", r"mine\.npz is a file\. Write npz:"),
        (f"npz:{tmp_path}", r" is a folder\. Write folder:"),
    ):
        with pytest.raises(ValueError, match=facts):
            source.load(name, cache_dir=cache_dir)
    for name in ("npz:", "folder:@8", "folder:x@0"):
        with pytest.raises(ValueError, match="names no place"):
            source.load(name, cache_dir=cache_dir)
    (tmp_path / "photos" / "train" / "ant").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"'train': \['ant'\], 'test': \[\]"):
        source.load(f"folder:{tmp_path}/photos", cache_dir=cache_dir)
    # Of a thousand classes those are told that only one of the splits has, and a few.
    for split, names in (("train", range(100, 110)), ("val", range(102, 119))):
        for one in names:
            (tmp_path / "many" / split / str(one)).mkdir(parents=True)
    told = (
        r"{'train': \['100', '101'\], "
        r"'val': \['110', '111', '112', '113', '114', 'and 4 more'\]}"
    )
    with pytest.raises(ValueError, match=told):
        source.load(f"folder:{tmp_path}/many", cache_dir=cache_dir)


def test_what_is_not_there_is_refused_unless_it_was_read_before(tmp_path, monkeypatch):
    monkeypatch.setenv("TFLOTTERY_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "mine.npz"
    for name in (f"npz:{file}", f"folder:{tmp_path}/photos@8"):
        with pytest.raises(ValueError, match=r"There is no .*/(mine\.npz|photos), whi"):
            source.refuse_absent(name)
    for name in ("digits", "fashion_mnist"):
        source.refuse_absent(name)
    np.savez(file, x_train=X[:8], y_train=Y[:8], x_test=X[8:], y_test=Y[8:])
    source.refuse_absent(f"npz:{file}")
    found = source.load(f"npz:{file}")
    file.unlink()
    source.refuse_absent(f"npz:{file}")
    assert source.load(f"npz:{file}").digest == found.digest
