"""A store's artifacts tell how they came about, and in what they differ."""

import errno
import os

import pytest

from tflottery.core import fingerprints
from tflottery.store import differences, needs, telling
from tflottery.store.errors import StoreError
from tflottery.store.origins import Origins, Reference


def key_of(text):
    return fingerprints.fingerprint(text)


def state_key(run, iteration):
    return fingerprints.fingerprint(["state", run, iteration])


@pytest.fixture
def put(store):
    """Puts a state of a run, or a component, into the store; returns its address."""

    def write(address, manifest):
        with store.writing(address, manifest) as folder:
            (folder / "weights.safetensors").write_bytes(b"12345")
        return address

    def run(name, iteration=8, *, initial=None, mask=None, **options):
        rate = {"float": repr(options.pop("rate", 0.1))}
        recipe = {"batch_size": 60, "learning_rate": rate}
        derivation = {
            "network": {"network": {"model": "lenet", "input_shape": [8, 8, 1]}},
            "data": {"data": {"name": "digits", "pretext": None}},
            "recipe": recipe,
            "initial": initial or {"initialization": {"seed": 5}},
            "mask": mask,
            "data_order_seed": 1,
            **options,
        }
        key = key_of(name)
        manifest = {"run": key, "iteration": iteration, "derivation": derivation}
        return write(f"runs/{key}/{iteration:08d}", manifest)

    def component(folder, name, **parameters):
        manifest = {"component": folder, "version": 1, "parameters": parameters}
        return write(f"{folder}/{key_of(name)}", manifest)

    return run, component


@pytest.fixture
def chain(put):
    """A dense run, a mask of it and what was trained with that; addresses by name."""
    run, component = put
    start, end = run("dense", 2), run("dense", 8)
    mask = component(
        "masks",
        "mask",
        scored={"state": state_key(key_of("dense"), 8)},
        previous=None,
        num_survivors=10,
    )
    sparse = run(
        "sparse",
        8,
        initial={"state": state_key(key_of("dense"), 2)},
        mask={"mask": key_of("mask")},
    )
    accuracy = component(
        "accuracies", "accuracy", of={"state": state_key(key_of("sparse"), 8)}
    )
    return dict(start=start, end=end, mask=mask, sparse=sparse, accuracy=accuracy)


def test_fields_are_what_a_key_is_made_of_and_inputs_have_addresses(store, chain):
    origins = Origins(store)
    found = origins.fields(chain["sparse"])
    assert found["network.model"] == "lenet"
    assert found["network.input_shape"] == [8, 8, 1]
    assert found["recipe.learning_rate"] == 0.1
    assert found["initial"] == Reference(state_key(key_of("dense"), 2), chain["start"])
    assert origins.fields(chain["start"])["initial.seed"] == 5
    assert [one.address for one in origins.inputs(chain["sparse"])] == [
        chain["start"],
        chain["mask"],
    ]
    assert origins.ancestors(chain["accuracy"]) == set(chain.values())
    assert origins.ancestors(chain["start"]) == {chain["start"]}


def test_an_input_that_is_gone_is_told_by_its_key(store, chain):
    store.remove(chain["start"])
    (first, _) = Origins(store).inputs(chain["sparse"])
    assert first.address is None and "not in this store" in str(first)
    assert chain["sparse"] in Origins(store).ancestors(chain["accuracy"])


def test_an_artifact_is_named_by_its_address_or_its_beginning(store, chain):
    origins = Origins(store)
    run = chain["end"].rpartition("/")[0]
    assert origins.named(chain["start"]) == chain["start"]
    assert origins.named(run) == origins.named(run[:12]) == chain["end"]
    assert origins.named(key_of("mask")[:6]) == chain["mask"]
    assert origins.named(f"{chain['mask']}/") == chain["mask"]
    for wrong in ("runs/nothing", "", "/"):
        with pytest.raises(ValueError, match="Nothing in .* is called"):
            origins.named(wrong)
    with pytest.raises(ValueError, match=r"'runs' may be runs/.*, runs/.*: give more"):
        origins.named("runs")


