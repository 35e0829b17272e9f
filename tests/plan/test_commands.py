"""Lists of commands: those of the papers, and one's own."""

import pathlib
import sys

import pytest

import tflottery
from tflottery.plan import commands

_CONFIGS = pathlib.Path(tflottery.__file__).parents[1] / "configs"
# Of networks or readings that the papers do not have.
_BEYOND_THE_PAPERS = {
    "instability/lenet_sparse_random_global",
    "late_resetting/vgg19",
    "lottery/lenet_random_global",
    "semi_supervised/vgg19",
    "transfer/vgg19",
}


def test_the_papers_commands_name_every_flag_file_of_theirs():
    listed = {paper: commands.of_paper(paper) for paper in commands.PAPERS}
    assert {paper: len(found) for paper, found in listed.items()} == {
        "linear_mode_connectivity": 31,
        "early_phase": 42,
        "limited_supervision": 22,
    }
    texts = [one.text for found in listed.values() for one in found]
    assert len(set(texts)) == len(texts)
    missing = {
        f"{path.parent.name}/{path.stem}".removesuffix("_paper")
        for path in _CONFIGS.glob("*/*paper.flags")
        if not any(f"configs/{path.parent.name}/{path.name}" in one for one in texts)
    }
    assert missing == _BEYOND_THE_PAPERS


def test_lenet_s_column_has_every_table_and_figure_of_its_paper(monkeypatch):
    monkeypatch.chdir(_CONFIGS.parent)
    column = commands.of_file("configs/lenet.commands")
    assert {one.model for each in column for one in each.configs} == {"lenet"}
    listed = {one.text for one in commands.of_paper("linear_mode_connectivity")}
    own = {one.text for one in column if "random_global_paper" not in one.text}
    assert {one for one in listed if "lenet" in one} <= own
    assert own - listed == {
        "table1 --flagfile=configs/table1/paper.flags --model=lenet"
    }


def test_the_laptop_setting_s_list_has_all_that_its_network_can_show(monkeypatch):
    monkeypatch.chdir(_CONFIGS.parent)
    found = commands.of_file("configs/laptop.commands")
    assert {one.model for each in found for one in each.configs} == {"lenet_batch_norm"}
    missing = {
        f"{path.parent.name}/{path.name}"
        for path in _CONFIGS.glob("*/*laptop.flags")
        if not any(
            f"configs/{path.parent.name}/{path.name}" in one.text for one in found
        )
    }
    # Networks that the setting does not have.
    assert missing == {
        "layerwise/laptop.flags",
        "lottery/criteria_laptop.flags",
        "natural_sparsity/mnist_laptop.flags",
    }


def test_a_command_has_the_options_of_its_line():
    low = commands.parsed(
        f"lottery --flagfile={_CONFIGS}/lottery/resnet20_paper.flags --variant=low"
    )
    (config,) = low.configs
    assert (config.model, config.variant, config.levels) == (
        *("resnet20", "low"),
        ("1-14",),
    )
    assert low.module.__name__ == "tflottery.experiments.lottery"


def test_what_a_line_says_of_the_machine_counts_where_it_decides_results(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "of_my_own.py").touch()
    # Data may be on another machine.
    line = "lottery --threads=4 --plugins=of_my_own --data_dir=/gone --distribute=auto"
    found = commands.parsed(line)
    assert (found.placement.threads, found.plugins) == (4, ("of_my_own",))
    assert "of_my_own" in sys.modules


def test_flag_files_and_lists_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "lottery"
    folder.mkdir()
    (folder / "mine.flags").write_text("--model=lenet\n--levels=1-3\n")
    (one,) = commands.of_file("lottery/mine.flags")
    assert one.configs[0].levels == ("1-3",)
    (tmp_path / "mine.commands").write_text(
        "# Mine.\n\nlottery --flagfile=lottery/mine.flags --levels=1\ntable1  # All.\n"
    )
    first, second = commands.of_file("mine.commands")
    assert first.configs[0].levels == ("1",)
    assert len(second.configs) == 7


def test_what_takes_part_are_the_searches_too():
    found = commands.parsed(
        f"transfer --flagfile={_CONFIGS}/transfer/resnet50_paper.flags"
    ).settings()
    assert {setting.dataset for _, setting in found} == {
        *("imagenet2012", "places365_small", "cifar10")
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.txt", "", r"'mine.txt' is no list of commands \(\*.commands\)"),
        ("mine.commands", "lotery --model=lenet", "no experiment 'lotery'"),
        ("mine.commands", "lottery --levels=0-3", "0-3"),
        ("mine.commands", "lottery --modle=lenet", "lottery --modle=lenet': .*modle"),
        ("mine.commands", "lottery --flagfile=gone.flags", "gone.flags"),
        ("mine.commands", "lottery resnet20", "'resnet20' is not a flag"),
        ("mine.commands", "# lottery", "'mine.commands' holds no command"),
        ("mine.commands", "lottery --replicates=x", "'lottery --replicates=x': .*'x'"),
        ("mine.commands", "lottery --threads=0", "--threads=0 has to be at least 1"),
        ("mine.commands", "lottery --plugins=no_such_module", "'no_such_module', .*"),
        ("mine.commands", 'lottery --store="a b', """--store="a b': No closing"""),
        ("mine.commands", "python lottery", "'python lottery': .* 'python'"),
        (
            "mine.commands",
            "lottery --store=\udce9",
            "'mine.commands' is no text in UTF",
        ),
        (
            "mine.commands",
            "lottery --distribute=mirrored",
            "'lottery --distribute=mirrored': .* how many devices",
        ),
    ],
)
def test_what_is_no_command_is_refused(name, content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(content, errors="surrogateescape")
    with pytest.raises(ValueError, match=message):
        commands.of_file(name)


def test_a_list_may_come_from_windows(tmp_path):
    path = tmp_path / "mine.commands"
    path.write_bytes(b"\xef\xbb\xbflottery --levels=1\r\n\r\ntable1 # All.\r\n")
    first, second = commands.of_file(str(path))
    assert first.configs[0].levels == ("1",)
    assert len(second.configs) == 7


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(FileNotFoundError, match=r"no file 'other\.flags'"):
        commands.of_file("other.flags")
