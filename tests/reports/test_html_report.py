"""The page of results: what is in it, that it stands by itself, what is refused."""

import html.parser
import importlib
import json
import os
import pathlib
import shutil
import urllib.parse

import pandas
import pytest
from absl import flags

import tflottery
from tflottery.core import tables
from tflottery.experiments import instability
from tflottery.figures import style
from tflottery.reports import config_files
from tflottery.reports import html as report
from tflottery.studies import program

RECORDS = pathlib.Path(tflottery.__file__).parents[1] / "experiments"
LENET = RECORDS / "linear_mode_connectivity" / "lenet" / "instability"
# Elements without an end.
_VOID = {"meta", "img"}


class Parsed(html.parser.HTMLParser):
    """What a page consists of; raises where elements do not nest.

    Attributes:
      text: all words.
      links: where links lead.
      places: names that links can lead to.
      sources: of images.
      alternatives: what stands for images.
    """

    def __init__(self, page: str):
        super().__init__()
        self.text, self.links, self.places, self.sources = "", [], [], []
        self.alternatives = []
        self._open = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        self.links += [said["href"]] if "href" in said else []
        self.places += [said["id"]] if "id" in said else []
        self.sources += [said["src"]] if "src" in said else []
        self.alternatives += [said["alt"]] if "alt" in said else []
        if tag == "th":
            assert said["scope"] == "col"
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page_of(sources):
    page, left_out = report.page(sources)
    assert not left_out
    return page


@pytest.fixture
def folder(tmp_path):
    """A copy of a record, in a folder of results."""
    return shutil.copytree(LENET, tmp_path / "results" / "lenet")


@pytest.fixture
def undrawn(monkeypatch):
    """For pages whose words are looked at: a figure takes longer than all the rest."""
    monkeypatch.setattr(style, "svg", lambda draw: b"<svg/>")


def test_a_page_stands_by_itself(folder, tmp_path):
    report.save([str(tmp_path / "results")], output=str(tmp_path / "report.html"))
    page = Parsed((tmp_path / "report.html").read_text())
    # The answer, a claim with its verdict, the paper's numbers, the command.
    for words in ("Instability on test images", "LMC-F2.1", "holds", "numbers in the"):
        assert words in page.text
    assert "tflottery.experiments.instability --model=lenet" in page.text
    # The figure is in the page; links lead within it, and to the tables.
    assert [one.partition(",")[0] for one in page.sources] == [
        "data:image/svg+xml;base64"
    ]
    assert page.alternatives[0].startswith("Figure of lenet: instability: ")
    inside = {one[1:] for one in page.links if one.startswith("#")}
    assert inside and inside <= set(page.places)
    outside = [one for one in page.links if not one.startswith("#")]
    assert outside == [
        "results/lenet/instability.csv",
        "results/lenet/interpolation.csv",
    ]
    assert all((tmp_path / one).exists() for one in outside)


@pytest.mark.slow
def test_the_same_results_make_the_same_page(folder):
    assert page_of([str(folder)]) == page_of([str(folder)])


@pytest.mark.usefixtures("undrawn")
def test_the_papers_own_setting_comes_first(folder, tmp_path):
    """Then what is decided of others, and last those of which nothing is."""
    for name, length in (("a_short", 6000), ("b_one", 3000)):
        other = shutil.copytree(folder, tmp_path / "results" / name)
        table = pandas.read_csv(other / "instability.csv", dtype={"config": str})
        table["training_iterations"] = table["iteration"] = length
        if name == "b_one":
            table = table[table["replicate"] == 1]
        table.to_csv(other / "instability.csv", index=False)
        (other / "interpolation.csv").unlink()
    text = Parsed(page_of([str(tmp_path / "results")])).text
    places = [
        text.index(f"LMC: lenet (standard) on mnist, {length} iterations")
        for length in ("24,000", "6,000", "3,000")
    ]
    assert places == sorted(places)
    assert (
        "In the papers' settings: 1 undecided, 3 holds" in text
        and "In others: " in text
    )


@pytest.mark.usefixtures("undrawn")
def test_tables_without_rows_are_left_out(folder):
    row_type = instability.TABLES["mask_layers"]
    tables.write([], folder / "mask_layers.csv", row_type=row_type)
    assert "mask_layers" not in Parsed(page_of([str(folder)])).text


@pytest.mark.usefixtures("undrawn")
def test_texts_are_no_markup(folder):
    said = json.loads((folder / "config.json").read_text())
    said["decisions"]["augmentation"] = "<script>"
    (folder / "config.json").write_text(json.dumps(said))
    page = page_of([str(folder)])
    assert "<script>" not in page and "--augmentation=&lt;script&gt;" in page


@pytest.mark.usefixtures("undrawn")
def test_settings_of_older_records_lead_to_these(folder):
    """Their config.json says the `config` beside the decisions."""
    said = json.loads((folder / "config.json").read_text())
    said["config"] = said["decisions"].pop("config")
    (folder / "config.json").write_text(json.dumps(said))
    page = Parsed(page_of([str(folder)]))
    # From the contents, and from the setting.
    assert page.links.count("#lenet") == 2


