"""The program: flags in, exit code out."""

import dataclasses
import importlib
import json
import os
import pathlib
import subprocess
import sys

import pytest
from absl import flags

import tflottery
from tflottery.execution.questions import WorkerFailed
from tflottery.experiments import instability
from tflottery.experiments.instability import Config
from tflottery.studies import endings, program, session
from tflottery.studies.session import Machine

ROOT = pathlib.Path(tflottery.__file__).parents[1]
FLAGFILES = sorted(ROOT.glob("configs/*/*.flags"))
FIELDS = [*dataclasses.fields(Config), *dataclasses.fields(Machine)]

# Runs programs of experiments, one for every line of input in a process of its own,
# up to where an experiment begins. All that they import is imported once, before.
PROGRAMS = """
import dataclasses, importlib, json, os, sys, tempfile
from tflottery.core import environment
environment.fix()
from tflottery.core import registry
from tflottery.studies import endings, program, session

def begin(module, config, *, machine):
    for one in getattr(module, "members", lambda config: [config])(config):
        one.validate()
    machine.validate()
    options = dataclasses.asdict(config) | dataclasses.asdict(machine)
    print(json.dumps(options))
    return 0

session.execute = begin
for name in json.loads(sys.argv[1]):
    importlib.import_module("tflottery.experiments." + name)
for one in vars(registry).values():
    if isinstance(one, registry.Registry):
        one.names()
for line in iter(sys.stdin.readline, ""):
    name, arguments = json.loads(line)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if not pid:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            sys.argv = [name, *arguments]
            try:
                program.run("tflottery.experiments." + name)
            except SystemExit as end:
                # The end of an interpreter takes ten times as long as all the rest.
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(end.code or 0)
        _, status = os.waitpid(pid, 0)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode())
        print(json.dumps([os.waitstatus_to_exitcode(status), *texts]), flush=True)
"""


@dataclasses.dataclass
class Ran:
    code: int
    output: str
    errors: str

    @property
    def options(self):
        assert self.code == 0, self.errors
        return json.loads(self.output)


