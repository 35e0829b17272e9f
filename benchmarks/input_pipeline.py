"""Batches of ImageNet against decoding, cropping and resizing the same images alone.

    python -m benchmarks.input_pipeline --data_dir=FOLDER [--dataset=imagenet2012]

Rates are images per second of processor time of all threads, so that the input's own
threads count. The peers are given the encoded images in memory and the windows that the
pipeline draws; the pipeline also finds, orders, reads, mirrors and batches them. It
should reach 0.9 of the fastest peer that crops and resizes.
"""

import io
import itertools
import resource
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from absl import app, flags

from benchmarks import conditions
from tflottery.datasets import crops, encoded_batches, pipeline, source
from tflottery.datasets.stream import Stream
from tflottery.training import process

_DATA_DIR = flags.DEFINE_string("data_dir", None, "prepared tensorflow-datasets")
_DATASET = flags.DEFINE_string("dataset", "imagenet2012", "images of many sizes")
_BATCHES = flags.DEFINE_integer("batches", 10, "of each measurement", lower_bound=1)
_TRIALS = flags.DEFINE_integer("trials", 3, "times each is measured", lower_bound=1)
_BATCH_SIZE = 32
# What an NVIDIA H200 trains on, in images a second (docs/scaling.md). AlexNet takes
# many times that, and no TPU was measured.
_WANTED = {
    "ResNet-50 in float32": 757,
    "Inception-v3 in mixed_bfloat16": 2_900,
    "ResNet-50 in mixed_bfloat16": 5_100,
}
# Encoded image and window.
_Example = tuple[bytes, np.ndarray]


def main(arguments: list[str]) -> None:
    """Prints a line per program, and how many cores devices need."""
    del arguments
    print(conditions.line())
    process.configure()
    data = source.load(_DATASET.value, data_dir=_DATA_DIR.value)
    stream = Stream(
        len(data.train.labels), _BATCH_SIZE, data_order_seed=1, augmentation_seed=2
    )
    examples = _examples(data, stream)
    programs = {"the pipeline": _pipeline(data, stream)} | {
        name: _over(examples, peer) for name, peer in _peers(data.image_shape).items()
    }
    rates = {name: [] for name in programs}
    for _ in range(_TRIALS.value):
        for name, images in programs.items():
            rates[name].append(_rate(images))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = {name: statistics.median(of) for name, of in rates.items()}
    fastest = max(rate for name, rate in found.items() if "resize" in name)
    for name, rate in found.items():
        print(f"{name:32} {rate:7,.0f} images/s   {rate / fastest:5.2f}", flush=True)
    own = found["the pipeline"]
    bare = max((name for name in found if "alone" in name), key=found.get)
    print(f"the pipeline makes {own / found[bare]:.2f} of what {bare} does")
    for network, wanted in _WANTED.items():
        print(
            f"{network} on an H200 takes {wanted:,} images/s: {wanted / own:.1f} cores"
        )
    print(f"{peak:.2f} GiB of memory at most, with all {len(examples)} images in it")


def _pipeline(data: source.Source, stream: Stream) -> Callable[[], Iterator]:
    """Returns what begins to make batches and yields once for each image."""
    windows = encoded_batches.Windows(data.train.images, augmentation="resized_crop")
    dataset = encoded_batches.as_dataset(
        windows, lambda: pipeline.rows(stream, 0), batch_size=_BATCH_SIZE
    )
    return lambda: (one for batch in dataset for one in range(_BATCH_SIZE))


def _examples(data: source.Source, stream: Stream) -> list[_Example]:
    """Returns the images that the pipeline shows, and their windows."""
    batches = stream.batches(0, _BATCHES.value + 1)
    contents, sizes = data.train.images.read(batches.indices.reshape(-1))
    windows = crops.drawn(sizes, batches.bits.reshape(-1))
    return list(zip(contents, windows, strict=True))


def _peers(shape: tuple[int, int, int]) -> dict[str, Callable]:
    """Returns what is measured beside the pipeline, as functions of an example."""
    import tensorflow as tf
    from PIL import Image

    @tf.function(autograph=False)
    def resized(content: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
        part = tf.io.decode_and_crop_jpeg(content, window, channels=3)
        return tf.cast(tf.image.resize(part, shape[:2]) + 0.5, tf.uint8)

    @tf.function(autograph=False)
    def decoded(content: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
        del window
        return tf.io.decode_jpeg(content, channels=3)

    def by_pil(content: bytes, window: np.ndarray) -> Image.Image:
        top, left, height, width = window.tolist()
        box = (left, top, left + width, top + height)
        image = Image.open(io.BytesIO(content)).convert("RGB")
        return image.resize(shape[1::-1], Image.BILINEAR, box=box)

    return {
        "tf crop and resize": lambda *example: resized(*map(tf.constant, example)),
        "PIL crop and resize": by_pil,
        "tf decode alone": lambda *example: decoded(*map(tf.constant, example)),
    } | _simplejpeg()


def _simplejpeg() -> dict[str, Callable]:
    """Returns the peer that is measured where it is installed."""
    try:
        import simplejpeg
    except ImportError:
        return {}
    return {
        "simplejpeg decode alone": lambda content, _: simplejpeg.decode_jpeg(content)
    }


def _over(examples: list[_Example], peer: Callable) -> Callable[[], Iterator]:
    return lambda: itertools.starmap(peer, examples)


def _rate(images: Callable[[], Iterator]) -> float:
    """Returns images per second of processor time, once the first batch is done."""
    made = iter(images())
    for _ in range(_BATCH_SIZE):
        next(made)
    started, count = time.process_time(), (_BATCHES.value - 1) * _BATCH_SIZE
    for _ in range(count):
        next(made)
    return count / (time.process_time() - started)


if __name__ == "__main__":
    app.run(main)
