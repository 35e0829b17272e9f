"""A ticket of an MLP on a table: scikit-learn's breast cancer data, two classes."""

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer

import tflottery


def build_model():
    return keras.Sequential(
        [
            keras.Input((30,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


def main():
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    is_test = np.arange(len(y)) % 4 == 0
    return tflottery.find_ticket(
        build_model,
        (x[~is_test], y[~is_test]),
        test_data=(x[is_test], y[is_test]),
        optimizer="adam",
        loss="binary_crossentropy",
        metrics=["accuracy"],
        training_iterations="20ep",
        pruning_fraction=0.5,
        density=0.15,
    )


if __name__ == "__main__":
    print(main().table.to_string())
