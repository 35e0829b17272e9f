"""Commands under attack, and mistakes put back that the attack has to find."""

import pathlib

import pytest

from benchmarks.attacks import damage, signals, workloads
from benchmarks.attacks.attack import Moment
from benchmarks.attacks.caches import CacheDamage
from benchmarks.attacks.crowds import CONTESTED, OWN, Companion
from benchmarks.attacks.damage import Damage, Deletion, Swap, Vanishing
from benchmarks.attacks.disks import FullDisk, can_mount
from benchmarks.attacks.reference import EMPTY, FINISHED, TRAINING
from benchmarks.attacks.signals import Signal
from benchmarks.attacks.trial import Trial, carry_out

pytestmark = pytest.mark.slow

MISTAKES = pathlib.Path(__file__).parent / "mistakes"


@pytest.fixture
def attack(make_reference, fonts, tmp_path):
    """Attacks the lottery; returns what is wrong then, and the exit codes."""

    def run(*rounds, beginning=EMPTY, mistake=None):
        trial = Trial(
            reference=make_reference(workloads.LOTTERY, (TRAINING,)),
            beginning=beginning,
            cached=True,
            workers=1,
            rounds=rounds,
        )
        patch = None if mistake is None else str(MISTAKES / f"{mistake}.py")
        found = carry_out(trial, tmp_path / "trial", fonts=fonts, patch=patch)
        print(found.text)
        assert all(one.happened for one in trial.attacks)
        return found

    return run


@pytest.fixture
def cache_damage(make_reference):
    """Returns damage to one file of the dataset cache."""

    def flip(name):
        cache = make_reference(workloads.LOTTERY, (TRAINING,)).cache
        names = [one for one in cache if not one.endswith(".lock")]
        (number,) = [index for index, one in enumerate(names) if one.endswith(name)]
        return CacheDamage(damage.FLIP, at=(number + 0.5) / len(names), where=0.5)

    return flip


def test_killed_and_stopped_commands_go_on(attack):
    worker = Signal(signals.KILL, "worker", Moment("worker", "operation", 60))
    group = Signal("SIGTERM", "group", Moment("worker", "operation", 90))
    found = attack([worker], [group])
    assert found.complaints == ()
    assert found.codes == (0, 75) or found.codes[1:] == (75, 0)


def test_damage_is_named_and_made_good(attack, cache_damage):
    found = attack(
        [
            Deletion(share=0.5, seed=1),
            Damage(
                damage.FLIP, ("accuracies",), False, at=0.0, where=0.5, keep_time=True
            ),
            cache_damage("train_labels.npy"),
        ],
        beginning=FINISHED,
    )
    assert found.complaints == ()
    assert found.codes == (0,)


def test_a_damaged_checkpoint_is_named(attack):
    checkpoint = Damage(
        damage.CUT, damage.UNFINISHED, False, at=0.0, where=0.5, keep_time=False
    )
    found = attack([checkpoint], beginning=TRAINING)
    assert found.complaints == ()
    assert found.codes == (0,)


def test_a_disk_becomes_full(attack, tmp_path):
    if not can_mount(tmp_path / "try"):
        pytest.skip("file systems cannot be mounted here")
    found = attack([FullDisk("store", 0, Moment("store", "artifacts", 3))])
    assert found.complaints == ()
    assert found.codes[0] != 0
    assert found.codes[-1] == 0


def test_a_command_beside_it(attack, make_reference):
    reference = make_reference(workloads.LOTTERY, (TRAINING,))
    found = attack([Companion(1, reference, 0.0, OWN)])
    assert found.complaints == ()
    assert found.codes == (0, 0)


def test_an_unchecked_dataset_is_found(attack, cache_damage):
    attacks = [Deletion(share=1.0, seed=1), cache_damage("train_images.npy")]
    found = attack(attacks, beginning=FINISHED, mistake="unchecked_dataset")
    assert (
        "train_images.npy of the dataset cache differs from the reference"
        in " ".join(found.complaints)
    )
    assert any("weights.safetensors" in one for one in found.complaints)


def test_skipped_rows_are_found(attack):
    found = attack([Vanishing(0.5, None)], beginning=FINISHED, mistake="skipped_rows")
    assert found.codes == (0,)
    assert "accuracy.csv differs from the reference" in found.complaints


def test_artifacts_anywhere_are_found(attack):
    swap = Swap(0.5, among=("accuracies",))
    found = attack([swap], beginning=FINISHED, mistake="artifacts_anywhere")
    assert found.codes == (0,)
    assert any("damaged or not there" in one for one in found.complaints)


def test_an_unclaimed_folder_is_found(attack, make_reference):
    other = make_reference(workloads.OTHER)
    rival = Companion(1, other, 0.0, CONTESTED, meets=True)
    found = attack([rival], beginning=FINISHED, mistake="unclaimed_folder")
    both = "two commands with different options wrote one output folder"
    assert any(both in one for one in found.complaints)
