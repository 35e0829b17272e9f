"""Small datasets in the form in which tensorflow-datasets prepares them.

Written here byte by byte, because tensorflow-datasets starts TensorFlow to write any.
"""

import json
import struct
import zlib

import numpy as np
import pytest

_PYTHON = "tensorflow_datasets.core.features"
_LABEL = {
    "pythonClassName": f"{_PYTHON}.class_label_feature.ClassLabel",
    "classLabel": {"numClasses": "5"},
}
_NUMBER = {
    "pythonClassName": f"{_PYTHON}.scalar.Scalar",
    "tensor": {"dtype": "int64", "encoding": "none", "shape": {}},
}


@pytest.fixture(scope="package")
def data_dir(tmp_path_factory):
    """A folder of prepared datasets; whoever changes one changes a copy."""
    folder = tmp_path_factory.mktemp("tfds")
    _prepare(folder, "little", image=_image(4, 4, 3))
    _prepare(folder, "little_any_shape", image=_image(-1, -1, 3))
    train_only = "little_any_shape_train_only"
    _prepare(folder, train_only, image=_image(-1, -1, 3), splits=("train",))
    _prepare(folder, "little_train_only", image=_image(4, 4, 3), splits=("train",))
    _prepare(folder, "little_number", image=_image(4, 4, 3), label=_NUMBER)
    floats = {"dtype": "float32", "encoding": "none", "shape": _shape(4, 4, 3)}
    tensor = {
        "pythonClassName": f"{_PYTHON}.tensor_feature.Tensor",
        "tensor": floats,
    }
    _prepare(folder, "little_float", image=tensor)
    return folder


def _prepare(folder, name, *, image, label=_LABEL, splits=("train", "test")):
    """Writes a dataset of seven training and three test images of one value each."""
    version = folder / name / "1.2.3"
    version.mkdir(parents=True)
    features = {
        "pythonClassName": f"{_PYTHON}.features_dict.FeaturesDict",
        "featuresDict": {"features": {"image": image, "label": label}},
    }
    (version / "features.json").write_text(json.dumps(features))
    described = []
    for split in splits:
        count = 7 if split == "train" else 3
        examples = [_example(index + 10, index % 5) for index in range(count)]
        path = version / f"{name}-{split}.tfrecord-00000-of-00001"
        path.write_bytes(b"".join(map(_record, examples)))
        described.append(
            {
                "name": split,
                "shardLengths": [str(count)],
                "numBytes": str(sum(map(len, examples))),
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        )
    info = {
        "name": name,
        "version": "1.2.3",
        "fileFormat": "tfrecord",
        "splits": described,
    }
    (version / "dataset_info.json").write_text(json.dumps(info))


def _shape(*dimensions):
    return {"dimensions": list(map(str, dimensions))}


def _image(*shape):
    return {
        "pythonClassName": f"{_PYTHON}.image_feature.Image",
        "image": {"dtype": "uint8", "shape": _shape(*shape)},
    }


def _example(value, label):
    """Returns a tf.train.Example of a 4 x 4 x 3 image of one value, and a label."""
    image = _field(1, _field(1, _png(np.full((4, 4, 3), value, np.uint8))))
    number = _field(3, _field(1, bytes([label])))
    entries = [
        _field(1, _field(1, b"image") + _field(2, image)),
        _field(1, _field(1, b"label") + _field(2, number)),
    ]
    return _field(1, b"".join(entries))


def _field(number, content):
    """Returns a field of a protocol buffer, of fewer than 128 bytes."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def _png(image):
    height, width, _ = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _record(content):
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content):
    """Returns the CRC-32C that TFRecord files hold, rotated and shifted as they say."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)
