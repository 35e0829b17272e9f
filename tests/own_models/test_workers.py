"""Workers that train a model of one's own: found by name, or refused at once."""

import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

import tflottery
from tflottery.core.environment import SetupError
from tflottery.execution import worker
from tflottery.own_models import own_components, problem, update_loop, workers

_ROOT = pathlib.Path(tflottery.__file__).parents[1]
X = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
_OPTIONS = {
    "test_data": (X, X[:, :1]),
    "optimizer": "sgd",
    "loss": "mse",
    "metrics": (),
    "batch_size": 8,
    "unpruned": (),
}
_SCRIPT = """
import sys

import keras
import numpy as np

import tflottery

SCALE = 2.0


class Network(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)

    def call(self, inputs):
        return self.dense(inputs)


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate / (1.0 + keras.ops.cast(step, "float32"))

    def get_config(self):
        return {"rate": self.rate}


class Absolute(keras.losses.Loss):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, y_true, y_pred):
        error = keras.ops.abs(y_true - y_pred)
        return self.factor * SCALE * keras.ops.mean(error, axis=-1)

    def get_config(self):
        return {"factor": self.factor}


def mine(y_true, y_pred):
    return keras.ops.mean(y_pred, axis=-1)


def main(store, workers):
    x = np.random.default_rng(0).normal(size=(16, 3))
    data = (x, x @ np.ones((3, 4)))
    options = dict(
        test_data=data, optimizer=keras.optimizers.SGD(Falling(0.1), momentum=0.9),
        loss=Absolute(0.5), metrics=[mine, keras.metrics.CosineSimilarity()],
        batch_size=8, training_iterations=6, replicates=2, store=store, workers=workers,
    )
    found = tflottery.find_ticket(
        Network, data, rewind_iteration=2, density=0.5, pruning_fraction=0.5, **options
    )
    rows = tflottery.measure_instability(
        Network, data, rewind_iterations=(0,), num_points=3,
        higher_is_better={"mine": False}, **options
    )
    print(repr(found.rows), repr(rows))
"""
_GUARDED = 'if __name__ == "__main__":\n    main(sys.argv[1], int(sys.argv[2]))\n'


def _model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def _problem(build_model=_model, **options):
    return problem.of_arguments(build_model, (X, X[:, :1]), **_OPTIONS | options)


def _run(folder, text, *arguments):
    script = folder / "script.py"
    script.write_text(text)
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        check=False,
    )


@pytest.mark.slow
def test_workers_come_to_the_rows_of_one_process(tmp_path):
    """Of classes and functions of the program, in the same store or another one."""
    alone = _run(tmp_path, _SCRIPT + _GUARDED, tmp_path / "alone", 1)
    two = _run(tmp_path, _SCRIPT + _GUARDED, tmp_path / "two", 2)
    assert two.returncode == 0, two.stderr
    assert two.stdout == alone.stdout
    kept = [
        sorted(p.name for p in (tmp_path / one / "own_states").iterdir())
        for one in ("alone", "two")
    ]
    assert kept[0] == kept[1] and len(kept[0]) == 12


@pytest.mark.slow
def test_a_program_without_a_main_guard_is_told_what_it_lacks(tmp_path):
    bare = _run(tmp_path, _SCRIPT + f"main({str(tmp_path / 'store')!r}, 2)")
    assert bare.returncode == 1
    assert "__main__" in bare.stderr and "workers=1 of find_ticket" in bare.stderr


def test_what_workers_cannot_find_is_refused(monkeypatch):
    workers.validate(_problem(), 2)
    workers.validate(_problem(lambda: _model()), 1)
    for wrong in (_problem(lambda: _model()), _problem(loss=lambda y, p: (y - p) ** 2)):
        with pytest.raises(ValueError, match=r"workers=2.*lambda.*top of a module"):
            workers.validate(wrong, 2)
    for wrong in (0, True, 1.5):
        with pytest.raises(ValueError, match="expected a whole number from 1"):
            workers.validate(_problem(), wrong)
    # A notebook's cell.
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec("def build_model():\n    pass", vars(main))
    with pytest.raises(ValueError, match=r"workers=2.*notebook's cell.*into a module"):
        workers.validate(_problem(main.build_model), 2)


@pytest.mark.slow
def test_what_stands_below_the_main_guard_is_not_taken_for_a_lack_of_memory(tmp_path):
    below = """
if __name__ == "__main__":

    def build_model():
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])

    Network = build_model
    main(sys.argv[1], 2)
"""
    run = _run(tmp_path, _SCRIPT + below, tmp_path / "store")
    assert run.returncode == 1
    assert "'build_model'" in run.stderr and "at their top, above" in run.stderr
    assert "Short of memory" not in run.stderr


def test_a_worker_that_cannot_find_a_function_says_where_it_belongs(monkeypatch):
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec("def build_model():\n    pass", vars(main))
    parts = workers._parts(_problem(main.build_model))
    # As where it stands below the guard.
    del main.build_model
    with pytest.raises(SetupError, match=r"cannot find.*'build_model'.*at their top"):
        workers._set_up(*parts, "key", settings=None, send=print, stopping=bool)


@pytest.mark.slow
def test_a_worker_where_the_problem_is_another_says_so(tmp_path, monkeypatch):
    settings = {"settings": None, "send": print, "stopping": bool}
    sent = _problem()
    key = update_loop.UpdateLoop(sent).key
    parts = workers._parts(sent)
    with pytest.raises(SetupError, match="comes to something else.*top of the program"):
        workers._set_up(*parts, "another key", **settings)
    monkeypatch.setattr(worker, "contexts", lambda *args, **kwargs: "context")
    monkeypatch.setattr(own_components, "_loops", {})
    assert workers._set_up(*parts, key, **settings) == "context"
    assert list(own_components._loops) == [key]
