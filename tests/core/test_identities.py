"""Networks and data sets in keys."""

import dataclasses

from tflottery.core import fingerprints
from tflottery.core.identities import Data

DIGITS = Data(
    name="digits",
    version="1-8x8x1",
    digest="0123456789abcdef",
    image_shape=(8, 8, 1),
    num_train=1437,
    num_test=360,
    num_classes=10,
)
ROTATED = dataclasses.replace(DIGITS, pretext="rotation", pretext_version=1)


def test_every_field_counts():
    changed = {
        "name": "mnist",
        "version": "2",
        "digest": "1",
        "image_shape": (8, 8, 3),
        "num_train": 1,
        "num_test": 1,
        "num_classes": 9,
        "pretext": "blur",
        "pretext_version": 2,
        "pretext_seed": 1,
        "input_scaling": "standardized",
        "resized_to": (8, 8, 3),
        "subset": "images:0.1",
    }
    assert changed.keys() == {field.name for field in dataclasses.fields(Data)}
    found = {fingerprints.fingerprint(ROTATED)}
    for name, value in changed.items():
        other = dataclasses.replace(ROTATED, **{name: value})
        found.add(fingerprints.fingerprint(other))
    assert len(found) == len(changed) + 1