def test_differences_are_those_of_the_first_thing_that_was_another_one(put, store):
    run, component = put
    slow, fast = run("slow", rate=0.1), run("fast", rate=0.5)
    masks, sparse = [], []
    for name in ("slow", "fast"):
        scored = {"state": state_key(key_of(name), 8)}
        masks.append(component("masks", f"of {name}", scored=scored))
        mask = {"mask": key_of(f"of {name}")}
        sparse.append(run(f"with {name}", mask=mask))
    origins = Origins(store)
    (one,) = differences.between(origins, slow, fast)
    assert (one.field, one.first, one.second) == ("recipe.learning_rate", 0.1, 0.5)
    found = differences.between(origins, *sparse)
    assert [one.field for one in found] == ["mask", "scored", "recipe.learning_rate"]
    assert (found[-1].of, found[-1].than) == (slow, fast)
    assert differences.between(origins, slow, slow) == []
    told = telling.comparison(origins, *sparse)
    assert (
        f"because {slow} and {fast} differ:\n  recipe.learning_rate: 0.1 | 0.5" in told
    )
    with pytest.raises(ValueError, match="of two kinds"):
        telling.comparison(origins, slow, masks[0])


def test_the_nearest_has_the_same_seeds_and_the_fewest_differences(put, store):
    run, _ = put
    asked = run("asked")
    run("repeated", data_order_seed=2)
    run("another", rate=0.5, momentum=0.9)
    wanted = run("wanted", rate=0.5)
    # Of a run the newest state stands for all.
    run("wanted", 4, rate=0.5)
    found = differences.nearest(Origins(store), asked)
    assert found[0][0] == wanted
    assert [one.field for one in found[0][1]] == ["recipe.learning_rate"]
    assert [one.field for one in found[-1][1]] == ["data_order_seed"]
    told = telling.neighbours(Origins(store), asked)
    assert told.index("0.1 | 0.5") < told.index("data_order_seed: 1 | 2")


def test_an_only_one_has_nothing_near_it(put, store):
    run, _ = put
    address = run("alone")
    assert "the only one of its kind" in telling.neighbours(Origins(store), address)


def test_what_is_damaged_is_compared_with_nothing(put, store):
    run, _ = put
    one, other, sound = (
        run(name, rate=rate) for name, rate in zip("abc", (1, 2, 3), strict=True)
    )
    for address in (one, other):
        os.remove(f"{store.root}/{address}/weights.safetensors")
    for ask in (
        lambda: telling.comparison(Origins(store), one, other),
        lambda: telling.neighbours(Origins(store), one),
    ):
        with pytest.raises(
            ValueError, match=f"{one}' does not count: weights.* is mis"
        ):
            ask()
    assert "the only one of its kind" in telling.neighbours(Origins(store), sound)


def test_contents_tell_folders_networks_and_artifacts(store, chain):
    told = telling.contents(Origins(store))
    assert "masks       1  0.0 MB" in told
    assert "runs        3  0.0 MB" in told
    assert "lenet digits         1 run  2 states" in told
    assert "lenet digits pruned  1 run  1 state" in told
    assert told.endswith("5 artifacts, 0.0 MB")
    told = telling.contents(Origins(store), "masks")
    assert chain["mask"] in told and f"of {chain['end']}" in told
    assert telling.contents(Origins(store), "masks/").endswith("1 artifact, 0.0 MB")
    with pytest.raises(ValueError, match="begins with 'tickets'"):
        telling.contents(Origins(store), "tickets")


def test_an_origin_tells_files_values_and_what_ran(store, chain):
    told = telling.origin(Origins(store), chain["mask"])
    assert told.startswith(chain["mask"])
    for part in ("weights.safetensors", "num_survivors", chain["end"], "tensorflow"):
        assert part in told


@pytest.fixture
def results(tmp_path):
    """Writes results that name some addresses; returns their folder."""

    def write(*addresses):
        folder = tmp_path / "results" / "lottery"
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["level,network,mask", *(f"1,{one}," for one in addresses)]
        (folder / "accuracy.csv").write_text("\n".join(lines) + "\n")
        return str(folder.parent)

    return write


