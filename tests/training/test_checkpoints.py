"""Arrays written are the arrays read, and damage is told from absence."""

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from tflottery.training import checkpoints


def _arrays():
    return {
        "head/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
        "head/bias": np.array([np.nan, -0.0, np.inf], np.float32),
        "scalar": np.float32(2.5).reshape(()),
        "empty": np.zeros((0, 4), np.float32),
        "turned": np.asfortranarray(np.arange(6.0).reshape(3, 2)),
    }


def test_weights_and_slots_round_trip(tmp_path):
    arrays = _arrays()
    folder = tmp_path / "runs" / "00000500"
    checkpoints.write(folder, arrays, slots={"momentum/head/bias": arrays["turned"]})
    weights = checkpoints.read_weights(folder)
    assert weights.keys() == arrays.keys()
    for name, value in arrays.items():
        assert weights[name].dtype == value.dtype
        assert weights[name].shape == value.shape
        assert weights[name].tobytes() == value.tobytes()
    slots = checkpoints.read_slots(folder)
    np.testing.assert_array_equal(slots["momentum/head/bias"], arrays["turned"])
    assert sorted(p.name for p in folder.iterdir()) == [
        "slots.safetensors",
        "weights.safetensors",
    ]


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    arrays = {"w": np.arange(3.0)}
    checkpoints.write("~/state", arrays, slots=arrays)
    checkpoints.write_arrays("~/ticket", arrays)
    assert {one.name for one in tmp_path.iterdir()} == {"state", "ticket"}
    for read, name in (
        (checkpoints.read_weights, "~/state"),
        (checkpoints.read_slots, "~/state"),
        (checkpoints.read_arrays, "~/ticket"),
    ):
        np.testing.assert_array_equal(read(name)["w"], arrays["w"])


def test_same_arrays_in_another_order_give_the_same_bytes(tmp_path):
    arrays = _arrays()
    checkpoints.write_arrays(tmp_path / "a", arrays)
    checkpoints.write_arrays(tmp_path / "b", dict(reversed(arrays.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_holds_the_arrays_it_was_written_of(tmp_path):
    arrays = _arrays()
    checkpoints.write_arrays(tmp_path / "a", arrays)
    assert checkpoints.holds(tmp_path / "a", dict(reversed(arrays.items())))
    other = arrays | {"head/bias": np.array([np.nan, 0.0, np.inf], np.float32)}
    assert not checkpoints.holds(tmp_path / "a", other)


def test_writing_again_replaces(tmp_path):
    checkpoints.write(tmp_path, {"w": np.zeros(3, np.float32)})
    checkpoints.write(tmp_path, {"w": np.ones(3, np.float32)})
    np.testing.assert_array_equal(checkpoints.read_weights(tmp_path)["w"], np.ones(3))


def test_state_without_slots_says_what_is_there(tmp_path):
    checkpoints.write(tmp_path, {"w": np.zeros(3, np.float32)})
    with pytest.raises(
        FileNotFoundError, match=r"no slots\.safetensors.*\['weights\.safetensors'\]"
    ):
        checkpoints.read_slots(tmp_path)
    with pytest.raises(FileNotFoundError, match="no weights.safetensors"):
        checkpoints.read_weights(tmp_path / "nowhere")


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[:4], lambda b: b""])
def test_truncated_file_is_damaged(tmp_path, damage):
    checkpoints.write(tmp_path, {"w": np.zeros(30, np.float32)})
    path = tmp_path / "weights.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"weights\.safetensors is damaged: \d+ bytes"):
        checkpoints.read_weights(tmp_path)


def test_write_that_fails_midway_leaves_the_old_file(tmp_path, small_disk):
    checkpoints.write(tmp_path, {"w": np.zeros(3, np.float32)})
    with small_disk(), pytest.raises(OSError, match="too large"):
        checkpoints.write(tmp_path, {"w": np.ones(100_000, np.float32)})
    np.testing.assert_array_equal(checkpoints.read_weights(tmp_path)["w"], np.zeros(3))
    assert [one.name for one in tmp_path.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize(
    "name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float16", "bool", "complex64"]
)
def test_narrow_arrays_round_trip(tmp_path, name):
    values = np.array([[0, 1.5, -2]]).astype(getattr(ml_dtypes, name, name))
    checkpoints.write_arrays(tmp_path / "a", {"w": values, "f": np.float32([0.1])})
    found = checkpoints.read_arrays(tmp_path / "a")["w"]
    assert found.dtype == values.dtype and found.tobytes() == values.tobytes()
    assert found.shape == (1, 3)


@pytest.mark.parametrize(
    "values", [np.array(["text"]), np.array([None]), np.zeros(2, np.complex128)]
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, values):
    with pytest.raises(ValueError, match=rf"'w' is of dtype {values.dtype}.*float32"):
        checkpoints.write_arrays(tmp_path / "a", {"v": np.zeros(1), "w": values})
    assert not list(tmp_path.iterdir())


def test_dtype_of_another_writer_is_named(tmp_path):
    safetensors.numpy.save_file({"w": np.zeros(2, np.uint8)}, tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size].rstrip().replace(b'"U8"', b'"F8_E8M0"')
    whole = len(header).to_bytes(8, "little") + header + data[8 + size :]
    (tmp_path / "a").write_bytes(whole)
    with pytest.raises(ValueError, match="'w'.* of dtype F8_E8M0.* read: .*bfloat16"):
        checkpoints.read_arrays(tmp_path / "a")


def test_arrays_come_in_the_order_of_their_names(tmp_path):
    """Sums over them, and files made of them, are then the same in every process."""
    names = [f"layer_{number}/kernel" for number in (3, 0, 5, 1, 4, 2)]
    path = tmp_path / "arrays.safetensors"
    checkpoints.write_arrays(path, {name: np.ones(2, np.float32) for name in names})
    assert list(checkpoints.read_arrays(path)) == sorted(names)
