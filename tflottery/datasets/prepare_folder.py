"""Folders of images become a data set whose images stay in files, as ImageNet's do.

    python -m tflottery.datasets.prepare_folder --folder=photos --name=photos
        [--data_dir=FOLDER]

The images of photos/train/CLASS/ and photos/test/CLASS/ (or val), JPEG and PNG of any
sizes, go as they are, byte for byte, into the files of a data set of
tensorflow-datasets, which has its own writer for them. These take as much disk again,
while they are written twice as much. After that

    python -m tflottery.experiments.instability --model=resnet50 --dataset=photos

reads and decodes each as it is needed, shows a network a random part of it, and keeps
none in memory. Small images of one size are faster as arrays: --dataset=folder:photos.
"""

import pathlib
import re
import sys
from collections.abc import Iterator, Sequence

from absl import app, flags, logging

from tflottery.core import command_line, environment, paths, silence, stopping
from tflottery.core.registry import DATASETS
from tflottery.datasets import image_folders, records, tfds_source

_SUFFIXES = (".jpg", ".jpeg", ".png")
_VERSION = "1.0.0"


def prepare(folder: str, name: str, *, data_dir: str | None = None) -> str:
    """Writes a data set of the images of a folder; returns where it is.

    Args:
      folder: with train and test (or val) in it, and in each a folder for each class.
      name: what the data set is called, as in --dataset=NAME.
      data_dir: folder of prepared data sets; None: the usual one.

    Raises:
      ValueError: the name is taken or none, the folder is no such folder, or a file
        holds no JPEG or PNG image.
      OSError: something cannot be read or written.

    Changes: writes FOLDER/NAME below `data_dir`.
    """
    _validate_name(name)
    data_dir = tfds_source.folder(data_dir)
    folders, classes = image_folders.splits(pathlib.Path(paths.expanded(folder)))
    found = {
        split: image_folders.files(each, classes, suffixes=_SUFFIXES)
        for split, each in folders.items()
    }
    with silence.silenced():
        # Else it is loaded when tensorflow-datasets first asks for it, and heard.
        import tensorflow  # noqa: F401
        import tensorflow_datasets as tfds

    if name in tfds.list_builders(with_community_datasets=False):
        raise ValueError(
            f"--name={name!r} is a data set of tensorflow-datasets: take another name."
        )
    # Named as ImageNet's, so that an image that cannot be decoded is told by its file.
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=classes),
            "file_name": tfds.features.Text(),
        }
    )
    builder = tfds.dataset_builders.AdhocBuilder(
        name=name,
        version=_VERSION,
        features=features,
        split_datasets={split: _examples(each) for split, each in found.items()},
        data_dir=data_dir,
    )
    if builder.data_path.exists():
        raise ValueError(
            f"{builder.data_path} is there already: remove it, or take another --name."
        )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    return str(builder.data_path)


def _validate_name(name: str) -> None:
    """Raises ValueError for what cannot be the name of a new data set."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(
            f"--name={name!r} has to be of small letters, digits and _, a letter first."
        )
    if name in DATASETS:
        raise ValueError(f"--name={name!r} is a data set already: take another name.")


def _examples(
    files: Sequence[tuple[pathlib.Path, int]],
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yields a key and the features of each image."""
    for file, label in files:
        content = file.read_bytes()
        if not content.startswith((records.JPEG, records.PNG)):
            raise ValueError(
                f"{file} is neither JPEG nor PNG: it begins with {content[:8]!r}. "
                "Convert or remove it."
            )
        key = f"{file.parent.name}/{file.name}"
        yield key, {"image": content, "label": label, "file_name": key}


def main() -> None:
    """Runs as a program: defines its flags, parses them, exits."""
    flags.DEFINE_string("folder", None, "with train/CLASS/ and test/CLASS/ in it")
    flags.DEFINE_string("name", None, "what the data set is called: --dataset=NAME")
    flags.DEFINE_string("data_dir", None, "where it goes; None: ~/tensorflow_datasets")
    try:
        app.run(_main, flags_parser=command_line.parsed)
    except KeyboardInterrupt:
        print("Stopped; nothing was prepared.", file=sys.stderr)
        sys.exit(stopping.INTERRUPTED)


def _main(arguments: Sequence[str]) -> int:
    """Prepares what the flags name; returns the exit code."""
    given = flags.FLAGS
    # No GPU is needed, nor what TensorFlow and tensorflow-datasets say to themselves.
    environment.fix({"CUDA_VISIBLE_DEVICES": "-1"})
    logging.set_verbosity(logging.ERROR)
    try:
        command_line.refuse_arguments(arguments)
        if not (given.folder and given.name):
            raise ValueError("Give --folder and --name. See --help.")
        path = prepare(given.folder, given.name, data_dir=given.data_dir)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return command_line.WRONG_INPUT
    where = f" --data_dir={given.data_dir}" if given.data_dir else ""
    print(f"The images are in {path}: --dataset={given.name}{where}")
    return 0


if __name__ == "__main__":
    main()
