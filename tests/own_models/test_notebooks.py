"""Functions of a notebook's cell, or of a script that runs several times at once."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import types

import pytest

import tflottery
from tflottery.own_models import update_loop

_ROOT = pathlib.Path(tflottery.__file__).parents[1]
_CELL = """
import keras, numpy as np, tflottery

SCALE = 2.0

def build_model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])

def loss(y_true, y_pred):
    return SCALE * keras.ops.mean((y_true - y_pred) ** 2, axis=-1)

x = np.random.default_rng(0).normal(size=(16, 3))
data = (x, x @ np.ones((3, 4)))

def find(store, replicates=1):
    return tflottery.find_ticket(
        build_model, data, test_data=data, optimizer="sgd", loss=loss, batch_size=8,
        training_iterations=6, rewind_iteration=2, density=0.5, pruning_fraction=0.5,
        replicates=replicates, store=store,
    ).rows
"""
_SCRIPT = """
import sys, time
from tflottery.own_models import update_loop

count, train = [], update_loop.UpdateLoop.train

def counted(self, *args, **options):
    count.append(options["iterations"])
    time.sleep(1)
    return train(self, *args, **options)

update_loop.UpdateLoop.train = counted
rows = find(sys.argv[1], replicates=2)
print(len(count), [row["test_loss"] for row in rows])
"""


def _cell(monkeypatch, file):
    """Returns what a cell defines in the `__main__` of a kernel."""
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(compile(_CELL, file, "exec"), vars(main))
    return main


@pytest.mark.slow
def test_a_cell_is_stopped_and_goes_on_in_any_thread_and_kernel(tmp_path, monkeypatch):
    begun, train, interrupts = [], update_loop.UpdateLoop.train, []

    def watched(self, *args, **options):
        begun.append(options["iterations"])
        if interrupts:
            interrupts.pop()()
        return train(self, *args, **options)

    monkeypatch.setattr(update_loop.UpdateLoop, "train", watched)
    main, store = _cell(monkeypatch, "/tmp/ipykernel_1/1.py"), tmp_path / "store"
    before = signal.getsignal(signal.SIGINT)
    interrupts.append(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        main.find(store)
    # Those of the notebook are back.
    assert signal.getsignal(signal.SIGINT) is before
    assert begun == [(0, 2)]

    ended = []

    def work():
        try:
            ended.append(main.find(store))
        except KeyboardInterrupt as stop:
            ended.append(stop)

    def interrupted():
        raise KeyboardInterrupt

    # Signals never come to another thread than the main one.
    interrupts.append(interrupted)
    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert isinstance(ended[0], KeyboardInterrupt)
    assert [row["level"] for row in ended[1]] == [0, 1]
    # Another kernel has the cell in another file, and trains nothing.
    number = len(begun)
    again = _cell(monkeypatch, "/tmp/ipykernel_2/9.py").find(store)
    assert list(again) == list(ended[1]) and len(begun) == number


@pytest.mark.slow
def test_a_script_that_runs_twice_at_once_does_the_work_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(_CELL + _SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "store")]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    told = [one.communicate()[0].split(maxsplit=1) for one in started]
    assert [one.returncode for one in started] == [0, 0]
    # Of two replicates: to k, to the end, and the ticket.
    assert sum(int(number) for number, _ in told) == 6
    assert told[0][1] == told[1][1]
