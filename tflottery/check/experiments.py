"""What holds of every experiment before anything is trained; names are of modules."""

import dataclasses
import functools
import importlib
import tempfile
import types
import typing

from tflottery.check.contract import ContractError
from tflottery.components.component import Artifact
from tflottery.components.metadata import Facts, inspect
from tflottery.core import tables
from tflottery.core.recipes import Setting
from tflottery.execution.results_reader import PartialReader
from tflottery.store.store import Store
from tflottery.studies import row_columns
from tflottery.studies.config import Config, members_of
from tflottery.studies.study import Study, study_of
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime

_CELLS = {int, float, str, bool, type(None)}


def has_a_config_whose_fields_become_flags(name: str) -> str:
    """`Config` is a frozen dataclass of the package's, and `tiny()` is a valid one."""
    config = importlib.import_module(name).Config
    fields = dataclasses.fields(config) if dataclasses.is_dataclass(config) else ()
    bare = [field.name for field in fields if not field.metadata.get("help")]
    if not issubclass(config, Config) or not fields or bare:
        raise ContractError(
            f"Config of bases {[base.__name__ for base in config.__mro__[1:-1]]}, and "
            f"fields without a help text: {bare}",
            expected="a frozen dataclass that extends studies.config.Config",
            remedy="give every field by studies.config.option(default, help)",
        )
    config.tiny().validate()
    return f"{len(fields)} options"


def has_typed_rows(name: str) -> str:
    """`TABLES` names frozen dataclasses whose fields a CSV can hold."""
    rows = importlib.import_module(name).TABLES
    for table, row_type in rows.items():
        hints = typing.get_type_hints(row_type)
        wrong = [
            column
            for column, hint in hints.items()
            if not set(typing.get_args(hint) or (hint,)) <= _CELLS
        ]
        if not dataclasses.is_dataclass(row_type) or wrong:
            raise ContractError(
                f"table {table!r} of {row_type.__name__}, columns {wrong}",
                expected="a frozen dataclass of int, float, str, bool, or None",
                remedy="annotate every column with one of these types",
            )
    row_columns.refuse_unknown(importlib.import_module(name))
    return ", ".join(rows)


def plans_the_same_goals_each_time(name: str) -> str:
    """`plan` names artifacts, whose keys are known before there is a result."""
    module = importlib.import_module(name)
    goals, again = (
        [goal for study in _studies(name) for goal in module.plan(study)]
        for _ in range(2)
    )
    others = [goal for goal in goals if not isinstance(goal, Artifact)]
    if others or not goals:
        raise ContractError(
            f"{len(goals)} goals, such as {(others or goals)[:1]}",
            expected="a list of artifacts",
            remedy="return states, accuracies and other components of studies",
        )
    if [goal.address for goal in goals] != [goal.address for goal in again]:
        raise ContractError(
            "other artifacts the second time",
            expected="the same for the same study",
            remedy="let nothing but the study decide what is planned",
        )
    return f"{len(goals)} goals"


def tables_what_is_known_when_nothing_is(name: str) -> None:
    """`rows` returns every table, of its own rows, before there is any result."""
    module = importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        reader = PartialReader(Store(folder), unobtainable={})
        for study in _studies(name):
            found = module.rows(study, reader)
            if found.keys() != module.TABLES.keys():
                raise ContractError(
                    f"tables {sorted(found)}",
                    expected=f"{sorted(module.TABLES)}",
                    remedy="return a list for each, if need be an empty one",
                )
            for table, rows in found.items():
                # Refuses rows of another type, and what no cell can hold.
                path = f"{folder}/{table}.csv"
                tables.write(rows, path, row_type=module.TABLES[table])


CHECKS = (
    has_a_config_whose_fields_become_flags,
    has_typed_rows,
    plans_the_same_goals_each_time,
    tables_what_is_known_when_nothing_is,
)


def is_experiment(module: types.ModuleType) -> bool:
    """Returns whether a module is an experiment, or is meant to be one."""
    return hasattr(module, "Config") and hasattr(module, "TABLES")


@functools.lru_cache(maxsize=1)
def _studies(name: str) -> list[Study]:
    """Returns the studies of an experiment's tiny Config."""
    module = importlib.import_module(name)
    runtime = Runtime(data_dir=None, placement=Placement())
    config = module.Config.tiny()

    @functools.cache
    def facts_of(model: str, setting: Setting) -> Facts:
        return inspect(model, setting, runtime)

    return [study_of(one, facts_of, Placement()) for one in members_of(module, config)]