@pytest.mark.usefixtures("undrawn")
def test_links_lead_to_folders_of_any_name(folder, tmp_path):
    (folder / "interpolation.csv").unlink()
    names = ["a b", "a-b", 'c#1 50%25 "<&?', os.fsdecode(b"\xff")]
    for name in names:
        shutil.copytree(folder, tmp_path / "any" / name)
    report.save([str(tmp_path / "any")], output=str(tmp_path / "report.html"))
    page = Parsed((tmp_path / "report.html").read_text())
    assert len(page.places) == len(set(page.places))
    inside = {one[1:] for one in page.links if one.startswith("#")}
    assert inside <= set(page.places)
    files = [urllib.parse.unquote_to_bytes(one) for one in page.links if one[0] != "#"]
    assert len(files) == len(names)
    assert all((tmp_path / os.fsdecode(one)).exists() for one in files)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "foreign", ['{"experiment": ["mine"]}', '{"experiment": "my_experiment"}']
)
def test_the_config_of_another_program_is_none_of_a_command(foreign, folder, capsys):
    other = shutil.copytree(folder, folder.parent / "other")
    (other / "config.json").write_text(foreign)
    page = Parsed(page_of([str(folder.parent)]))
    assert "lenet" in page.places and "other" not in page.places
    told = "other is left out: it is of my_experiment" in capsys.readouterr().err
    assert told == ("my_experiment" in foreign)


@pytest.mark.usefixtures("undrawn")
def test_what_all_rows_say_is_told_once_above_them(folder):
    text = Parsed(page_of([str(folder)])).text
    rows = text[text.index("instability: 90 rows") :]
    assert "In all rows: model lenet, variant standard, dataset mnist" in rows
    assert rows.count("standard") == 2


@pytest.mark.usefixtures("undrawn")
def test_incomplete_results_are_called_so(folder):
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"complete": False}))
    assert "Incomplete" in Parsed(page_of([str(folder)])).text


def test_a_command_says_all_that_was_decided():
    decisions = {
        "model": "lenet",
        "subset": None,
        "optimizer": "adam",
        "momentum": 0.9,
        "milestones": [],
        "decay_factor": 0.1,
        "rewind_iterations": [0, 250],
        "one_shot": True,
        "sparse": False,
        "config": "01234567",
    }
    assert config_files.command({"experiment": "lottery", "decisions": decisions}) == (
        "python -m tflottery.experiments.lottery --model=lenet --optimizer=adam "
        "--rewind_iterations=0,250 --one_shot"
    )


def test_a_command_over_several_networks_names_them_all_and_what_they_share():
    decisions = {
        name: {
            "model": name,
            "replicates": 3,
            "optimizers": [optimizer],
            "learning_rate": rate,
            "config": "01234567",
        }
        for name, optimizer, rate in (("lenet", "adam", 0.1), ("vgg19", "sgd", 0.2))
    }
    decisions["vgg19"]["ticket_recipes"] = {"rotation": {"learning_rate": 1.0}}
    assert config_files.command({"experiment": "table1", "decisions": decisions}) == (
        "python -m tflottery.experiments.table1 --model=lenet,vgg19 --replicates=3 "
        "--optimizers=adam,sgd"
    )


@pytest.mark.parametrize(
    "path", sorted(RECORDS.glob("*/**/config.json")), ids=lambda path: path.parent.name
)
def test_the_program_takes_the_commands_of_all_records(path):
    words = config_files.command(json.loads(path.read_text())).split()
    experiment = importlib.import_module(words[2])
    values = flags.FlagValues()
    program.define_flags(experiment.Config, values, program=words[2])
    values([words[2], *words[3:]])
    config = program.from_flags(experiment.Config, values)
    for one in getattr(experiment, "members", lambda config: [config])(config):
        one.validate()


WRONG = {
    "Name the results": ([], "report.html"),
    "No results in .*nothing'": (["nothing"], "report.html"),
    "has to end in .html": (["results"], "report.pdf"),
    "No results of a command": (["notes.csv"], "report.html"),
    "notes.csv' is no folder": (["results"], "notes.csv/report.html"),
    "it is a folder": (["results"], "folder.html"),
}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_refused(text, folder, tmp_path):
    (tmp_path / "notes.csv").write_text("anything\n1\n")
    (tmp_path / "folder.html").mkdir()
    sources, output = WRONG[text]
    named = [os.fspath(tmp_path / source) for source in sources]
    with pytest.raises((ValueError, OSError), match=text):
        report.save(named, output=os.fspath(tmp_path / output))
    assert not list(tmp_path.glob("report.*"))


def test_where_nothing_can_be_written_nothing_is_drawn(folder, tmp_path, monkeypatch):
    """A page of many commands takes minutes."""
    monkeypatch.setattr(report, "page", lambda *_, **__: pytest.fail("made a page"))
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(ValueError, match="permission denied"):
        report.save([str(folder)], output=str(tmp_path / "report.html"))


@pytest.mark.usefixtures("undrawn")
def test_a_page_begins_with_the_claims_at_a_glance(folder):
    page = page_of([str(folder)])
    text = Parsed(page).text
    first = text.index("Linear Mode Connectivity and the Lottery")
    assert first < text.index("Setting by setting") < text.index("in the papers")
    # Of a paper no claim of which is decided nothing stands there.
    assert "Finding Winning Tickets" not in text[:first]
    assert 'class="text holds">holds<' in page
