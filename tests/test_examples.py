"""The programs of examples/: tickets of a fifth of the weights or less are as good."""

import importlib.util
import pathlib

import pytest

import tflottery

_FOLDER = pathlib.Path(tflottery.__file__).parents[1] / "examples"
pytestmark = pytest.mark.skipif(
    not _FOLDER.exists(), reason="an installed package comes without examples/"
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tabular", "images", "sequence", "text"])
def test_the_ticket_is_within_a_point_of_the_dense_network(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TFLOTTERY_STORE", str(tmp_path))
    spec = importlib.util.spec_from_file_location(name, _FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dense, *_, last = module.main().rows
    assert dense["test_accuracy"] > 0.9
    assert last["density"] <= 0.2
    assert last["test_accuracy"] >= dense["test_accuracy"] - 0.01


def test_every_example_is_tried():
    names = {"tabular", "images", "sequence", "text"}
    assert {path.stem for path in _FOLDER.glob("*.py")} == names
