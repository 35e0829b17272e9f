"""What README.md tells people to type."""

import dataclasses
import importlib
import pathlib
import re
import shlex
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tflottery
from tflottery import layers
from tflottery.core import tables
from tflottery.experiments.instability import Row
from tflottery.pruning import masks as pruning_masks
from tflottery.studies.session import Machine
from tflottery.training import tickets

ROOT = pathlib.Path(tflottery.__file__).parents[1]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(
    not README.exists(), reason="an installed package comes without README.md"
)


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def command_lines():
    return [line for block in blocks("bash") for line in block.splitlines()]


def test_one_command_installs_and_runs_and_one_installs_and_tests():
    first, second, *others = command_lines()
    *set_up, job = first.split(" && ")
    assert second == " && ".join([*set_up, ".venv/bin/python -m pytest"])
    assert job == (
        ".venv/bin/python -m tflottery.experiments.instability --model=lenet "
        "--dataset=digits"
    )
    assert not any("venv" in line for line in others)


def test_ci_runs_the_test_command_of_the_readme():
    script = (ROOT / ".ci/run").read_text()
    pattern = re.search(r"grep -m1 -- '(.*)' README.md", script).group(1)
    found = [
        line for line in README.read_text().splitlines() if re.search(pattern, line)
    ]
    assert found[0] == command_lines()[1]


def test_every_flag_and_file_in_the_readme_exists():
    commands = re.findall(r"-m tflottery\.experiments\.(\w+)(.*)", README.read_text())
    assert len({name for name, _ in commands}) > 5
    known = {"help"}
    for name, arguments in commands:
        module = importlib.import_module(f"tflottery.experiments.{name}")
        own = _fields(module.Config) | _fields(Machine) | {"flagfile"}
        given = set(re.findall(r"--([a-z_0-9]+)", arguments.split("`")[0]))
        assert given <= own, (name, given - own)
        known |= own
    # Of the tool that cleans a store.
    known.add("yes")
    flags = set(re.findall(r"--([a-z_0-9]+)", README.read_text()))
    assert flags <= known
    files = re.findall(r"--flagfile=(\S+)", README.read_text())
    assert files and all((ROOT / file).exists() for file in files)


def _fields(options):
    return {field.name for field in dataclasses.fields(options)}


def test_the_lines_of_pandas_read_a_result(tmp_path):
    keys = {
        "model": "lenet",
        "variant": "standard",
        "dataset": "digits",
        "task": "labels",
    }
    rows = [
        Row(
            **keys,
            training_iterations=10,
            config="0",
            replicate=replicate,
            data_order_a=1,
            data_order_b=2,
            rewind_iteration=k,
            iteration=10,
            network_a=f"runs/{replicate}-{k}-a/00000010",
            network_b=f"runs/{replicate}-{k}-b/00000010",
            mask=None,
            test_instability=(0.5 if k else 0.25) * replicate,
            train_instability=0.0,
        )
        for replicate in (1, 2)
        for k in (0, 5)
    ]
    folder = tmp_path / "results/instability/lenet"
    folder.mkdir(parents=True)
    tables.write(rows, folder / "instability.csv")
    [code] = [block for block in blocks("python") if "results.load" in block]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["rewind_iteration", "test_instability_mean"]
    assert [line.split()[1:3] for line in lines[1:]] == [["0", "0.375"], ["5", "0.750"]]


def test_the_lines_that_prune_a_model_of_ones_own(tmp_path):
    [code] = [block for block in blocks("python") if "tickets" in block]
    images = keras.Input((6,), name="images")
    x = layers.MaskedDense(5, activation="relu", name="hidden")(images)
    model = keras.Model(images, layers.MaskedDense(4, name="head")(x))
    code = code.replace('"ticket.safetensors"', "path")
    path = tmp_path / "ticket.safetensors"
    random = np.random.default_rng(0)
    data = {"x": random.normal(size=(32, 6)), "y": random.integers(0, 4, 32)}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    known = {"model": model, "loss": loss, "path": path, **data}
    tf.config.run_functions_eagerly(True)
    try:
        exec(code, known)
    finally:
        tf.config.run_functions_eagerly(False)
    ticket = tickets.load(path)
    # Half of the 50 after three prunings by a fifth: 25.6.
    assert pruning_masks.num_ones(ticket.masks) == 26
    # Training on revives nothing.
    model.fit(data["x"], data["y"], verbose=0)
    trained = tickets.of(model, rewind_iteration=1)
    for kernel, mask in ticket.masks.items():
        np.testing.assert_array_equal(trained.masks[kernel], mask)
        initial = known["initial"][kernel]
        np.testing.assert_array_equal(ticket.weights[kernel], initial * mask)
        assert (trained.weights[kernel] != initial)[mask == 1].any()


@pytest.mark.slow
def test_the_main_job_as_the_readme_gives_it(tmp_path):
    job = command_lines()[0].split(" && ")[-1]
    arguments = shlex.split(job)[1:]
    subprocess.run(
        [sys.executable, *arguments, f"--store={tmp_path / 'store'}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
        check=True,
    )
    [folder] = (tmp_path / "results/instability").iterdir()
    assert {file.name for file in folder.iterdir()} == {
        "instability.csv",
        "interpolation.csv",
        "config.json",
        "figure.png",
        "log.txt",
    }
