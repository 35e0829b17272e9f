"""A verdict finds what differs from the reference, and nothing where nothing does."""

import shutil

from benchmarks.attacks import stored, verdict
from tflottery.store.store import Store


def test_nothing_is_wrong_where_nothing_happened(sandbox, made_up):
    assert verdict.of_output(sandbox.paths["output"], made_up) == []
    assert verdict.of_store(sandbox, made_up) == []
    assert verdict.of_cache(sandbox, made_up, spoiled={}) == []
    assert verdict.of_leftovers(sandbox) == []


def test_output_with_another_table_a_draft_and_no_config(sandbox, made_up):
    output = sandbox.paths["output"]
    (output / "table.csv").write_bytes(b"a,b\n1,3\n")
    (output / ".table.csv.123").touch()
    (output / "config.json").unlink()
    assert verdict.of_output(output, made_up) == [
        "config.json is not written",
        ".table.csv.123 is left behind",
        "table.csv differs from the reference",
    ]


def test_of_a_config_the_environment_does_not_count(sandbox, made_up):
    path = sandbox.paths["output"] / "config.json"
    path.write_text('{"environment": 2, "decisions": 1}')
    assert verdict.of_output(path.parent, made_up) == []
    path.write_text('{"decisions": 2}')
    assert verdict.of_output(path.parent, made_up) == [
        "config.json differs from the reference"
    ]


def test_store_with_other_bytes_something_unknown(sandbox, made_up):
    store = sandbox.paths["store"]
    shutil.copytree(store / "lines" / "c", store / "checkpoints" / "d" / "00000001")
    with Store(store).writing("accuracies/a", {}) as folder:
        (folder / "value.json").write_text("poisoned")
    # Where nobody has to read it, damage is not left behind, nor does it differ.
    (store / "accuracies" / "b" / "value.json").write_text("damaged")
    shutil.rmtree(store / "runs" / "d")
    found = verdict.of_store(sandbox, made_up)
    assert "value.json of accuracies/a differs from the reference" in found
    assert "checkpoints/d/00000001 is left behind in the store" in found
    gone = "accuracies/b, which results come from, is damaged or not there"
    assert [one for one in found if "accuracies/b" in one] == [gone]
    assert not any("runs/d" in one for one in found)


def test_cache_with_other_images(sandbox, made_up):
    cache = sandbox.paths["cache"]
    (cache / "digits-1" / "images.npy").write_bytes(b"imagez")
    (cache / "making-digits").touch()
    spoiled = stored.digests(cache)
    assert verdict.of_cache(sandbox, made_up, spoiled=spoiled) == [
        "digits-1/images.npy of the dataset cache differs from the reference",
        "making-digits is left behind in the dataset cache",
    ]


def test_temporary_files_drafts_and_locks(sandbox):
    paths = [
        sandbox.paths["temporary"] / "tflottery-worker-1.log",
        sandbox.paths["store"] / ".drafts" / "123",
        sandbox.paths["store"] / ".locks" / "runs",
    ]
    before = verdict.of_leftovers(sandbox)
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = set(verdict.of_leftovers(sandbox)) - {*before}
    assert found == {
        f"{path.relative_to(sandbox.root)} is left behind" for path in paths
    }


def test_a_checkpoint_that_nobody_needs_is_cleaned_as_users_are_offered_to(sandbox):
    store = Store(sandbox.paths["store"])
    for address in ("runs/e/00000120", "checkpoints/e/00000042"):
        with store.writing(address, {}) as folder:
            (folder / "weights.safetensors").write_text("w")
            (folder / "slots.safetensors").write_text("s")
    sandbox.clean()
    assert store.addresses("runs/e") == ["runs/e/00000120"]
    assert store.addresses("checkpoints") == []
