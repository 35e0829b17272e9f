"""Optimizers, losses, metrics and functions of the user's own: copied, and in keys.

Keras tells of an object by a configuration in which functions and schedules stand by
their names. Here they count by what they compute, and copies hold the same ones.
"""

import dataclasses
import functools
import inspect
import types
from collections.abc import Mapping

import keras
import numpy as np

from tflottery.models.architecture import kind
from tflottery.own_models.examples import digest_of


@dataclasses.dataclass(frozen=True, eq=False)
class TakenApart:
    """An object of Keras's as what it is made of: to be made again, anywhere.

    Attributes:
      cls: its class.
      config: what its `get_config` says.
      held: functions and schedules that it was made with, by argument.
      excluded: the names that an optimizer was told to leave without weight decay.
    """

    cls: type
    config: dict[str, object]
    held: dict[str, object]
    excluded: str | None

    def made(self) -> object:
        """Returns an object like the one that was taken apart, in its initial state."""
        if self.held:
            made = self.cls(**self.config | self.held)
        else:
            made = self.cls.from_config(dict(self.config))
        if self.excluded is not None:
            made.exclude_from_weight_decay(var_names=[self.excluded])
        return made


def taken_apart(one: object) -> object:
    """Returns what an object of Keras's is made of; others as they are.

    Raises:
      ValueError: it does not say all that it was made with.
    """
    return _apart_and_made(one)[0]


def put_together(one: object) -> object:
    """Returns the object of Keras's that was taken apart; others as they are."""
    return one.made() if isinstance(one, TakenApart) else one


def copied(one: object) -> object:
    """Returns an object of Keras's like another one, in its initial state.

    Raises:
      ValueError: it does not say all that it was made with, so the copy is another.
    """
    return _apart_and_made(one)[1]


def _apart_and_made(one: object) -> tuple[object, object]:
    """Returns what an object is made of, and one that was made of that."""
    if not hasattr(one, "get_config"):
        return one, one
    if getattr(one, "use_ema", False) and not one.ema_overwrite_frequency:
        raise ValueError(
            f"{type(one).__name__} with use_ema=True averages weights that nobody "
            "would see: give it an ema_overwrite_frequency, or leave use_ema out."
        )
    config = one.get_config()
    lacking = _lacking(one, config)
    _refuse_incomplete(one, [name for name, default in lacking.items() if not default])
    if _is_numbered(one):
        # The copy gets a name of its own, whatever this process made before.
        config["name"] = None
    # What an optimizer is told after it was made is in no configuration.
    excluded = getattr(one, "_exclude_from_weight_decay_pattern", None)
    parts = TakenApart(
        type(one),
        _accepted(type(one), config),
        _held(one),
        excluded.pattern if excluded is not None else None,
    )
    made = parts.made()
    _refuse_incomplete(
        one,
        [name for name in lacking if _argument(one, name) != _argument(made, name)],
    )
    return parts, made