@pytest.fixture(scope="module")
def run(experiment_names):
    """Returns how the program of an experiment ended for each line of arguments."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAMS, json.dumps(sorted(experiment_names))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    def ended(program, arguments):
        process.stdin.write(json.dumps([program, arguments]) + "\n")
        process.stdin.flush()
        return Ran(*json.loads(process.stdout.readline()))

    with process:
        yield lambda *lines, program="instability": [
            ended(program, arguments) for arguments in lines
        ]


def test_every_field_has_a_flag_of_its_kind(run):
    given = {
        "model": ("resnet20", "resnet20"),
        "stem": ("imagenet", "imagenet"),
        "variant": ("low", "low"),
        "dataset": ("digits", "digits"),
        "task": ("rotation", "rotation"),
        "replicates": ("4", 4),
        "data_orders": ("5", 5),
        "rewind_iterations": ("0,100,4ep,3ep50it", ["0", "100", "4ep", "3ep50it"]),
        "training_iterations": ("2000", "2000"),
        "batch_size": ("64", 64),
        "replica_batch_size": ("32", 32),
        "optimizer": ("sgd", "sgd"),
        "learning_rate": ("1e-3", 1e-3),
        "momentum": ("0.5", 0.5),
        "weight_decay": ("0.25", 0.25),
        "milestones": ("", []),
        "warmup": ("1ep", "1ep"),
        "augmentation": ("none", "none"),
        "input_scaling": ("standardized", "standardized"),
        "kernel_initializer": ("glorot_normal", "glorot_normal"),
        "batch_norm_scale": ("uniform", "uniform"),
        "precision": ("mixed_bfloat16", "mixed_bfloat16"),
        "optimizer_state": ("carried", "carried"),
        "evaluation_examples": ("2000", 2000),
        "splits": ("test", ["test"]),
        "reestimation_examples": ("0", 0),
        "final_learning_rate": ("1e-4", 1e-4),
        "subnetworks": ("imp", ["imp"]),
        "density": ("0.5", 0.5),
        "pruning_fraction": ("0.3", 0.3),
        "one_shot": ("true", True),
        "first_convolutions": ("2", 2),
        "random_counts": ("per_layer", "per_layer"),
        "schedule": ("continued", "continued"),
        "first_pruning": ("copy", "copy"),
        "subset": ("images:0.1", "images:0.1"),
        "shaped_like": ("mnist", "mnist"),
        "throughout": ("true", True),
        "data_dir": ("d", "d"),
        "output_dir": ("o", "o"),
        "store": ("s", "s"),
        "workers": ("2", 2),
        "threads": ("3", 3),
        "executor": ("ray", "ray"),
        "ray_address": ("head:6379", "head:6379"),
        "distribute": ("mirrored", "mirrored"),
        "tpu": ("name", "name"),
        "checkpoint_every": ("2.5", 2.5),
        "plugins": ("a,b.c", ["a", "b.c"]),
        "tensorboard": ("board", "board"),
        "dry_run": ("true", True),
    }
    # Density and levels exclude each other, a linear fall and drops too.
    others = {"levels", "decay_factor"}
    assert given.keys() | others == {field.name for field in FIELDS}
    ran, other = run(
        [f"--{name}={text}" for name, (text, _) in given.items()],
        ["--subnetworks=imp", "--levels=3", "--milestones=9", "--decay_factor=0.2"],
    )
    values = {name: value for name, (_, value) in given.items()}
    assert ran.options == values | dict.fromkeys(others)
    assert other.options["levels"] == ["3"]
    assert other.options["decay_factor"] == 0.2


def test_flags_flagfiles_and_defaults(run, tmp_path):
    file = tmp_path / "some.flags"
    file.write_text("# a comment\n--replicates=7\n--training_iterations=4ep\n")
    nothing, switches, overridden, overriding, none = run(
        [],
        ["--throughout", "--nodry_run"],
        [f"--flagfile={file}", "--replicates=5"],
        ["--replicates=5", f"--flagfile={file}"],
        ["--milestones="],
    )
    defaults = json.loads(json.dumps({field.name: field.default for field in FIELDS}))
    assert nothing.options == defaults
    assert switches.options == defaults | {"throughout": True}
    changed = {"training_iterations": "4ep"}
    assert overridden.options == defaults | changed | {"replicates": 5}
    assert overriding.options == defaults | changed | {"replicates": 7}
    assert none.options == defaults | {"milestones": []}


@pytest.mark.skipif(not FLAGFILES, reason="an installed package comes without configs/")
def test_the_flagfiles_of_the_repository(experiment_names):
    experiments = {path.parent.name for path in FLAGFILES}
    assert experiments == experiment_names
    for experiment in experiments:
        module = importlib.import_module(f"tflottery.experiments.{experiment}")
        paths = [path for path in FLAGFILES if path.parent.name == experiment]
        names = {path.name for path in paths}
        assert "quick.flags" in names
        assert any("paper" in name for name in names)
        for path in paths:
            values = flags.FlagValues()
            for options in (module.Config, Machine):
                program.define_flags(options, values, program=experiment)
            # What is no flag is left over.
            assert values(["program", f"--flagfile={path}"]) == ["program"]
            config, machine = (
                program.from_flags(options, values)
                for options in (module.Config, Machine)
            )
            for one in getattr(module, "members", lambda config: [config])(config):
                one.validate()
            machine.validate()
            text = path.read_text().splitlines()
            assert any(one.startswith("--") for one in text), path


def test_help_shows_every_flag_once_and_what_decides_its_default(run):
    [ran] = run(["--help"])
    assert ran.code == 0
    assert ran.output.startswith("Is a network stable to SGD noise?")
    for field in FIELDS:
        flag = f"[no]{field.name}" if "bool" in str(field.type) else field.name
        assert ran.output.count(f"\n  --{flag}: ") == 1, field.name
        if field.default is None:
            shown = ran.output.split(f"\n  --{flag}: ")[1].split("\n  --")[0]
            assert "None: " in " ".join(shown.split()), field.name


WRONG = {
    "There is no flag --replicate. Did you mean --replicates? See": "--replicate=3",
    "no flag --subnetwork. Did you mean --subnetworks?": "--subnetwork=imp",
    "'digits' is not a flag": "digits",
    "--replicates='two' has to be a whole number. See --help": "--replicates=two",
    "--replicates='1e3' has to be a whole number": "--replicates=1e3",
    "--learning_rate='fast' has to be a number": "--learning_rate=fast",
    "--throughout='maybe' has to be true or false": "--throughout=maybe",
    "error: --learning_rate=inf has to be above 0 and finite": "--learning_rate=inf",
    "no executor 'dask'. Known: local, inline, ray": "--executor=dask",
    "no model 'lenet5'. Known: alexnet, ": "--model=lenet5",
    "no variant 'low'. Known: standard": "--variant=low",
    "--replicates=0 has to be at least 1": "--replicates=0",
    "'4 epochs' is not a duration": "--training_iterations=4 epochs",
    "is empty: name at least one k": "--rewind_iterations=",
    "--augmentation='blur' has to be one of none, flip_crop,": "--augmentation=blur",
    "nowhere.flags": "--flagfile=nowhere.flags",
}


@pytest.mark.slow
@pytest.mark.parametrize("program", ["tflottery.experiments.lottery", "tflottery"])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 75)])
def test_a_signal_while_it_is_being_imported_ends_quietly(
    tmp_path, program, name, code
):
    # A library that all experiments import.
    text = f"import os, signal\nos.kill(os.getpid(), signal.{name})"
    (tmp_path / "absl.py").write_text(text)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-m", program, "lottery", "--dry_run"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", "")


def test_a_worker_that_dies_at_the_first_question_is_told_in_a_line(
    monkeypatch, capsys
):
    def execute(*_, **__):
        raise WorkerFailed("Gave up after a worker died 3 times")

    monkeypatch.setattr(session, "execute", execute)
    monkeypatch.setattr(program, "from_flags", lambda options, values: options())
    assert program._main(instability, ["program"], set_aside=[]) == endings.INCOMPLETE
    assert capsys.readouterr().err == "error: Gave up after a worker died 3 times\n"


def test_wrong_flags_are_refused_with_a_line_of_text(run):
    ran = run(*([argument] for argument in WRONG.values()))
    for (text, argument), one in zip(WRONG.items(), ran, strict=True):
        assert one.code == 2, (argument, one)
        assert one.errors.startswith("error: "), (argument, one)
        assert text in one.errors, (argument, one)
        assert "Traceback" not in one.errors


@pytest.mark.slow
def test_the_module_is_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tflottery.experiments.instability", "--model=nope"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no model 'nope'. Known: ")
    assert list(tmp_path.iterdir()) == []
