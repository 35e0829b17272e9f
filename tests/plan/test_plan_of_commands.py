"""What many commands cost together, told before anything is there."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags

import tflottery
import tflottery.plan.__main__ as tool
from tflottery.core import hardware, registry
from tflottery.core.recipes import Setting
from tflottery.core.registry import MODELS
from tflottery.execution import rates, utilization
from tflottery.execution.plan import plan_of
from tflottery.plan import commands, device_time, known_data
from tflottery.plan.device_time import readable
from tflottery.store.store import Store

_ROOT = pathlib.Path(tflottery.__file__).parents[1]
_SMALL = (
    "--model=lenet --dataset=mnist --replicates=1 --rewind_iterations=0,10 "
    "--training_iterations=100"
)
_TWO = [
    f"instability {_SMALL} --data_orders=2",
    f"lottery {_SMALL} --levels=1-2 --subnetworks=imp",
]


@pytest.fixture
def two():
    return [commands.parsed(text) for text in _TWO]


@pytest.fixture(scope="module")
def facts():
    setting = "lenet", Setting("mnist")
    return {setting: known_data.facts_of(*setting)}


def test_commands_share_what_they_can(two, facts):
    lines = list(tool.told({"both": two}, facts))
    apart = [int(line.split()[1].replace(",", "")) for line in lines[1:3]]
    # Two copies from each of two k, and a trunk to the second; and levels 1 and 2 from
    # both, and the whole trunk.
    assert apart == [10 + 2 * (100 + 90), 100 + 2 * (100 + 90)]
    assert lines[1].endswith(_TWO[0])
    together = sum(apart) - 10
    assert lines[3].split()[1] == f"{together:,}" and "both, as one plan" in lines[3]
    assert f"{sum(apart):,} as commands" in lines[4]
    assert f"{sum(apart) / together:.2f} times as many" in lines[4]


def test_runs_of_several_threads_are_other_runs(facts):
    lines = (_TWO[0], f"{_TWO[0]} --threads=4")
    both = [commands.parsed(text) for text in lines]
    whole = next(
        line for line in tool.told({"both": both}, facts) if "as one plan" in line
    )
    assert whole.split()[1] == str(2 * (10 + 2 * (100 + 90)))


def test_several_groups_are_one_plan_too(two, facts):
    lines = list(tool.told({"one": two[:1], "other": two[1:]}, facts))
    assert [line.partition("  ")[2] for line in lines].count("") == 3
    whole = next(line for line in lines if "all, as one plan" in line)
    assert whole.split()[1] == "860"


def test_times_are_by_the_rates_of_a_device(two, facts, tmp_path):
    goals = two[0].goals(two[0].studies(facts))
    networks = {one.network: one for one in facts.values()}
    plan = plan_of(goals, Store(tmp_path), facts=networks)
    found = device_time.of_plan(plan, networks)
    assert found.core_hours == pytest.approx(plan.flops / 32e9 / 3600)
    # 0.3 milliseconds an update of each of three layers, and what is measured.
    assert found.gpu_hours > plan.num_iterations * 0.9e-3 / 3600
    # Which a chip of a TPU is put at too.
    assert found.tpu_hours >= found.gpu_hours
    assert found.decoding_hours == 0


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0.001, "1 minutes"), (1.2, "72 minutes"), (30, "30 hours"), (1e7, "1,100 years")],
)
def test_hours_are_told_in_a_unit_that_suits_them(hours, text):
    assert readable(hours) == text


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Returns the flags of the program as they are typed."""
    monkeypatch.chdir(tmp_path)

    def parsed(*arguments):
        values = flags.FlagValues()
        tool._define_flags(values, program_name="plan")
        return values(["plan", *arguments]), values

    return parsed


def test_lines_may_ask_for_what_a_plugin_of_all_registers(
    typed, tmp_path, monkeypatch, register
):
    """Which is named once, beside --execute."""
    lenet = MODELS["lenet"]
    name = "known_by_a_plugin_of_all"

    def load(names, *, named_by):
        if "of_all" in names:
            register(MODELS, name, lenet.function, **lenet.attributes)

    executed = []
    monkeypatch.setattr(registry, "load_plugins", load)
    monkeypatch.setattr(
        tool.joint_session, "execute", lambda asked, *_, **__: executed.extend(asked)
    )
    (tmp_path / "mine.commands").write_text(_TWO[0].replace("lenet", name))
    tool._execute(*typed("mine.commands", "--execute", "--plugins=of_all"))
    assert [one.configs[0].model for one in executed] == [name]


