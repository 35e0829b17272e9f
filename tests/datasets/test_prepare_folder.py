"""Folders of images that become a data set whose images stay in files."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tflottery.datasets import prepare_folder, source

CLASSES = ("ant", "bee")


@pytest.fixture
def photos(tmp_path):
    """A folder of JPEG and PNG images of several sizes, of which val is measured."""
    generator = np.random.default_rng(0)
    for number in range(10):
        split = "train" if number < 6 else "val"
        folder = tmp_path / "photos" / split / CLASSES[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (20 + number, 30, 3), np.uint8)
        ending = "png" if number % 3 == 0 else "JPEG"
        Image.fromarray(pixels).save(folder / f"{number}.{ending}")
    return tmp_path / "photos"


@pytest.mark.slow
def test_images_of_folders_stay_in_files(photos, tmp_path):
    data_dir = str(tmp_path / "prepared")
    path = prepare_folder.prepare(str(photos), "photos", data_dir=data_dir)
    assert os.path.isfile(f"{path}/dataset_info.json")
    found = source.load("photos", data_dir=data_dir, cache_dir=str(tmp_path / "cache"))
    assert found.is_encoded and found.num_classes == 2
    for split, folder in (("train", "train"), ("test", "val")):
        data = getattr(found, split)
        contents, _ = data.images.read(range(len(data.labels)))
        # The very bytes, each with its label.
        assert sorted(zip(contents, data.labels.tolist(), strict=True)) == sorted(
            (file.read_bytes(), CLASSES.index(file.parent.name))
            for file in (photos / folder).glob("*/*")
        )
    with pytest.raises(ValueError, match="is there already: remove it"):
        prepare_folder.prepare(str(photos), "photos", data_dir=data_dir)


@pytest.mark.slow
def test_what_is_no_image_is_named_and_nothing_left(photos, tmp_path):
    (photos / "train" / "ant" / "9.jpg").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"ant/9\.jpg is neither JPEG nor PNG"):
        prepare_folder.prepare(str(photos), "photos", data_dir=str(tmp_path / "it"))
    assert not list((tmp_path / "it").glob("photos/*"))


@pytest.mark.parametrize(
    ("name", "fact"),
    [("Photos", "small letters"), ("mnist", "already"), ("x/y", "small letters")],
)
def test_names_that_cannot_be_are_refused(name, fact, photos):
    with pytest.raises(ValueError, match=fact):
        prepare_folder.prepare(str(photos), name)


@pytest.mark.slow
def test_the_program(photos, tmp_path):
    program = [sys.executable, "-m", "tflottery.datasets.prepare_folder"]
    for arguments, code, text in (
        ([], 2, "error: Give --folder and --name."),
        (
            ["--folder=nowhere", "--name=photos"],
            2,
            "error: There is no folder 'nowhere'",
        ),
        (["--folder=photos", "--name=photos", "--data_dir=it"], 0, "--data_dir=it"),
    ):
        ran = subprocess.run(
            program + arguments, capture_output=True, text=True, cwd=tmp_path
        )
        assert ran.returncode == code, ran.stderr
        assert text in ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
        # What TensorFlow says of itself is of no use here.
        assert "oneDNN" not in ran.stderr
