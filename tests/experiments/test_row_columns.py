"""A misspelt column is refused before anything trains, and never a right one."""

import importlib
import sys

import pytest

import tflottery
from tflottery.experiments import lottery
from tflottery.studies import row_columns

EXPERIMENT = """
import dataclasses
from tflottery.studies import config

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.Config):
    pass

@dataclasses.dataclass(frozen=True)
class Row:
    iteration: int
    test_error: float | None

TABLES = {"along": Row}

def plan(study):
    raise AssertionError("It should not come to this.")

def rows(study, results):
    first = Row(iteration=0, **{"test_error": None})
    return {"along": [first, Row(iteration=1, test_eror=0.5)]}
"""


def test_a_misspelt_column_is_refused_before_a_worker_starts(tmp_path, monkeypatch):
    (tmp_path / "misspelt_experiment.py").write_text(EXPERIMENT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    text = (
        "misspelt_experiment.py, line 21: Row has no column 'test_eror'. Did you mean "
        "'test_error'[?] Known: iteration, test_error"
    )
    with pytest.raises(ValueError, match=text):
        tflottery.run("misspelt_experiment", store=tmp_path / "store")


def test_columns_of_all_experiments_are_known(experiment_names):
    for name in experiment_names:
        module = importlib.import_module(f"tflottery.experiments.{name}")
        row_columns.refuse_unknown(module)
    made = {row_type.__name__ for _, row_type in row_columns._rows_made(lottery)}
    assert made == {"Best", "TrainedNetwork"}
