"""A ticket of a network of keras.applications on small images: handwritten digits."""

import keras
import numpy as np
from sklearn.datasets import load_digits

import tflottery


def build_model():
    model = keras.applications.MobileNet(
        input_shape=(32, 32, 1), alpha=0.25, weights=None, classes=10
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # For thousands of updates it is 0.99; here are hundreds.
            layer.momentum = 0.9
    return model


def main():
    digits = load_digits()
    x = np.kron(digits.images / 8 - 1, np.ones((1, 4, 4)))[..., None]
    is_test = np.arange(len(x)) % 4 == 0
    return tflottery.find_ticket(
        build_model,
        (x[~is_test], digits.target[~is_test]),
        test_data=(x[is_test], digits.target[is_test]),
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.01, 338)
        ),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        batch_size=64,
        training_iterations="16ep",
        rewind_iteration="25%",
        pruning_fraction=0.56,
        density=0.2,
        # Few weights, and a channel without them is lost.
        unpruned=[f"conv_dw_{number}" for number in range(1, 14)],
    )


if __name__ == "__main__":
    print(main().table.to_string())
