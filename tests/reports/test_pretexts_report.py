"""The contact sheet of pretexts: the images of training, and a program around it."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import image as pictures

import tflottery
from tflottery.core.registry import PRETEXTS
from tflottery.datasets import source as sources
from tflottery.datasets.arrays import Source, Split
from tflottery.reports import pretexts

# Of tasks that do not name labels.
_OTHER_OUTPUTS = {
    "exemplar": "128 outputs",
    "rotation_all": "4 outputs",
    "semi_supervised": "14 outputs",
}
ROOT = pathlib.Path(tflottery.__file__).parents[1]


@pytest.fixture(scope="module")
def digits():
    return sources.load("digits")


def by_pretext(table):
    return {row.pretext: row for row in table}


def test_a_row_for_the_data_and_for_each_pretext(digits):
    table = pretexts.rows(digits, num_examples=40, seed=3)
    assert [row.pretext for row in table] == [None, *PRETEXTS.names()]
    found = by_pretext(table)
    for name in ("rotation", "blur_rotation"):
        assert found[name].num_outputs == 4
    for name in (None, "blur", "permuted_labels", "random_labels"):
        assert found[name].num_outputs == 10
    for row in table:
        # Views stand side by side.
        num_views = PRETEXTS[row.pretext]["num_views"] if row.pretext else 1
        assert row.images.shape == (40, 8, 8 * num_views, 1)
        assert len(row.labels) == 40
        assert row.images.min() >= 0 and row.images.max() <= 1
    plain = found[None]
    # Each is a training image with its label.
    known = {
        (image.tobytes(), label)
        for image, label in zip(digits.train.images, digits.train.labels, strict=True)
    }
    seen = np.rint(plain.images * 255).astype(np.uint8)
    pairs = [(image.tobytes(), n) for image, n in zip(seen, plain.labels, strict=True)]
    assert set(pairs) <= known and len(set(pairs)) == 40
    # All rows show the same images, each in its own way.
    same = found["random_labels"].images
    np.testing.assert_allclose(same, plain.images, atol=1e-6)
    assert (found["random_labels"].labels != plain.labels).mean() > 0.5
    np.testing.assert_array_equal(found["blur"].labels, plain.labels)
    for turned, straight in (("rotation", None), ("blur_rotation", "blur")):
        row = found[turned]
        assert set(row.labels) == {0, 1, 2, 3}
        for image, turn, one in zip(
            row.images, row.labels, found[straight].images, strict=True
        ):
            np.testing.assert_allclose(np.rot90(image, -turn), one, atol=1e-6)


def test_the_seed_decides_all(digits):
    one, same, other = (
        by_pretext(pretexts.rows(digits, num_examples=8, seed=seed))
        for seed in (1, 1, 2)
    )
    for name in (None, *PRETEXTS.names()):
        np.testing.assert_array_equal(one[name].images, same[name].images)
        np.testing.assert_array_equal(one[name].labels, same[name].labels)
        assert not np.array_equal(one[name].images, other[name].images)
    assert not np.array_equal(
        one["random_labels"].labels, other["random_labels"].labels
    )


def test_the_usual_sheet_shows_all_four_turns(digits):
    usual = {"num_examples": pretexts.USUAL_EXAMPLES, "seed": pretexts.USUAL_SEED}
    found = by_pretext(pretexts.rows(digits, **usual))
    for name in ("rotation", "blur_rotation"):
        assert set(found[name].labels) == {0, 1, 2, 3}


def test_normalization_is_undone_in_color():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
    split = Split(images, np.arange(9, dtype=np.int32))
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    source = Source("small", "1", "0", split, split, 9, mean, std)
    table = pretexts.rows(source, num_examples=9, seed=0)
    plain, rotated = table[0], by_pretext(table)["rotation"]
    np.testing.assert_allclose(plain.images, images[plain.labels] / 255, atol=1e-6)
    turned = [
        np.rot90(one, n) for one, n in zip(plain.images, rotated.labels, strict=True)
    ]
    np.testing.assert_allclose(rotated.images, turned, atol=1e-6)
    assert pretexts.drawn(table, title="in color").get_axes()


def test_the_sheet_says_what_its_rows_say(digits):
    table = pretexts.rows(digits, num_examples=5, seed=0)
    figure = pretexts.drawn(table, title="Pretext tasks on digits")
    assert figure.get_suptitle() == "Pretext tasks on digits"
    panels = figure.get_axes()
    assert len(panels) == 5 * len(table)
    for number, row in enumerate(table):
        line = panels[5 * number : 5 * number + 5]
        assert (row.pretext or "the data") in line[0].get_ylabel()
        asked = _OTHER_OUTPUTS.get(row.pretext, "classes")
        assert asked in line[0].get_ylabel()
        for panel, image, label in zip(line, row.images, row.labels, strict=True):
            told = "" if row.pretext in _OTHER_OUTPUTS else str(label)
            assert panel.get_xlabel() == told
            np.testing.assert_array_equal(panel.images[0].get_array(), image[..., 0])
            # Dark and bright mean the same in all panels.
            assert panel.images[0].get_clim() == (0, 1)


def test_saved_as_an_image(tmp_path):
    output = tmp_path / "new" / "sheet.png"
    pretexts.save(
        "digits", data_dir=None, output=os.fspath(output), num_examples=2, seed=0
    )
    height, width, _ = pictures.imread(output).shape
    assert height > width > 300


WRONG = {
    "--num_examples=0 has to be from 1 to 64": {"num_examples": 0},
    "--num_examples=65 has to be from 1 to 64": {"num_examples": 65},
    "sheet.jpg' has to end in .png": {"output": "sheet.jpg"},
    "file/sheet.png' cannot be written: .*Name another": {"output": "file/sheet.png"},
    "There is no dataset 'digitz'. Known: .*cifar10_16x16, digits": {
        "dataset": "digitz"
    },
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_refused(text, tmp_path):
    (tmp_path / "file").write_text("a file")
    asked = {"dataset": "digits", "output": "sheet.png", "num_examples": 2}
    asked |= WRONG[text]
    asked["output"] = os.fspath(tmp_path / asked["output"])
    with pytest.raises(ValueError, match=text):
        pretexts.save(asked.pop("dataset"), data_dir=None, seed=0, **asked)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def run(*arguments, folder):
    """Returns how the program ended."""
    return subprocess.run(
        [sys.executable, "-m", "tflottery.reports.pretexts", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
def test_the_program_saves_and_says_where(tmp_path):
    done = run("--dataset=digits", "--num_examples=1", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The contact sheet is in pretexts.png\n"
    assert [path.name for path in tmp_path.iterdir()] == ["pretexts.png"]


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--num_example=3", "no flag --num_example. Did you mean --num_examples?"),
        ("digits", "'digits' is not a flag"),
    ],
)
def test_wrong_flags_are_refused_with_a_line_of_text(argument, text, tmp_path):
    done = run(argument, folder=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert text in done.stderr
