"""Claims on tables of which parts are missing, or that are of other k and lengths."""

import math

import pandas
import pytest
import test_claims_of_early_phase as early_phase
import test_claims_of_limited_supervision as limited_supervision
from made_tables import judged, pair, rows

from tflottery.claims import judging
from tflottery.claims.early_phase_perturbations import COMPARISONS, TICKET

# What a command takes that perturbs at the k that claims are about.
_PERTURBED_GRID = " --rewind_iterations=0.8%,3.2%"


def without(table, **values):
    """Returns a table without the rows that have all of these values."""
    is_lost = pandas.Series(True, index=table.index)
    for name, value in values.items():
        is_lost &= table[name] == value
    return table[~is_lost]


def test_replicates_that_have_no_pair_are_not_enough():
    """A replicate of tickets of 0, and two others of tickets of k."""
    table = early_phase.by_k({0: 0.3, 800: 0.05, 5000: 0.05})
    is_first = table["replicate"] == 1
    apart = table[(table["rewind_iteration"] == 0) == is_first]
    found = judged("EP-F1.4", apart)
    assert "no replicate has tickets of both" in found.lacking and found.command


def test_points_that_were_not_measured_are_none():
    table = early_phase.points(1, k=200).assign(test_error_mean=math.nan)
    assert "no condition was measured" in judged("EP-F8.1", table).lacking


@pytest.mark.parametrize(("std", "mean"), [(math.nan, math.nan), (0, 0.1)])
def test_a_change_of_unknown_size_or_a_shift_is_a_change(std, mean):
    one = COMPARISONS["F5.4"][1]
    table = early_phase.perturbed(0, {one: 0.08})
    is_own = table["perturbation"] == one.perturbation
    for name, value in {"effective_std": std, "effective_mean": mean}.items():
        table[name] = table[name].astype(float).mask(is_own, value)
    assert judged("EP-F5.4", table).answer == judging.HOLDS


def perturbed_at(errors):
    """Returns tickets of k and their shuffles in filters, by k with both errors."""
    shuffled = COMPARISONS["F5.4"][1]
    return rows(
        *(
            early_phase.change(one, k=k, error=error)
            for k, own in errors.items()
            for one, error in zip((TICKET, shuffled), own, strict=True)
        )
    )


def test_of_many_k_those_count_that_the_papers_stand_for():
    """Of a recipe's grid: 200 and 800 of 24,000, as 500 and 2,000 of 62,500."""
    errors = {25: (0.1, 0.2), 200: (0.1, 0.11), 800: (0.1, 0.14), 5000: (0.1, 0.1)}
    table = perturbed_at(errors)
    assert judged("EP-F5.4", table).value == pytest.approx(-1, abs=0.1)
    assert judged("EP-F5.8", table).value == pytest.approx(-4, abs=0.1)
    found = judged("EP-F5.8", without(table, rewind_iteration=800))
    assert "no k of about 768 iterations" in found.lacking
    assert found.command.endswith(_PERTURBED_GRID)


def test_where_none_of_these_was_measured_users_know_their_first_and_second_k():
    table = perturbed_at({0: (0.1, 0.5), 2000: (0.1, 0.11), 5000: (0.1, 0.14)})
    assert judged("EP-F5.4", table).value == pytest.approx(-1, abs=0.1)
    assert judged("EP-F5.8", table).value == pytest.approx(-4, abs=0.1)


def test_what_was_perturbed_at_0_alone_was_not_at_a_k():
    found = judged("EP-F5.4", perturbed_at({0: (0.1, 0.5)}))
    assert "of a k above 0" in found.lacking
    assert found.command.endswith(_PERTURBED_GRID)


def test_a_change_is_made_at_the_k_of_the_others():
    table = without(perturbed_at({2000: (0.1, 0.11)}), perturbation="shuffle")
    other = perturbed_at({2000: (0.1, 0.11)}).assign(condition="scope=layers")
    found = judged("EP-F5.4", pandas.concat([table, other[3:]], ignore_index=True))
    assert found.lacking.endswith("at k = 2000: shuffled in filters (scope=filters)")
    assert found.command.endswith(" --rewind_iterations=2000")


