"""Criteria that read a network and data, in commands: exact, and on what is trained."""

import numpy as np
import pytest

from tflottery.components.runs import MASK_FILE
from tflottery.core.registry import CRITERIA
from tflottery.experiments import lottery
from tflottery.store.store import Store
from tflottery.training import checkpoints

_KINDS = ("snip", "grasp", "synflow")
_ONE = {"replicates": 1, "rewind_iterations": (0,), "levels": ("1-2",)}
_SURVIVORS = {1: 40_160, 2: 32_128}


def _masks(ended):
    """Returns the masks of every subnetwork of a command, by kind and level."""
    store = Store(ended.folder.parent / ended.store)
    table = ended.table("accuracy").dropna(subset=["mask"])
    return {
        (row.subnetwork, row.level): checkpoints.read_arrays(
            store.open(row.mask) / MASK_FILE
        )
        for row in table.itertuples()
    }


@pytest.fixture
def masks_of(execute):
    """Runs the lottery; returns its masks by kind and level, and its table."""

    def run(*kinds, store="store", **options):
        ended = execute(
            lottery, subnetworks=kinds, store=store, output=store, **_ONE | options
        )
        assert ended.code == 0, ended.text
        ended.store = store
        return _masks(ended), ended

    return run


@pytest.mark.slow
def test_lines_of_the_lottery_are_exact_and_the_same_again(masks_of):
    kinds = (*_KINDS, "snip_shuffled", "snip_reinit")
    first, ended = masks_of(*kinds)
    again, other = masks_of(*kinds, store="other")
    assert first.keys() == {(kind, level) for kind in kinds for level in (1, 2)}
    assert ended.csvs == other.csvs
    for (kind, level), masks in first.items():
        assert sum(int(mask.sum()) for mask in masks.values()) == _SURVIVORS[level]
        for path, mask in masks.items():
            assert mask.tobytes() == again[kind, level][path].tobytes()
    for level in (1, 2):
        own, shuffled = first["snip", level], first["snip_shuffled", level]
        assert any((own[path] != shuffled[path]).any() for path in own)
        for path in own:
            assert own[path].sum() == shuffled[path].sum()
            np.testing.assert_array_equal(own[path], first["snip_reinit", level][path])


@pytest.mark.slow
def test_what_trains_on_from_trained_weights_and_what_prunes_meanwhile(
    masks_of, trainings
):
    """As many weights are kept as of the others, and a second command makes nothing."""
    kinds = ("lr_rewinding", "fine_tuning", "gradual_pruning")
    options = {"optimizer": "sgd", "learning_rate": 0.1, "milestones": ("20",)}
    found, ended = masks_of(*kinds, **options)
    assert found.keys() == {(kind, level) for kind in kinds for level in (1, 2)}
    for (_, level), masks in found.items():
        assert sum(int(mask.sum()) for mask in masks.values()) == _SURVIVORS[level]
    table = ended.table("accuracy")
    assert table["test_error"].notna().all() and len(table) == 7
    layers = ended.table("mask_layers")
    own = layers[layers["subnetwork"] == "gradual_pruning"]
    # Each kernel alike, but for rounding.
    assert own.groupby("level")["kernel_density"].agg(np.ptp).max() < 1e-3
    trainings.clear()
    _, again = masks_of(*kinds, **options)
    assert (again.csvs, trainings) == (ended.csvs, [])


def test_they_are_shown_what_the_run_trains_on(masks_of, register):
    """Images of the subset alone, turned and labelled as the pretext has it."""
    shown = []

    def watching(weights, *, shapes, seed, probe):
        images, targets = probe.batch(seed)
        shown.append((images.numpy(), targets.numpy(), probe.examples))
        return {path: np.abs(values) for path, values in weights.items()}

    own = {"version": 1, "scored_weights": "rewound", "seeded": True, "examples": 128}
    register(CRITERIA, "watching", watching, **own)
    masks_of("watching", subset="images:0.05", task="rotation", levels=("1",))
    ((images, targets, examples),) = shown
    # Of 1,437 images a twentieth, each turned in one of four ways.
    assert len(images) == examples < 80
    assert set(targets) == {0, 1, 2, 3}
