"""A ticket of a 1D convolution on sequences: which of three waves a noisy one is."""

import keras
import numpy as np

import tflottery


def build_model():
    return keras.Sequential(
        [
            keras.Input((64, 1)),
            keras.layers.Conv1D(16, 7, strides=2, activation="relu"),
            keras.layers.Conv1D(32, 5, strides=2, activation="relu"),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dense(3),
        ]
    )


def waves(generator, number):
    kinds = generator.integers(3, size=number)
    phases = generator.uniform(0, 2 * np.pi, (number, 1))
    t = np.linspace(0, 6 * np.pi, 64) + phases
    shapes = np.stack([np.sin(t), np.sign(np.sin(t)), np.arcsin(np.sin(t))])
    clean = shapes[kinds, np.arange(number)]
    return (clean + 0.2 * generator.normal(size=clean.shape))[..., None], kinds


def main():
    generator = np.random.default_rng(0)
    return tflottery.find_ticket(
        build_model,
        waves(generator, 1024),
        test_data=waves(generator, 512),
        optimizer=keras.optimizers.Adam(0.005),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        training_iterations="12ep",
        pruning_fraction=0.5,
        density=0.15,
    )


if __name__ == "__main__":
    print(main().table.to_string())