@pytest.mark.parametrize(("length", "k"), [(300, 2), (1900, 8), (62_500, 250)])
def test_a_part_of_a_training_is_rounded_up_as_options_are(length, k):
    table = early_phase.by_k({0: 0.1, k: 0.05}).assign(training_iterations=length)
    assert judged("EP-A1.4", table).answer == judging.HOLDS


def test_signs_are_compared_where_the_command_compares_them():
    """0.8% of 12,310 iterations are 98.48, and 3.2% are 393.92."""
    table = early_phase.signs(0.09).assign(training_iterations=12_310)
    table = table.assign(earlier_iteration=99, later_iteration=394)
    assert judged("EP-F4.9", table).answer == judging.HOLDS


def test_pretraining_counts_where_every_length_was_measured():
    """Else a replicate without the worst length would seem to do better."""
    table = early_phase.pretrained("blur_rotation", {2: 0.1, 40: 0.2})
    found = judged("EP-F9.5", without(table, replicate=1, pretraining_epochs=40))
    assert (found.num_replicates, found.answer) == (2, judging.FAILS)
    assert found.value == pytest.approx(-5, abs=0.1)
    assert found.effect.endswith("mean over lengths")


def test_sparse_pretraining_is_the_longest():
    table = early_phase.pretrained("rotation", {2: 0.02, 40: 0.1}, is_sparse=True)
    assert judged("EP-F10.1", table).answer == judging.HOLDS


def test_a_density_that_no_level_has_cannot_be_studied():
    """Those of Lenet are 3.5% for all: nine tenths go at a time, to 10% and 1%."""
    table = early_phase.by_k({0: 0.1, 200: 0.05})
    is_sparse = table["level"] > 0
    for name in ("density", "axis_density"):
        table[name] = table[name].mask(is_sparse, 0.1)
    table["level"] = table["level"].mask(is_sparse, 1)
    found = judged("EP-F1.2", table)
    assert "none is near a density of 0.035" in found.lacking and not found.command
    fifth = table.assign(density=table["density"].mask(is_sparse, 0.8))
    assert judged("EP-F1.2", fifth).command.endswith(" --levels=15")


@pytest.mark.parametrize(
    ("dataset", "other"),
    [("imagenet2012", "places365_small"), ("mnist", "cifar10"), ("digits", "mnist")],
)
def test_whose_tickets_to_transfer_is_told(dataset, other):
    """Of most data sets the experiment has no usual ones."""
    table = limited_supervision.tickets({"labels": 0.3}, dataset=dataset)
    found = judged("LS-P12", table)
    assert found.command.endswith(f" --ticket_datasets={other}")


def epochs(*ends):
    """Returns pairs of k = 0 that gain, and grow more unstable, by epoch."""
    return rows(
        *(
            pair(test=0.9 - error, ends=error, iteration=1000 * number)
            for number, error in enumerate(ends, start=1)
        )
    )


def test_two_epochs_are_no_correlation():
    found = judged("LMC-F4.2", epochs(0.8, 0.4))
    assert found.answer == judging.NOT_ENOUGH and "3 epochs" in found.lacking
    assert judged("LMC-F4.2", epochs(0.8, 0.4, 0.2)).answer == judging.HOLDS


def test_train_and_test_are_compared_where_both_were_measured():
    table = rows(pair(k=0, test=0.5, train=math.nan), pair(k=100, test=0.01))
    found = judged("LMC-F3.4", table)
    assert (found.value, found.answer) == (0, judging.HOLDS)


@pytest.mark.parametrize(
    ("claim", "one", "others"),
    [
        ("LS-P9", "labels", ("rotation", "images:0.1")),
        ("LS-P12", "images:0.1", ("places365_small", "cifar10")),
    ],
)
def test_the_best_of_three_is_no_match_for_the_luck_of_one(claim, one, others):
    errors = dict.fromkeys(others, 0.32) | {one: 0.3}
    table = limited_supervision.tickets(errors)
    column = "ticket_task" if others[0] == "rotation" else "ticket_dataset"
    is_lucky = table[column] == others[0]
    table["test_error"] = table["test_error"].mask(is_lucky, 0.1)
    table = table[~is_lucky | (table["replicate"] == 1)]
    assert judged(claim, table).num_replicates == 3
