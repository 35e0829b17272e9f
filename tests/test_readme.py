"""What README.md and the pages of docs/ tell people to type."""

import dataclasses
import importlib
import pathlib
import re
import shlex
import subprocess
import sys
import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tflottery
from tflottery import layers
from tflottery.core import tables
from tflottery.core.registry import MODELS
from tflottery.experiments.instability import Row
from tflottery.models import weights
from tflottery.pruning import masks as pruning_masks
from tflottery.studies.session import Machine
from tflottery.training import checkpoints, tickets

ROOT = pathlib.Path(tflottery.__file__).parents[1]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(
    not README.exists(), reason="an installed package comes without README.md"
)


def pages():
    """The front page first, then the others."""
    return [README, *sorted((ROOT / "docs").glob("*.md"))]


def text():
    """All pages, without what stands there of another project's flags."""
    return "\n".join(
        re.sub(r"^\| [^|]*\|", "|", page.read_text(), flags=re.MULTILINE)
        if page.name == "from_open_lth.md"
        else page.read_text()
        for page in pages()
    )


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", text(), re.DOTALL)


def command_lines():
    return [line for block in blocks("bash") for line in block.splitlines()]


def table_rows():
    """The cells of every row of the README's tables of figures."""
    tables = README.read_text().split("## Every figure and table")[1]
    tables = tables.split("\n## ")[0]
    lines = [line for line in tables.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0] != "figure"]


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


def test_every_flag_and_file_in_the_pages_exists():
    commands = re.findall(r"-m tflottery\.experiments\.([a-z]\w*)(.*)", text())
    assert len({name for name, _ in commands}) > 5
    known = {"help"}
    for name, arguments in commands:
        module = importlib.import_module(f"tflottery.experiments.{name}")
        own = _fields(module.Config) | _fields(Machine) | {"flagfile"}
        given = set(re.findall(r"--([a-z_0-9]+)", arguments.split("`")[0]))
        assert given <= own, (name, given - own)
        known |= own
    # Of the tool that cleans a store, of reports, of pytest-xdist and of benchmarks.
    known |= {"yes", "output", "models", "topologies", "dist", "paper", "lines"}
    known |= {"execute", "plain"}
    # Of the program that makes a data set of folders.
    known |= {"folder", "name"}
    # Of the export.
    known |= {"format", "row", "inputs", "examples", "ticket"}
    # Of Google Cloud's, of pip and of Slurm.
    known |= {"zone", "accelerator", "version", "find", "type", "size", "data"}
    known |= {"nodes", "ntasks", "gpus", "cpus", "requeue", "signal"}
    # Of Ray, and where Slurm starts it.
    known |= {"head", "port", "address", "block", "exclude", "nodelist", "no"}
    known |= {"generate"}
    flags = set(re.findall(r"(?<![\w-])--([a-z_0-9]+)", text()))
    assert flags <= known, flags - known
    # Elsewhere than at the root, which is a cluster's.
    files = re.findall(r"--flagfile=(\w[\w./]+)", text())
    assert files and all((ROOT / file).exists() for file in files)
    links = re.findall(r"\]\(([\w./]+)\)", README.read_text())
    assert links and all((ROOT / link).exists() for link in links)


def test_what_is_called_of_the_package_is_there_once_it_is_imported():
    called = set(re.findall(r"(?<![\w/.])tflottery\.(\w+)[\w.]*\(", text()))
    assert {"find_ticket", "run"} <= called <= {*dir(tflottery)}


def test_every_figure_and_table_of_the_papers_has_a_row():
    papers = README.read_text().split("\n### ")[1:]
    assert len(papers) == 3
    letters = [chr(code) for code in range(ord("A"), ord("E") + 1)]
    numbered = [range(1, 9), range(1, 11), range(1, 12)]
    wanted = [
        {f"Figure {n}" for n in numbered[0]}
        | {"Table 1"}
        | {f"Appendix {one}" for one in letters},
        {f"Figure {n}" for n in numbered[1]}
        | {f"Figure A{n}" for n in range(1, 13)}
        | {"Table A1"},
        {f"Figure {n}" for n in numbered[2]} | {f"Table {n}" for n in range(1, 9)},
    ]
    for paper, expected in zip(papers, wanted, strict=True):
        assert expected - _named(paper) == set()


