"""A ticket of a small transformer that classifies text: which word came first."""

import keras
import numpy as np

import tflottery

LENGTH, NUM_WORDS = 16, 12


class WordsAtPlaces(keras.layers.Layer):
    """The sum of what stands for a word and for its place."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.words = keras.layers.Embedding(NUM_WORDS, 32)
        self.places = keras.layers.Embedding(LENGTH, 32)

    def call(self, words):
        return self.words(words) + self.places(keras.ops.arange(LENGTH))


def build_model():
    words = keras.Input((LENGTH,), dtype="int32")
    x = WordsAtPlaces(name="embedding")(words)
    attended = keras.layers.MultiHeadAttention(4, 8)(x, x)
    x = keras.layers.LayerNormalization()(x + attended)
    hidden = keras.layers.Dense(64, activation="relu")(x)
    x = keras.layers.LayerNormalization()(x + keras.layers.Dense(32)(hidden))
    x = keras.layers.GlobalMaxPooling1D()(x)
    return keras.Model(words, keras.layers.Dense(1)(x))


def sentences(generator, number):
    """Words 0 and 1 stand once in each; the label is whether 0 comes first."""
    words = generator.integers(2, NUM_WORDS, (number, LENGTH))
    places = generator.permuted(np.tile(np.arange(LENGTH), (number, 1)), axis=1)
    words[np.arange(number), places[:, 0]] = 0
    words[np.arange(number), places[:, 1]] = 1
    return words.astype(np.int32), (places[:, 0] < places[:, 1]).astype(np.float32)


def main():
    generator = np.random.default_rng(0)
    return tflottery.find_ticket(
        build_model,
        sentences(generator, 2048),
        test_data=sentences(generator, 512),
        optimizer=keras.optimizers.Adam(0.003),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)],
        training_iterations="12ep",
        pruning_fraction=0.5,
        density=0.15,
        unpruned=["embedding"],
    )


if __name__ == "__main__":
    print(main().table.to_string())
