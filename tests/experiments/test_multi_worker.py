"""Whole commands of two hosts, as processes: killed, interrupted, and begun again."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

import tflottery

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(tflottery.__file__).parents[1]
OPTIONS = (
    "--model=lenet",
    "--dataset=digits",
    "--replicates=1",
    "--data_orders=1",
    "--levels=1",
    "--subnetworks=imp",
    "--rewind_iterations=5",
    "--training_iterations=400",
    "--evaluation_examples=100",
    "--checkpoint_every=0.2",
)
# Of a loss, and of a start on a busy machine.
LOSS_SECONDS, PATIENCE_SECONDS = 30, 300


def _environment(**variables):
    return os.environ | {"PYTHONPATH": os.fspath(ROOT)} | variables


class Commands:
    """The commands of two hosts on this one; the first is the chief's."""

    def __init__(self, folder, name):
        self.store = folder / name
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        workers = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
        for one in sockets:
            one.close()
        self._logs = [folder / f"{name}.{index}.txt" for index in range(2)]
        self._begun = []
        self._before = self.checkpoints()
        for index in range(2):
            task = {"type": "worker", "index": index}
            cluster = {"cluster": {"worker": workers}, "task": task}
            with self._logs[index].open("ab") as log:
                self._begun.append(
                    subprocess.Popen(
                        [
                            *(sys.executable, "-m", "tflottery.experiments.lottery"),
                            *("--distribute=multi_worker", *OPTIONS),
                            f"--store={self.store}",
                            f"--output_dir={folder / name}_results",
                        ],
                        env=_environment(TF_CONFIG=json.dumps(cluster)),
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )

    def signal(self, index, number):
        self._begun[index].send_signal(number)

    def checkpoints(self):
        """Returns the checkpoints that there are, as texts."""
        found = self.store.glob("checkpoints/*/*/manifest.json")
        return {os.fspath(one) for one in found}

    def await_checkpoint(self):
        """Waits until there is a new checkpoint, so that training is under way."""
        last = time.monotonic() + PATIENCE_SECONDS
        while self.checkpoints() <= self._before:
            assert time.monotonic() < last, self.texts()
            assert all(one.poll() is None for one in self._begun), self.texts()
            time.sleep(0.02)

    def ends(self, *, seconds=PATIENCE_SECONDS):
        """Returns the exit codes of both; kills what goes on."""
        last = time.monotonic() + seconds
        try:
            return [one.wait(max(0.0, last - time.monotonic())) for one in self._begun]
        finally:
            for one in self._begun:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(one.pid, signal.SIGKILL)
                one.wait()

    def texts(self):
        return [log.read_text() for log in self._logs]


def _states(store):
    """Returns the files of all states of runs, by what they are called."""
    found = sorted(store.glob("runs/**/*.safetensors"))
    return {os.fspath(one.relative_to(store)): one for one in found}


def test_killed_and_interrupted_they_make_what_unbroken_ones_make(tmp_path):
    unbroken = Commands(tmp_path, "unbroken")
    assert unbroken.ends() == [0, 0], unbroken.texts()
    expected = _states(unbroken.store)

    # Ctrl-C for the chief: both end after a checkpoint.
    broken = Commands(tmp_path, "broken")
    broken.await_checkpoint()
    broken.signal(0, signal.SIGINT)
    assert broken.ends(seconds=LOSS_SECONDS) == [130, 130], broken.texts()
    assert broken.checkpoints()
    assert "To go on" in broken.texts()[0]

    # The other one is killed.
    broken = Commands(tmp_path, "broken")
    broken.await_checkpoint()
    broken.signal(1, signal.SIGKILL)
    assert broken.ends(seconds=LOSS_SECONDS) == [1, -signal.SIGKILL], broken.texts()
    assert "error: worker 1 of 2" in broken.texts()[0]
    assert "go on from the last checkpoint" in broken.texts()[0]

    # Begun again, they go on, to the same bits.
    assert Commands(tmp_path, "broken").ends() == [0, 0]
    found = _states(broken.store)
    assert found.keys() == expected.keys()
    for name, path in found.items():
        assert path.read_bytes() == expected[name].read_bytes(), name
    told = (tmp_path / "broken_results/accuracy.csv").read_text()
    assert told == (tmp_path / "unbroken_results/accuracy.csv").read_text()
    _assert_alike_on_one_device(tmp_path, expected)


def _assert_alike_on_one_device(folder, expected):
    """Asserts that a process by itself makes the same runs, up to rounding."""
    alone = folder / "alone"
    options = [one for one in OPTIONS if "training_iterations" not in one]
    subprocess.run(
        [
            *(sys.executable, "-m", "tflottery.experiments.lottery", *options),
            *("--training_iterations=20", "--replica_batch_size=30", "--workers=1"),
            f"--store={alone}",
            f"--output_dir={folder / 'alone_results'}",
        ],
        env=_environment(),
        check=True,
    )
    both = [name for name in _states(alone) if name in expected]
    early = [name for name in both if "/00000005/weights" in name]
    assert early
    for name in early:
        one, other = load_file(expected[name]), load_file(alone / name)
        for path, value in one.items():
            # Adam moves a weight by 0.0012 an update, whatever the gradient.
            np.testing.assert_allclose(value, other[path], rtol=0, atol=1e-5)