def _named(text):
    """Returns the figures, tables and appendices that a text names, each by itself."""
    found = set()
    singular = {"Figures": "Figure", "Tables": "Table", "Appendices": "Appendix"}
    kinds = "|".join([*singular, *singular.values()])
    # "Figure 1", "Figures 2 and 3", "Figures A4 to A8", "Appendices B and D".
    pattern = rf"\b({kinds}) (A?\d+|[A-E])\b(?: (and|to) (A?\d+|[A-E])\b)?"
    for kind, first, joined, last in re.findall(pattern, text):
        ends = [first, last] if last else [first]
        if joined == "to":
            prefix = "A" if first.startswith("A") else ""
            numbers = [int(one.removeprefix("A")) for one in ends]
            ends = [f"{prefix}{n}" for n in range(numbers[0], numbers[1] + 1)]
        found |= {f"{singular.get(kind, kind)} {one}" for one in ends}
    return found


def test_every_command_of_the_tables_says_its_cost_and_status():
    commands = [row for row in table_rows() if "python -m" in row[1]]
    assert len(commands) > 20
    cost = re.compile(r"[\d.]+ (minutes|hours|days|years)")
    for _, _, core, gpu, status in commands:
        assert cost.fullmatch(core) and cost.fullmatch(gpu)
        assert status.startswith(("paper scale", "reduced", "builds"))


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
    [code] = [block for block in blocks("python") if "import tickets" in block]
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


def test_the_lines_that_mask_a_model_of_ones_own(tmp_path, monkeypatch):
    [code] = [block for block in blocks("python") if "tflottery.mask(model)" in block]
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    data = {"x": random.normal(size=(32, 8, 8, 1)), "y": random.integers(0, 9, 32)}
    tf.config.run_functions_eagerly(True)
    try:
        exec(code, known := data)
    finally:
        tf.config.run_functions_eagerly(False)
    masks = layers.masks(keras.models.load_model("pruned.keras"))
    size = sum(mask.size for mask in masks.values())
    assert pruning_masks.num_ones(masks) == round(size / 5)
    assert known["pruning"].history == [(1, 0.5), (2, 0.2)]


@pytest.mark.slow
def test_the_lines_that_run_an_experiment(tmp_path):
    [code] = [block for block in blocks("python") if "tflottery.run(" in block]
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    num_runs, num_iterations, *_ = map(int, done.stdout.split("(")[0].split())
    # A trunk, and at three levels IMP and two kinds of random subnetworks.
    assert num_runs >= 10 and num_iterations > 1500
    assert "density" in done.stdout.splitlines()[1]
    assert (tmp_path / "lottery.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_lines_that_find_a_ticket_of_ones_own_model(tmp_path, monkeypatch):
    found = [block for block in blocks("python") if "build_model" in block]
    assert len(found) == 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFLOTTERY_STORE", str(tmp_path / "store"))
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 4))
    known = {"x": x[:48], "y": x[:48, :1], "x_test": x[48:], "y_test": x[48:, :1]}
    known["build_model"] = lambda: keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)]
    )
    for code in found:
        # One pruning of a short training shows it.
        for long, short in (("density=0.2", "density=0.8"), ('"20ep"', '"2ep"')):
            code = code.replace(long, short)
        exec(code, known)
    assert known["found"].table["density"].iloc[-1] == 0.8
    with warnings.catch_warnings(category=UserWarning, action="error"):
        loaded = keras.models.load_model("ticket.keras")
    assert loaded.count_params() == 2 * 40 + 9
    assert [row["rewind_iteration"] for row in known["rows"]] == [0, 1]


def test_the_lines_that_load_a_trained_network(tmp_path):
    [code] = [block for block in blocks("python") if "row.network" in block]
    trained = MODELS["lenet"].function(input_shape=(28, 28, 1), num_classes=10)
    state = {path: value + 1 for path, value in weights.weights(trained).items()}
    row = types.SimpleNamespace(network="runs/key/00000030")
    checkpoints.write(tmp_path / row.network, state)
    known = {"store": tmp_path, "row": row}
    exec(code, known)
    found = weights.weights(known["model"])
    assert found.keys() == state.keys()
    assert all((found[path] == state[path]).all() for path in state)


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
        # Of dense networks it has no rows.
        "mask_layers.csv",
        "config.json",
        "figure.png",
        "log.txt",
    }
