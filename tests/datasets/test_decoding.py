"""What is shown of encoded images, against PIL."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tflottery.datasets import decoding, encoded
from tflottery.datasets.encoded import DamagedImage

_SHAPE = (32, 32, 3)


def picture(height, width):
    """Returns an image of smooth colours and edges, as photographs have them."""
    rows, columns = np.mgrid[:height, :width]
    channels = [
        127 + 120 * np.sin(rows / 9 + columns / 14),
        (rows * 3 + columns) % 256,
        np.where((rows // 16 + columns // 24) % 2, 220, 30),
    ]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def saved(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shown(content, window, shape=_SHAPE):
    size = tf.constant(encoded.size(content))
    window = tf.constant(window, tf.int32)
    show = tf.function(decoding.shown, autograph=False)
    return show(tf.constant(content), size, window, image_shape=shape).numpy()


def expected(content, window, shape=_SHAPE):
    """Returns what PIL makes of a window: bilinear between the centres of pixels."""
    image = Image.open(io.BytesIO(content))
    if shape[2] == 1:
        # JPEG holds brightness itself; of rounded colours it would be another one.
        image.draft("L", image.size)
    image = image.convert("RGB" if shape[2] == 3 else "L")
    top, left, height, width = window
    part = np.asarray(image.crop((left, top, left + width, top + height)))
    # Beyond the outermost centres an image goes on as it ends.
    border = ((1, 1), (1, 1), (0, 0))[: part.ndim]
    part = Image.fromarray(np.pad(part, border, mode="edge"))
    box = (1, 1, width + 1, height + 1)
    found = part.transform(shape[1::-1], Image.EXTENT, box, Image.BILINEAR)
    return np.asarray(found).reshape(shape)


def nearly(found, other):
    return abs(found.astype(int) - other.astype(int)).max() <= 1


_WINDOWS = [(0, 0, 90, 120), (17, 33, 40, 56), (50, 80, 40, 40), (31, 16, 5, 90)]
FORMS = {
    "JPEG": saved(picture(90, 120), quality=90),
    "JPEG in full colour": saved(picture(90, 120), quality=85, subsampling=0),
    "progressive JPEG": saved(picture(90, 120), progressive=True),
    "grey JPEG": saved(picture(90, 120).convert("L")),
    "JPEG in four colours": saved(picture(90, 120).convert("CMYK"), quality=90),
    "PNG": saved(picture(90, 120), "PNG"),
    "grey PNG": saved(picture(90, 120).convert("L"), "PNG"),
    "PNG of a palette": saved(picture(90, 120).quantize(32), "PNG"),
}


@pytest.mark.parametrize("form", FORMS)
def test_windows_are_those_of_pil_within_one_level(form):
    for window in _WINDOWS:
        content = FORMS[form]
        assert nearly(shown(content, window), expected(content, window))


def test_colours_become_grey_where_a_network_takes_that():
    shape = (16, 24, 1)
    found = shown(FORMS["JPEG"], _WINDOWS[0], shape)
    assert nearly(found, expected(FORMS["JPEG"], _WINDOWS[0], shape))


def test_what_there_is_of_a_cut_image_is_kept():
    content = FORMS["JPEG"]
    found = shown(content[: len(content) * 2 // 3], (0, 0, 90, 120), (90, 120, 3))
    whole = shown(content, (0, 0, 90, 120), (90, 120, 3))
    assert (found[:32] == whole[:32]).all()
    assert (found[-8:] == 128).all()


@pytest.mark.parametrize("form", FORMS)
def test_sizes_are_read_from_heads(form):
    assert encoded.size(FORMS[form]) == (90, 120)


def test_a_size_is_found_behind_other_segments():
    comment = b"\xff\xfe\x00\x05abc\xff\xff\xff"
    content = FORMS["JPEG"]
    # 255 before a marker only fills up.
    longer = content[:2] + comment + content[3:]
    assert encoded.size(longer) == (90, 120)


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(40), b"\xff\xd8\xff\xe0\0\2ab"])
def test_what_is_no_image_is_refused(content):
    with pytest.raises(DamagedImage):
        encoded.size(content)


@pytest.mark.parametrize("content", [b"", FORMS["JPEG"][:50], b"GIF89a"])
def test_a_damaged_image_is_named_with_its_file(tmp_path, content):
    path = tmp_path / "shard"
    path.write_bytes(bytes(3) + content)
    table = np.array([[0, 3, len(content), 0]])
    images = encoded.in_files([str(path)], table, form="tfrecord").shaped(_SHAPE)
    expected = f"at byte 3 of '{path}', {len(content)} bytes long, is no JPEG or PNG"
    with pytest.raises(DamagedImage, match=expected):
        images.read([0])


def test_encoded_images_are_taken_as_an_array_is(tmp_path):
    contents = [FORMS["JPEG"], FORMS["PNG"], FORMS["grey JPEG"]]
    path = tmp_path / "shard"
    path.write_bytes(b"".join(contents))
    lengths = [len(one) for one in contents]
    table = np.array([[0, sum(lengths[:i]), lengths[i], 0] for i in range(3)])
    images = encoded.in_files([str(path)], table, form="tfrecord").shaped(_SHAPE)
    assert images.shape == (3, 32, 32, 3) and len(images) == 3
    part = images[np.array([True, False, True])]
    assert part.read([1, 0])[0] == [contents[2], contents[0]]
    assert part.shaped((8, 8, 1)).shape == (2, 8, 8, 1)
    assert images.read([1])[1].tolist() == [[90, 120]]
