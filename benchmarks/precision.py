"""How many times as fast is training in mixed_bfloat16 on this CPU?

    python -m benchmarks.precision [--model=resnet20] [--batch_size=128] [--plain]

Each network makes updates on made images in processes set up as workers are, of one
thread, in float32 and in mixed_bfloat16 by turns. Their processor time counts, which
other work on the machine disturbs less than the clock. With --plain the same is asked
of a plain Keras network and step: layers, optimizer and compiled step of Keras alone.
"""

import multiprocessing
import statistics
import time

from absl import app, flags

from benchmarks import conditions, made_training
from tflottery.training import precisions, process

# Updates that are timed, by network; as many as take some seconds.
_UPDATES = {"lenet": 4_000, "resnet20": 24, "vgg16": 6}
_USUAL_UPDATES = 4

_MODELS = flags.DEFINE_multi_string(
    "model", ["lenet", "resnet20", "vgg16"], "networks to train"
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "None: that of the paper")
_TRIALS = flags.DEFINE_integer("trials", 3, "times each is measured", lower_bound=1)
_PLAIN = flags.DEFINE_bool("plain", False, "measure a plain Keras step as well")


def main(arguments: list[str]) -> None:
    """Prints a line per network and kind of step."""
    del arguments
    print(conditions.line())
    print("images a second of a processor, medians; times as fast")
    print(
        f"{'model':10} {'step':8} {'float32':>9} {'bfloat16':>9} {'ratio':>6}  ratios"
    )
    for model in _MODELS.value:
        for plain in (False, True) if _PLAIN.value else (False,):
            asked = (model, _BATCH_SIZE.value, plain)
            turns = [
                [_in_a_process(*asked, one) for one in precisions.PRECISIONS]
                for _ in range(_TRIALS.value)
            ]
            slow, fast = map(statistics.median, zip(*turns, strict=True))
            ratios = [after / before for before, after in turns]
            print(
                f"{model:10} {'Keras' if plain else 'package':8} {slow:9.0f} "
                f"{fast:9.0f} {statistics.median(ratios):6.2f}  "
                f"{min(ratios):.2f} to {max(ratios):.2f}",
                flush=True,
            )


def _in_a_process(
    model: str, batch_size: int | None, plain: bool, precision: str
) -> float:
    """Returns the images that a new process trains on, by second of its processor."""
    measure = _of_keras if plain else _of_package
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (model, batch_size, precision))


def _of_package(model: str, batch_size: int | None, precision: str) -> float:
    """Returns the speed of the package's own loop."""
    process.configure()
    trainer, stream = made_training.ready(
        model, batch_size=batch_size, precision=precision
    )
    # Traced, compiled, and all kernels chosen.
    warm = max(3, _updates(model) // 4)
    reached = trainer.train(stream, warm)
    started = time.process_time()
    trainer.train(stream, reached + _updates(model))
    took = time.process_time() - started
    return trainer.recipe.batch_size * _updates(model) / took


def _of_keras(model: str, batch_size: int | None, precision: str) -> float:
    """Returns the speed of a step of Keras's own."""
    process.configure()
    import keras
    import numpy as np
    import tensorflow as tf

    study = made_training.study(model, batch_size=batch_size, precision=precision)
    data, size = study.facts.data, study.recipe.batch_size
    network = precisions.build(
        model,
        input_shape=data.image_shape,
        num_classes=data.num_classes,
        precision=precision,
    )
    network = keras.models.clone_model(network, clone_function=_plain_layer)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(network.trainable_variables)
    shape = (size, *data.image_shape)
    images = tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)
    labels = tf.constant(np.arange(size) % data.num_classes)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = keras.losses.sparse_categorical_crossentropy(
                labels, network(images, training=True), from_logits=True
            )
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        return loss

    for _ in range(3):
        step()
    started = time.process_time()
    for _ in range(_updates(model)):
        step()
    return size * _updates(model) / (time.process_time() - started)


def _plain_layer(layer: object) -> object:
    """Returns Keras's own layer in place of one of the package."""
    import keras

    own = type(layer).__mro__
    known = next(one for one in own if one.__module__.startswith("keras."))
    config = layer.get_config()
    accepted = keras.layers.BatchNormalization, keras.layers.Dense, keras.layers.Conv2D
    return known.from_config(config) if known in accepted else layer.from_config(config)


def _updates(model: str) -> int:
    return _UPDATES.get(model, _USUAL_UPDATES)


if __name__ == "__main__":
    app.run(main)