def test_a_reader_that_leaves_ends_the_program(typed, tmp_path, monkeypatch):
    (tmp_path / "mine.commands").write_text("\n".join(_TWO))
    told = []

    def lines(*_):
        for number in range(9):
            told.append(number)
            yield f"line {number}"

    monkeypatch.setattr(tool, "facts_of", lambda _: {})
    monkeypatch.setattr(tool, "told", lines)
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as left:
        monkeypatch.setattr(sys, "stdout", left)
        assert tool._execute(*typed("mine.commands")) == 0
    assert told == [0]


def test_data_of_a_size_that_is_not_known_are_refused_before_a_process_starts(
    monkeypatch,
):
    monkeypatch.setattr(tool.concurrent.futures, "ProcessPoolExecutor", None)
    asked = [commands.parsed("lottery --dataset=digits")]
    with pytest.raises(ValueError, match=r"'digits' is not known.*--execute --dry_run"):
        tool.facts_of(asked)


@pytest.mark.parametrize(("names", "paper"), [([], None), (["a.flags"], "all")])
def test_a_paper_or_files_have_to_be_named(names, paper):
    with pytest.raises(ValueError, match="Name a paper .--paper=all, or one of .*or"):
        tool._groups(names, paper=paper)


def test_all_gpus_share_the_batches_of_the_pages_commands_for_that(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(hardware, "visible_gpus", lambda: list("01234567"))
    monkeypatch.setattr(hardware, "gpu_rate", lambda: rates.H100_RATE)
    monkeypatch.setattr(hardware, "visible_cores", lambda: 64)
    page = (_ROOT / "docs/scaling.md").read_text()
    lines = re.findall(r"experiments\.(.*--distribute=auto.*)", page)
    assert lines
    for line in lines:
        one = commands.parsed(line, folder=_ROOT)
        facts = {setting: known_data.facts_of(*setting) for setting in one.settings()}
        networks = {known.network: known for known in facts.values()}
        goals = one.goals(one.studies(facts))
        plan = plan_of(goals, Store(tmp_path), facts=networks)
        assert utilization.is_faster_together(plan, num_devices=8)


@pytest.mark.slow
def test_the_program_asks_another_process_for_facts(tmp_path):
    """Which has what the commands' plugins register."""
    registered = (
        "from tflottery.core.registry import MODELS",
        "lenet = MODELS['lenet']",
        "MODELS.register('small', **lenet.attributes)(lenet.function)",
    )
    (tmp_path / "mine.py").write_text("\n".join(registered))
    line = f"{_TWO[0].replace('lenet', 'small')} --plugins=mine"
    (tmp_path / "mine.commands").write_text(f"{line}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "tflottery.plan", "mine.commands"],
        env=os.environ | {"PYTHONPATH": f"{_ROOT}{os.pathsep}{tmp_path}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "390" in ended.stdout and line in ended.stdout


@pytest.mark.slow
def test_the_page_has_what_the_program_says_of_a_paper():
    paper = "limited_supervision"
    asked = commands.of_paper(paper)
    settings = {setting for one in asked for setting in one.settings()}
    facts = {setting: known_data.facts_of(*setting) for setting in settings}
    lines = list(tool.told({paper: asked}, facts))
    whole = next(line for line in lines if f"{paper}, as one plan" in line)
    apart = lines[lines.index(whole) + 1]
    page = (_ROOT / "docs/scaling.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith(f"| `{paper}`"))
    _, num_commands, *cells, saved = (one.strip() for one in row.strip("|").split("|"))
    assert int(num_commands) == len(asked)
    units = "GB|years|days|hours|minutes"
    told = re.findall(rf"[\d,.]+(?: (?:{units}))?", whole)
    assert len(cells) == 7 and told[:7] == cells
    assert f": {saved} times as many" in apart