def test_needed_is_what_results_name_and_all_it_comes_from(store, chain, put, results):
    run, component = put
    other = run("other", rate=0.5)
    measured = component(
        "accuracies", "other", of={"state": state_key(key_of("other"), 8)}
    )
    both = component(
        "lines",
        "both",
        a={"state": state_key(key_of("other"), 8)},
        b={"state": state_key(key_of("sparse"), 8)},
    )
    folder = results(chain["sparse"])
    assert needs.unneeded(Origins(store), [folder]) == sorted([other, measured, both])
    folder = results(chain["sparse"], other)
    assert needs.unneeded(Origins(store), [folder]) == []
    folder = results(chain["start"])
    kept = {chain["start"]}
    everything = set(chain.values()) | {other, measured, both}
    assert set(needs.unneeded(Origins(store), [folder])) == everything - kept


def test_tables_are_found_whatever_separates_their_cells_and_through_links(
    store, chain, results, tmp_path
):
    elsewhere, kept = tmp_path / "disk", tmp_path / "kept"
    for folder, name, text in (
        (elsewhere, "accuracy.CSV", f'level;"network"\n1;"{chain["sparse"]}"\n'),
        (kept, "of excel.csv", f"{chain['start']}\tna\u00efve \0 " + 200_000 * "x"),
    ):
        folder.mkdir()
        (folder / name).write_bytes(text.encode("latin-1"))
    (kept / "linked").symlink_to(elsewhere)
    (elsewhere / "in circles").symlink_to(kept)
    named = needs.named_in([str(kept)], Origins(store))
    assert named == {chain["start"], chain["sparse"]}
    assert needs.unneeded(Origins(store), [str(kept)]) == []


def test_results_that_cannot_be_read_are_no_reason_to_remove_what_they_need(
    store, chain, results, monkeypatch
):
    folder = results(chain["start"])
    scandir = os.scandir

    def refused(path):
        if str(path).endswith("lottery"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError):
        needs.unneeded(Origins(store), [folder])


def test_what_damaged_artifacts_come_from_is_not_called_unneeded(store, chain, results):
    folder = results(chain["sparse"])
    assert needs.unneeded(Origins(store), [folder]) == []
    os.remove(f"{store.root}/{chain['sparse']}/weights.safetensors")
    with pytest.raises(StoreError, match=f"1 artifacts .*damaged.*: {chain['sparse']}"):
        needs.unneeded(Origins(store), [folder])


def test_results_that_are_not_whole_are_named(tmp_path):
    for name, said in (("a", "true"), ("b", "false"), ("c", "no json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(f'{{"complete": {said}}}')
    assert needs.unfinished([str(tmp_path)]) == [str(tmp_path / "b")]


def test_own_models_stay_where_no_table_tells_of_any(store, chain, put, results):
    _, component = put
    mine = component("own_states", "mine", iteration=8)
    mask = component("masks", "of mine", scored={"own_state": key_of("mine")})
    other = component("own_states", "other", iteration=9)
    assert needs.unneeded(Origins(store), [results(*chain.values())]) == []
    folder = results(*chain.values(), other)
    assert needs.unneeded(Origins(store), [folder]) == sorted([mine, mask])


def test_lines_of_own_models_stay_with_what_they_come_from(store, chain, put, results):
    _, component = put
    ticket = component("own_states", "ticket", iteration=8)
    start = {"own_state": key_of("start")}
    component("own_states", "start", iteration=4)
    for name in ("a", "b"):
        component("own_states", name, start=start, iteration=9)
    a, b = ({"own_state": key_of(name)} for name in ("a", "b"))
    component("own_lines", "line", a=a, b=b, num_points=30)
    unsaved = component("own_states", "unsaved", start=start, iteration=7)
    folder = results(*chain.values(), ticket)
    assert needs.unneeded(Origins(store), [folder]) == [unsaved]


def test_that_a_training_diverged_is_never_forgotten(store, chain, put, results):
    run, _ = put
    with store.writing("runs/abc/diverged", {"run": "abc"}) as folder:
        (folder / "diverged.json").write_text("{}")
    assert needs.unneeded(Origins(store), [results(*chain.values())]) == []


def test_results_of_another_store_are_refused(store, chain, results):
    with pytest.raises(ValueError, match="names anything that is in the store"):
        needs.unneeded(Origins(store), [results("runs/none/00000008")])
    with pytest.raises(ValueError, match="No table in '/nowhere'"):
        needs.unneeded(Origins(store), ["/nowhere"])
