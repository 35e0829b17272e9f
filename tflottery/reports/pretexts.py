"""What does each pretext task show, and what does it ask? (EP, section 6)

    python -m tflottery.reports.pretexts --dataset=digits

saves a contact sheet as a PNG: a row of training images as they are, below it the same
images for each registered pretext as a network in training is given them, but for flip
and crop. Under each image stands its label.
"""

import dataclasses
import typing
from collections.abc import Sequence

import numpy as np
from absl import flags, logging
from etils import epath

from tflottery.core import command_line, seeds
from tflottery.core.registry import PRETEXTS
from tflottery.datasets import pipeline
from tflottery.datasets import source as sources
from tflottery.datasets.source import Source
from tflottery.datasets.stream import stream_of
from tflottery.figures import style
from tflottery.reports import saving
from tflottery.training import process

if typing.TYPE_CHECKING:
    import matplotlib.figure

MOST_EXAMPLES = 64
# With this seed eight images show all four turns, of digits, MNIST and CIFAR-10 alike.
USUAL_EXAMPLES, USUAL_SEED = 8, 11
_PANEL_INCHES = 0.9
_NAME_INCHES = 1.4
_LABEL_INCHES = 0.25
_TITLE_INCHES = 0.35


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """Examples of one task.

    Attributes:
      pretext: its name, or None for the data's own task.
      num_outputs: of a network for it, one a class as a rule.
      images: [examples, height, width, channels] float32 in [0, 1].
      labels: [examples] int32, or other targets.
    """

    pretext: str | None
    num_outputs: int
    images: np.ndarray
    labels: np.ndarray

    @property
    def classifies(self) -> bool:
        """Whether the task is to name labels."""
        return self.pretext is None or PRETEXTS[self.pretext]["losses"] is None


def rows(source: Source, *, num_examples: int, seed: int) -> list[Row]:
    """Returns the same training examples under every task, the data's own first.

    Args:
      source: the data.
      num_examples: how many, at least 1.
      seed: decides which examples, and all that is random in the tasks.

    Raises:
      ValueError: the images do not suit a pretext.
    """
    import tensorflow as tf

    stream = stream_of(
        source.train.labels,
        num_examples,
        data_order_seed=seeds.seed("contact_sheet_order", seed=seed),
        augmentation_seed=seeds.seed("contact_sheet_bits", seed=seed),
    )
    batch = stream.batches(0, 1)
    found = []
    for pretext in (None, *PRETEXTS.names()):
        load = pipeline.loader(
            source,
            split="train",
            augmentation="none",
            pretext=pretext,
            pretext_seed=seed,
        )
        images, labels = load(tf.constant(batch.indices[0]), tf.constant(batch.bits[0]))
        images = images.numpy() * np.float32(source.std) + np.float32(source.mean)
        if images.ndim == 5:
            # Views stand side by side.
            images = np.concatenate(list(images.swapaxes(0, 1)), axis=2)
        num_outputs = sources.num_outputs(source, pretext=pretext)
        # What normalization rounded may lie beyond black or white.
        found.append(Row(pretext, num_outputs, images.clip(0, 1), labels.numpy()))
    return found


def drawn(table: Sequence[Row], *, title: str) -> "matplotlib.figure.Figure":
    """Returns the contact sheet: a row of images for each task, labels underneath."""
    num_examples = len(table[0].labels)
    width = _NAME_INCHES + num_examples * _PANEL_INCHES
    height = _TITLE_INCHES + len(table) * (_PANEL_INCHES + _LABEL_INCHES)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(len(table), num_examples, squeeze=False)
    for row, line in zip(table, panels, strict=True):
        line[0].set_ylabel(
            f"{row.pretext or 'the data'}\n{row.num_outputs} "
            f"{'classes' if row.classifies else 'outputs'}",
            fontsize=9,
            rotation="horizontal",
            horizontalalignment="right",
            verticalalignment="center",
        )
        for axes, image, label in zip(line, row.images, row.labels, strict=True):
            gray = image.shape[-1] == 1
            axes.imshow(image[..., 0] if gray else image, cmap="gray", vmin=0, vmax=1)
            axes.set_xlabel(str(label) if row.classifies else "", fontsize=9)
            axes.set_xticks([])
            axes.set_yticks([])
    return figure


def validate(dataset: str, *, output: str, num_examples: int) -> epath.Path:
    """Returns the path of the sheet; raises ValueError if it cannot be drawn.

    Args: as of `save`.
    """
    if not dataset:
        raise ValueError("--dataset is empty: name one, such as digits.")
    if not 1 <= num_examples <= MOST_EXAMPLES:
        raise ValueError(
            f"--num_examples={num_examples!r} has to be from 1 to {MOST_EXAMPLES}."
        )
    sources.refuse_absent(dataset)
    return saving.path_of(output, endings=[".png"])


def save(
    dataset: str, *, data_dir: str | None, output: str, num_examples: int, seed: int
) -> None:
    """Draws the contact sheet of a dataset.

    Args:
      dataset: its name.
      data_dir: folder of prepared tensorflow-datasets, or None for the default.
      output: file to save to; ends in .png.
      num_examples: images in a row, 1 to `MOST_EXAMPLES`.
      seed: as for `rows`.

    Raises:
      ValueError: an argument is wrong, or the images do not suit a pretext.
      OSError, RuntimeError: the data cannot be had.

    Changes: writes `output`, and the folder it is in where there is none.
    """
    path = validate(dataset, output=output, num_examples=num_examples)
    source = sources.load(dataset, data_dir=data_dir)
    table = rows(source, num_examples=num_examples, seed=seed)
    with saving.writing(path, output=output):
        path.write_bytes(
            style.png(lambda: drawn(table, title=f"Pretext tasks on {dataset}"))
        )


def main() -> None:
    """Runs the report as a program: defines its flags, parses them, exits."""
    flags.DEFINE_string("dataset", "digits", "data set whose images are shown")
    flags.DEFINE_string(
        "data_dir",
        None,
        "folder of prepared tensorflow-datasets; None: ~/tensorflow_datasets",
    )
    flags.DEFINE_string("output", "pretexts.png", "file to save to, a PNG")
    flags.DEFINE_integer(
        "num_examples", USUAL_EXAMPLES, f"images in a row, up to {MOST_EXAMPLES}"
    )
    flags.DEFINE_integer("seed", USUAL_SEED, "decides images, turns and random labels")
    saving.run(_saved, refused=(ValueError, OSError, RuntimeError))


def _saved(arguments: Sequence[str]) -> str:
    """Saves the contact sheet that the flags ask for; says where."""
    names = ("data_dir", "output", "num_examples", "seed")
    options = {name: flags.FLAGS[name].value for name in names}
    command_line.refuse_arguments(arguments)
    dataset = flags.FLAGS["dataset"].value
    # Before TensorFlow starts.
    validate(dataset, output=options["output"], num_examples=options["num_examples"])
    process.configure()
    # As a program, absl shows what tensorflow-datasets says to itself.
    logging.set_verbosity(logging.ERROR)
    save(dataset, **options)
    return f"The contact sheet is in {options['output']}"


if __name__ == "__main__":
    main()