def plain(value: object, *, inside: tuple[object, ...] = ()) -> object:
    """Returns plain values that stand for an object that trainings depend on.

    Args:
      value: what to stand for.
      inside: functions that it was found in, which may name themselves.

    Raises:
      ValueError: it has neither a configuration nor code.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value) if isinstance(value, bytes) else value
    within = functools.partial(plain, inside=inside)
    if isinstance(value, list | tuple):
        return [within(one) for one in value]
    if isinstance(value, set | frozenset):
        # Sorted: their order is another in each process.
        return sorted(repr(one) for one in value)
    if isinstance(value, Mapping):
        # Names are numbered anew in each process.
        return {str(k): within(one) for k, one in value.items() if k != "name"}
    if isinstance(value, np.ndarray):
        return digest_of((value,))
    if hasattr(value, "get_config"):
        config = value.get_config() | _held(value)
        return {"class": kind(value), "config": within(config)}
    if isinstance(value, functools.partial):
        return within([value.func, value.args, value.keywords])
    if isinstance(value, types.MethodType):
        return within([value.__func__, value.__self__])
    if isinstance(value, types.FunctionType):
        return _plain_function(value, inside)
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    raise ValueError(
        f"{value!r} of type {type(value).__name__} cannot be told from others of its "
        "kind in another process. Give it a `get_config` of plain values, or take a "
        "function."
    )


def _held(one: object) -> dict[str, object]:
    """Returns the functions and schedules that an object was made with, by argument.

    They keep no state, so a copy may hold the same ones; and what Keras would make
    anew by their names need not be what they are.
    """
    own = vars(one)
    found = {
        name: own.get(f"_{name}", own.get(name))
        for name, value in one.get_config().items()
        if isinstance(value, dict)
    }
    return {
        name: value
        for name, value in found.items()
        if callable(value) and not hasattr(value, "variables")
    }


def _accepted(cls: type, config: Mapping[str, object]) -> dict[str, object]:
    """Returns a configuration without a name or dtype that its class does not take.

    As of a short one of the user's own, of which Keras tells them all the same.
    """
    parameters = inspect.signature(cls.__init__).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    dropped = {"name", "dtype"} - parameters.keys() if not takes_all else set()
    return {name: value for name, value in config.items() if name not in dropped}


def _lacking(one: object, config: Mapping[str, object]) -> dict[str, bool]:
    """Returns the arguments of a class that a configuration says nothing of.

    With whether each may be as it is by default, as far as the object tells.
    """
    parameters = inspect.signature(type(one).__init__).parameters
    return {
        name: parameter.default is not inspect.Parameter.empty
        and _argument(one, name) is not None
        for name, parameter in parameters.items()
        if name not in (*config, "self", "name", "dtype", "kwargs", "args")
    }


def _argument(one: object, name: str) -> str | None:
    """Returns what an object was made with, as text; None: it keeps no such thing."""
    for holder in (vars(one), getattr(one, "_fn_kwargs", {})):
        for own in (name, f"_{name}"):
            if own in holder:
                return repr(holder[own])
    return repr(getattr(one, name)) if hasattr(type(one), name) else None


def _refuse_incomplete(one: object, names: list[str]) -> None:
    """Raises ValueError if there are arguments that a copy would lose."""
    if names:
        raise ValueError(
            f"{type(one).__name__} was made with {names}, of which its get_config says "
            "nothing, so that it cannot be copied. Give its class a get_config with "
            "all arguments."
        )


def _is_numbered(one: object) -> bool:
    """Returns whether Keras named a metric by its class and how many there were."""
    # Keras has no public way to how it names.
    from keras.src.utils import naming

    if not isinstance(one, keras.metrics.Metric):
        return False
    stem, _, number = one.name.rpartition("_")
    return number.isdecimal() and stem == naming.to_snake_case(type(one).__name__)


def _plain_function(value: types.FunctionType, inside: tuple[object, ...]) -> object:
    """Returns what a function computes, with what it gets from around it."""
    if value in inside:
        return value.__qualname__
    within = functools.partial(plain, inside=(*inside, value))
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    return {
        "code": _plain_code(value.__code__),
        "closure": within(cells),
        "defaults": within([value.__defaults__, value.__kwdefaults__]),
        "globals": {name: within(one) for name, one in _globals(value).items()},
    }


def _globals(function: types.FunctionType) -> dict[str, object]:
    """Returns the values and functions of its module that a function names.

    Modules, classes and what comes from elsewhere count by name.
    """
    names = function.__code__.co_names
    found = {name: function.__globals__.get(name) for name in names}
    return {
        name: one
        for name, one in found.items()
        if isinstance(one, bool | int | float | str | np.ndarray)
        or (
            isinstance(one, types.FunctionType)
            and one.__module__ == function.__module__
        )
    }


def _plain_code(code: types.CodeType) -> list[object]:
    """Returns the instructions of a function, in plain values."""
    constants = [
        _plain_code(one) if isinstance(one, types.CodeType) else _plain_constant(one)
        for one in code.co_consts
    ]
    return [code.co_name, code.co_code.hex(), constants, list(code.co_names)]


def _plain_constant(value: object) -> str:
    """Returns a constant of some code, the same in every process."""
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)
