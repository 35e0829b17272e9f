"""Nothing that a user's environment brings in decides bits or start."""

import os
import pathlib
import subprocess
import sys

import pytest

import tflottery

pytestmark = pytest.mark.slow

# Trains a convolutional and a dense network and prints the digests of their states.
PROGRAM = """
import io, sys
from rich.console import Console
from tflottery.components.runs import State
from tflottery.execution.executor import Executor
from tflottery.execution.questions import ask
from tflottery.execution.jobs import Inspect
from tflottery.execution.log import Log
from tflottery.execution.plan import plan_of
from tflottery.execution.pool import Pool
from tflottery.execution.progress import Progress
from tflottery.execution.worker import WorkerSettings
from tflottery.experiments.instability import Config
from tflottery.store.store import Store
from tflottery.studies.study import resolve
from tflottery.training.distribution import Placement

if __name__ == "__main__":
    store = Store(sys.argv[1])
    settings = WorkerSettings(store.root, None, Placement(), None, 60.0)
    goals, facts = [], {}
    with Pool([settings]) as pool:
        for model in ("resnet20", "lenet"):
            config = Config(model=model, dataset="digits")
            asked = Inspect(model, config.setting)
            answer = ask(pool, asked, lambda: False)
            facts[answer.network] = answer
            run = resolve(config, answer, Placement()).trunk(1)
            goals.append(State(run, 3))
        log = Log(Console(file=io.StringIO()))
        with Progress(plan_of(goals, store, facts=facts), log=log) as progress:
            executor = Executor(pool, store, facts=facts, progress=progress)
            outcome = executor.execute(goals)
    assert not outcome.failures, outcome.failures
    for goal in goals:
        manifest = store.manifest(goal.address)
        for name, file in sorted(manifest["files"].items()):
            print(name, file["sha256"])
        print("onednn", manifest["environment"]["onednn"])
"""
VARIABLES = {
    # Notebooks set it, and the module is not there.
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_DISABLE_MKL": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "ONEDNN_DEFAULT_FPMATH_MODE": "ANY",
    # A flag that there is not ends the process.
    "XLA_FLAGS": "--xla_no_such_flag=1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "TF_FUNCTION_JIT_COMPILE_DEFAULT": "1",
    "TF_NUM_INTRAOP_THREADS": "2",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"index": 1}}',
    "TF2_BEHAVIOR": "0",
    "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": "0",
    "OMP_NUM_THREADS": "7",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    "KERAS_BACKEND": "jax",
    "SCIPY_ARRAY_API": "1",
    "PYTHONWARNINGS": "error::DeprecationWarning",
    "PYTHONHASHSEED": "7",
}


def trained(folder, **variables):
    """Returns what the program prints; no variable of this process comes along."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TFLOTTERY_CACHE")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env={
            **kept,
            "PYTHONPATH": str(pathlib.Path(tflottery.__file__).parents[1]),
            **variables,
        },
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder.parent,
    )
    assert done.returncode == 0
    return done.stdout


def test_a_hostile_environment_changes_no_bit(tmp_path):
    keras = tmp_path / "home" / ".keras" / "keras.json"
    keras.parent.mkdir(parents=True)
    keras.write_text('{"floatx": "float8", "image_data_format": "channels_first"}')
    (tmp_path / "matplotlibrc").write_text("backend: nonsense\ntext.usetex: True\n")
    ordinary = trained(tmp_path / "ordinary")
    home = str(tmp_path / "home")
    assert trained(tmp_path / "hostile", HOME=home, **VARIABLES) == ordinary
    assert ordinary.count("onednn True") == 2
    # weights.safetensors and its like of both networks.
    assert ordinary.count("safetensors") >= 2
