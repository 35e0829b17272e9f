"""What somebody means by a ticket, and what is refused before anything opens."""

import os
import shutil

import pytest

from tflottery.datasets import network
from tflottery.export import __main__ as program
from tflottery.export import resolving
from tflottery.export.resolving import ModelFile
from tflottery.store.errors import DamagedArtifact, StoreError


def _address(ticket, stored, **options):
    return resolving.resolve(ticket, store=stored.root, **options).address


def test_a_row_is_named_by_number_or_by_what_it_alone_has(stored):
    assert _address(stored.table, stored, row="2") == stored.ticket
    assert _address(stored.table, stored, row="level=1,replicate=1") == stored.ticket
    assert _address(stored.table, stored, row="level=0.0") == stored.dense
    found = resolving.resolve(stored.table, row="2", store=stored.root)
    assert found.columns["mask"] == stored.mask


def test_an_address_is_a_state_a_run_or_the_mask_that_one_was_trained_with(stored):
    run = stored.ticket.rpartition("/")[0]
    for text in (stored.ticket, run, run[:14], stored.mask, stored.mask.split("/")[1]):
        assert _address(text, stored) == stored.ticket


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (None, "has 3 rows: say which by --row.*level=1,replicate=2"),
        ("4", "--row=4: .* has rows 1 to 3"),
        ("level=1", "is 2 rows .* which differ in replicate: say"),
        ("level=7", "no row of .* has level=7; there is 0, 1"),
        ("depth=7", "'depth=7' is no column and its value. Columns .*level, replicate"),
        ("3", "'runs/gone/00000009' is not in the store .*--store"),
    ],
)
def test_rows_that_are_none_are_refused(stored, row, told):
    with pytest.raises(ValueError, match=told):
        _address(stored.table, stored, row=row)


def test_rows_of_several_kinds_of_subnetworks_are_told_apart_by_these(tmp_path):
    table = tmp_path / "accuracy.csv"
    text = "subnetwork,level,network,mask,test_error\n"
    text += "imp,1,runs/a/01,masks/a,0.5\nrandom_pruning,1,runs/b/01,masks/b,0.25\n"
    table.write_text(text)
    with pytest.raises(ValueError, match="which differ in subnetwork: say"):
        resolving.resolve(str(table), row="level=1")


def test_rows_without_a_network_are_refused(stored, tmp_path):
    table = tmp_path / "instability.csv"
    table.write_text("level,network_a,network_b\n1,runs/a/01,runs/b/01\n")
    with pytest.raises(ValueError, match="several networks: network_a is runs/a/01"):
        _address(str(table), stored)
    table.write_text("level,network,diverged_iteration\n1,runs/a/01,70\n")
    with pytest.raises(ValueError, match="diverged at iteration 70"):
        _address(str(table), stored)
    table.write_text("level,test_error\n1,0.5\n")
    with pytest.raises(ValueError, match="names no network: .* column 'network'"):
        _address(str(table), stored)
    table.write_text("")
    with pytest.raises(ValueError, match="has no rows"):
        _address(str(table), stored)


def test_addresses_of_other_things_are_refused(stored, tmp_path):
    told = f"is no network: .*made from {stored.ticket}"
    with pytest.raises(ValueError, match=told):
        _address(stored.accuracy, stored)
    with pytest.raises(ValueError, match="Nothing in .* is called 'nothing'"):
        _address("nothing", stored)
    with pytest.raises(ValueError, match="no store in .*Expected a .keras file"):
        resolving.resolve("runs/1", store=str(tmp_path / "none"))


def test_files_of_other_kinds_are_refused(tmp_path):
    for name, told in (
        ("ticket.safetensors", "not the network that they belong to"),
        ("weights.h5", "holds no network that is known"),
        ("folder", "no bundle: it has no bundle.json"),
    ):
        path = tmp_path / name
        path.mkdir() if name == "folder" else path.write_bytes(b"")
        with pytest.raises(ValueError, match=told):
            resolving.resolve(str(path))
    with pytest.raises(ValueError, match="There is no file 'gone.keras'. Expected a"):
        resolving.resolve("gone.keras")
    with pytest.raises(ValueError, match="--row='1' is of a table"):
        resolving.resolve("gone.keras", row="1")


def test_folders_of_results_and_of_stores_are_told_as_such(stored):
    with pytest.raises(ValueError, match="Name a table in it .*: accuracy.csv"):
        resolving.resolve(os.path.dirname(stored.table))
    with pytest.raises(ValueError, match="lies in a store: give its address there"):
        resolving.resolve(os.path.join(stored.root, stored.ticket))


def test_outputs_have_the_ending_of_their_format_and_overwrite_nothing(
    stored, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    found = resolving.resolve(stored.ticket, store=stored.root)
    key = stored.ticket.split("/")[1][:8]
    path = program.output_path(found, "tflite", None)
    assert str(path) == f"small_convolutions_{key}.tflite"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="already: remove it, or name another"):
        program.output_path(found, "tflite", None)
    with pytest.raises(ValueError, match="a name that ends in .keras"):
        program.output_path(found, "keras", "model.h5")
    with pytest.raises(ValueError, match="a folder's name"):
        program.output_path(found, "savedmodel", "model.keras")
    assert str(program.output_path(found, "savedmodel", "lenet_0.2")) == "lenet_0.2"
    found = ModelFile(str(tmp_path / "own.keras"), resolving.KERAS)
    assert str(program.output_path(found, "savedmodel", None)) == "own"


def test_options_of_other_tickets_are_refused(stored, tmp_path):
    found = resolving.resolve(stored.ticket, store=stored.root)
    with pytest.raises(ValueError, match="--examples is of a .keras file"):
        program.validate_options(found, {"examples": __file__})
    program.validate_options(found, {"inputs": "normalized", "data_dir": "data"})
    found = ModelFile("own.keras", resolving.KERAS)
    with pytest.raises(ValueError, match="gone.npy': there is no such file"):
        program.validate_options(found, {"examples": "gone.npy"})
    for one in (found, ModelFile("bundle", resolving.BUNDLE)):
        # What it takes is in the file, whatever is asked for.
        with pytest.raises(ValueError, match="--inputs is of a network of a store"):
            program.validate_options(one, {"inputs": "normalized"})


def test_a_damaged_state_is_named(stored, tmp_path):
    root = shutil.copytree(stored.root, tmp_path / "store")
    path = root / stored.ticket / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedArtifact, match="is damaged .*weights.safetensors"):
        resolving.resolve(stored.ticket, store=str(root))


def test_a_bucket_that_does_not_answer_is_no_missing_store(monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setattr(network, "connected", lambda address: False)
    with pytest.raises(StoreError, match="'gs://bucket/x' cannot be reached: .*answer"):
        resolving.resolve("runs/1", store="gs://bucket/x")
