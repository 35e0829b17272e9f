"""Components: a key from derivation alone, known before anything runs."""

import dataclasses
import typing

import pytest

from tflottery.components.component import Artifact, Component
from tflottery.components.interpolating import Line
from tflottery.components.runs import Initialization, Run, State
from tflottery.core.identities import Data, Network
from tflottery.core.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class _Sum(Component):
    KIND = "sum"
    VERSION = 1
    FOLDER = "sums"
    FILES = ("sum.json",)

    parts: Artifact
    factor: float = 1.0


@dataclasses.dataclass(frozen=True)
class _Product(_Sum):
    """Another component of the same fields."""

    KIND = "product"


@dataclasses.dataclass(frozen=True)
class _Newer(Component):
    KIND = "sum"
    VERSION: typing.ClassVar[int] = 2
    FOLDER = "sums"
    FILES = ("sum.json",)

    parts: Artifact
    factor: float = 1.0


@dataclasses.dataclass(frozen=True)
class _Renamed(_Sum):
    """What a component is after its class was given another name."""

    KIND = "sum"


@dataclasses.dataclass(frozen=True)
class _Kindless(_Sum):
    pass


def _state(iteration=5, *, keeps_slots=False, length=40):
    recipe = Recipe(
        optimizer="sgd", learning_rate=0.1, batch_size=4, training_iterations=length
    )
    run = Run(
        network=Network("lenet", (8, 8, 1), 10),
        data=Data("digits", "1", "0", (8, 8, 1), 9, 3, 10),
        recipe=recipe,
        initial=Initialization(1),
        mask=None,
        data_order_seed=2,
        augmentation_seed=3,
        dropout_seed=4,
    )
    return State(run, iteration, keeps_slots=keeps_slots)


def test_a_renamed_component_keeps_its_key_and_one_without_a_kind_has_none():
    assert _Renamed(_state(), 2.0).key == _Sum(_state(), 2.0).key
    with pytest.raises(TypeError, match="Class _Kindless has KIND=None of its own"):
        _ = _Kindless(_state(), 2.0).key


def test_key_is_kind_version_parameters_and_inputs():
    one = _Sum(_state(), 2.0)
    assert one.key == _Sum(_state(), 2.0).key
    others = [
        _Sum(_state(), 3.0),
        _Sum(_state(6), 2.0),
        _Product(_state(), 2.0),
        _Newer(_state(), 2.0),
        _Sum(_Sum(_state()), 2.0),
    ]
    assert len({other.key for other in [one, *others]}) == 6


def test_key_leaves_out_lengths_and_slots_of_what_it_comes_from():
    one = _Sum(_state())
    assert one.key == _Sum(_state(keeps_slots=True)).key
    assert one.key == _Sum(_state(length=9999)).key


def test_address_files_and_inputs():
    one = _Sum(_state(), 2.0)
    assert isinstance(one, Artifact)
    assert one.address == f"sums/{one.key}"
    assert one.files == ("sum.json",)
    assert one.inputs == {"parts": _state()}
    assert _Sum(one).inputs == {"parts": one}
    with pytest.raises(NotImplementedError):
        one.execute(None)


def test_line_key():
    line = Line(_state(5), _state(6))
    different = [
        Line(_state(6), _state(5)),
        Line(_state(5), _state(7)),
        Line(_state(5), _state(6), 100),
    ]
    assert line.key not in {other.key for other in different}
    assert line.inputs == {"a": _state(5), "b": _state(6)}
    assert line.address == f"lines/{line.key}"
