"""Each claim of EP on a made table where it holds, and on one where it fails."""

import pandas
import pytest
from made_tables import judged, network, rows, sparse

from tflottery.claims import early_phase, early_phase_perturbations, judging
from tflottery.claims.early_phase_perturbations import COMPARISONS, SIZES
from tflottery.core.registry import MODELS

# Test errors of tickets rewound to 0, and to the k that perturbations are of.
START, TICKET = 0.1, 0.05
# What a command takes to measure the k that claims are about, whatever its recipe.
_GRID = " --rewind_iterations=0,0.4%,0.8%,3.2%,6.4%"


def by_k(errors):
    """Returns tickets by k, and the dense network."""
    own = [sparse(k=k, test_error=error) for k, error in errors.items()]
    return rows(sparse("dense", test_error=0.05), *own)


def readings(length=24_000, **columns):
    """Returns telemetry: columns as functions of the iteration."""
    iterations = [0, *range(10, 500, 49), 200, 250, 400, 500, 1000, 2000, 3000, 4000]
    iterations = sorted({*iterations, length})
    return rows(
        *(
            network(iteration=at, **{name: one(at) for name, one in columns.items()})
            for at in iterations
        )
    )


def fraction(value):
    """Returns telemetry in which a fraction, and an accuracy, have one value."""
    return readings(
        fraction_of_signs_changed=lambda at: value, test_error=lambda at: 1 - value
    )


def gradient(*, lowest, rise=0.1, later=1.1):
    """Returns telemetry of gradients with a minimum, and what is after it."""

    def size(at):
        if at == lowest:
            return 10.0
        return 10.0 * (1 + rise) if at <= 2000 else 10.0 * later

    return readings(gradient_norm=size, mean_gradient_magnitude=size)


def growing(exponent):
    """Returns telemetry of what grows with a power of the iteration."""

    def size(at):
        return 100.0 * (at + 1) ** exponent

    return readings(mean_weight_magnitude=size, l2_from_initial=size)


def changing(fast):
    """Returns telemetry in which all changes are fast at first, or one is not."""
    columns = {name: lambda at: 100.0 * min(at, 10) for name in early_phase._CHANGING}
    if not fast:
        columns["test_error"] = lambda at: 100.0 * (at > 10)
        columns["test_loss"] = columns["test_error"]
    return readings(**columns)


def change(one, *, k, error, std=0.1, **options):
    """Returns the columns of a ticket that is changed, or as it is."""
    if one.k is not None:
        k = one.k
    told = " ".join([*one.options.split(), *(f"{name}=false" for name in options)])
    return sparse(
        k=k,
        test_error=error,
        perturbation=one.perturbation,
        condition=told or float("nan"),
        effective_std=0.0 if one.perturbation == "none" else std,
        effective_mean=0,
    )


def perturbed(position, changes, *, later=TICKET):
    """Returns tickets of 0 and of two k, and changes at one of these with their errors.

    The other k has some change too: by that it is known.
    """
    ks = (200, 800)
    ticket, start = early_phase_perturbations.TICKET, early_phase_perturbations.START
    other = early_phase_perturbations.Change("", "any")
    errors = {ticket: later, start: START} | changes
    own = [change(one, k=ks[position], error=error) for one, error in errors.items()]
    return rows(*own, *(change(other, k=k, error=0.5) for k in ks))


def comparison(position, one, relation, other):
    """Returns a table on which a comparison holds, and one on which it fails."""
    beside = {"the ticket of k": TICKET, "the ticket of 0": START}.get(other.name, 0.08)
    errors = {
        "as good as": (beside, beside + 0.03),
        "no better than": (beside + 0.02, beside - 0.03),
        "better than": (beside - 0.02, beside + 0.02),
        "worse than": (beside + 0.02, beside - 0.02),
    }[relation]
    known = {other: beside} if other.perturbation != "none" else {}
    return tuple(perturbed(position, known | {one: error}) for error in errors)


def sizes(smaller, larger):
    """Returns a table on which one change is smaller, and one on which it is larger."""
    found = []
    for first, second in ((0.05, 0.1), (0.1, 0.05)):
        changes = {smaller: first, larger: second}
        own = [
            change(one, k=200, error=0.1, std=std, initial_signs=0)
            for one, std in changes.items()
        ]
        found.append(rows(*own))
    return tuple(found)


def points(slope, *, k):
    """Returns points of Figure 8: accuracy against the size of a change, at two k."""
    own = [
        network(
            "imp",
            k=at,
            perturbation="any",
            effective_std=0.01 * number,
            test_error_mean=0.5 + (0.01 * slope if at == k else 0.0) * number,
            num_replicates=3,
        )
        for number in range(10)
        for at in (200, 800)
    ]
    return rows(*own, replicates=1)


def signs(value):
    """Returns how many signs change between 0.8% and 3.2% of the training."""
    keys = {"earlier_iteration": 192, "later_iteration": 768}
    return rows(network(**keys, fraction_of_signs_changed=value))


def pretrained(pretext, errors, *, kind="imp", is_sparse=False, k=0, late=TICKET):
    """Returns ordinary tickets of two k, and pre-trained ones by epochs."""
    none = {"pretext": None, "pretraining_epochs": 0, "sparse_pretraining": False}
    own = [sparse(test_error=START, **none), sparse(k=200, test_error=late, **none)]
    for epochs, error in errors.items():
        made = {"pretext": pretext, "pretraining_epochs": epochs}
        made["sparse_pretraining"] = is_sparse
        own.append(sparse(kind, k=k, test_error=error, **made))
    return rows(*own)


def sparse_pretrained(kind, errors, *, k=0):
    """Returns a table of each error of subnetworks pre-trained when sparse."""
    return tuple(
        pretrained("rotation", {40: error}, kind=kind, is_sparse=True, k=k)
        for error in errors
    )


# By claim: a table on which it holds, one on which it fails.
TABLES = {
    "EP-F1.1": (by_k({200: 0.05}), by_k({200: 0.1})),
    "EP-F1.2": (by_k({0: 0.1, 200: 0.05}), by_k({0: 0.05, 200: 0.1})),
    "EP-F1.3": (by_k({200: 0.05, 800: 0.05}), by_k({200: 0.05, 800: 0.1})),
    "EP-F1.4": tuple(by_k({0: 0.3, 800: error, 5000: 0.05}) for error in (0.05, 0.1)),
    "EP-A1.4": (by_k({0: 0.1, 100: 0.05}), by_k({0: 0.05, 100: 0.1})),
    "EP-F3.1": (fraction(0.03), fraction(0.06)),
    "EP-A1.1": (fraction(0.06), fraction(0.03)),
    "EP-F3.8": (fraction(0.55), fraction(0.4)),
    "EP-F3.9": (fraction(0.8), fraction(0.6)),
    "EP-F3.10": (fraction(0.915), fraction(0.8)),
    "EP-F3.2": (gradient(lowest=200), gradient(lowest=400)),
    "EP-F3.3": (gradient(lowest=200), gradient(lowest=400)),
    "EP-F3.4": (gradient(lowest=200), gradient(lowest=200, rise=0.5)),
    "EP-F3.5": (gradient(lowest=200), gradient(lowest=200, rise=0.5)),
    "EP-F3.6": (gradient(lowest=200), gradient(lowest=200, later=2.0)),
    "EP-F3.7": (gradient(lowest=200), gradient(lowest=200, later=2.0)),
    "EP-A1.2": (gradient(lowest=200), gradient(lowest=200, rise=0.5)),
    "EP-A1.5": (gradient(lowest=200), gradient(lowest=200, rise=0.5)),
    "EP-F3.11": (growing(0.5), growing(-0.5)),
    "EP-F3.13": (growing(0.5), growing(-0.5)),
    "EP-A1.3": (growing(-0.5), growing(0.5)),
    "EP-F3.12": (growing(0.5), growing(2)),
    "EP-F3.14": (growing(0.5), growing(2)),
    "EP-F3.15": (changing(True), changing(False)),
    "EP-F4.9": (signs(0.09), signs(0.3)),
    "EP-F8.1": (points(1, k=200), points(-1, k=200)),
    "EP-F8.2": (points(1, k=800), points(-1, k=800)),
    "EP-F9.1": (
        pretrained("random_labels", {2: START, 10: START, 40: 0.2}),
        pretrained("random_labels", {2: TICKET, 10: TICKET, 40: 0.2}),
    ),
    "EP-F9.2": (
        pretrained("random_labels", {2: START, 40: 0.2}),
        pretrained("random_labels", {2: START, 40: 0.05}),
    ),
    "EP-F9.3": (
        pretrained("rotation", {2: START, 40: TICKET}),
        pretrained("rotation", {2: START, 40: START}),
    ),
    "EP-F9.4": (
        pretrained("blur", {2: START, 40: TICKET}),
        pretrained("blur", {2: START, 40: START}),
    ),
    "EP-F9.5": (
        pretrained("blur_rotation", {2: START, 40: START}),
        pretrained("blur_rotation", {2: TICKET, 40: TICKET}),
    ),
    "EP-A12.1": (
        pretrained("blur_rotation", {2: START, 40: TICKET}),
        pretrained("blur_rotation", {2: 0.2, 40: 0.15}),
    ),
    "EP-F10.1": sparse_pretrained("imp", (START, TICKET)),
    "EP-F10.2": sparse_pretrained("random_pruning", (START, TICKET)),
    "EP-F10.3": sparse_pretrained("random_reinit", (START, TICKET)),
    "EP-F10.4": sparse_pretrained("imp", (START, 0.02), k=200),
}
TABLES |= {f"EP-{name}": comparison(*own) for name, own in COMPARISONS.items()}
TABLES |= {f"EP-{name}": sizes(*own[:2]) for name, own in SIZES.items()}


@pytest.mark.parametrize("claim", ["EP-F1.4", "EP-F4.1", "EP-F7.3", "EP-F9.3"])
def test_what_falls_back_to_tickets_of_0_has_to_have_something_to_lose(claim):
    if claim == "EP-F1.4":
        alike = by_k({0: 0.05, 800: 0.05, 5000: 0.05})
    elif claim == "EP-F9.3":
        alike = pretrained("rotation", {2: START, 40: START}, late=START)
    else:
        _, one, _, other = COMPARISONS[claim.removeprefix("EP-")]
        alike = perturbed(0, {other: START, one: START}, later=START)
    found = judged(claim, alike)
    assert found.answer == judging.NOT_ENOUGH and "EP-F1.2" in found.lacking
    # More replicates may show a gain.
    assert found.command and "--replicates" in found.lacking


def test_a_gain_that_chance_explains_is_none_to_lose():
    table = by_k({0: 0.06, 800: 0.05, 5000: 0.05})
    is_lost = (table["replicate"] == 1) & (table["rewind_iteration"] == 800)
    table["test_error"] += 0.02 * is_lost
    found = judged("EP-F1.4", table)
    assert found.answer == judging.NOT_ENOUGH and "not shown" in found.lacking


def test_how_fast_a_quantity_changes_is_by_iteration():
    """More in all after the first ten iterations, of which there are many more."""
    columns = {name: lambda at: 10.0 * at**0.5 for name in early_phase._CHANGING}
    assert judged("EP-F3.15", readings(**columns)).answer == judging.HOLDS


def test_changes_are_told_by_their_options():
    """As rows have them: magnitudes first, and no other option that is on."""
    mixed, plain = COMPARISONS["F4.3"][1], COMPARISONS["F5.2"][1]
    assert mixed.name == "magnitudes k, signs 0" and mixed.fits("mixes=k:init")
    assert plain.fits("scope=layers keep_signs=false initial_signs=false")
    assert not plain.fits("scope=layers keep_signs=true initial_signs=false")
    assert not plain.fits(float("nan"))


def test_sparse_pretraining_gains_nothing_at_0():
    """Whatever it does at a later k."""
    parts = [
        pretrained("rotation", {40: error}, is_sparse=True, k=k)
        for k, error in ((0, START), (200, 0.02))
    ]
    table = pandas.concat(parts, ignore_index=True).drop_duplicates()
    assert judged("EP-F10.1", table).value == pytest.approx(0, abs=0.1)


def test_a_number_that_is_not_finite_is_none():
    table = gradient(lowest=200)
    is_lost = (table["replicate"] == 1) & (table["iteration"] == 200)
    table["gradient_norm"] = table["gradient_norm"].mask(is_lost, 0.0)
    assert judged("EP-F3.4", table).num_replicates == 2


def test_where_rewinding_hurts_there_is_nothing_to_lose():
    found = judged("EP-F1.4", by_k({0: 0.05, 800: 0.3, 5000: 0.05}))
    assert found.answer == judging.NOT_ENOUGH and found.command == ""


def test_a_change_that_changes_nothing_says_nothing():
    """Kernels of dense layers have no filters."""
    one, larger, _ = SIZES["F5.9"]
    own = [change(one, k=200, error=0.1, std=0), change(larger, k=200, error=0.1)]
    found = judged("EP-F5.3", rows(*own))
    assert found.answer == judging.NOT_ENOUGH and "changes nothing" in found.lacking


def test_iterations_that_were_not_measured_are_named():
    table = growing(0.5)
    found = judged("EP-F3.12", table[table["iteration"] != 2000])
    assert found.lacking == "nothing was measured at iteration 2,000"


def test_networks_that_the_recipe_perturbs_have_its_k_for_500():
    """Those of the laptop setting: 1,000 of 8,000 iterations, and no second one."""
    laptop = {"model": "lenet_batch_norm", "variant": "laptop", "config": "1"}
    pruning = MODELS["lenet_batch_norm"]["recipes"]["laptop"].pruning
    own = [
        sparse(k=k, test_error=error, level=4, density=pruning.studied_density)
        for k, error in {0: 0.1, 64: 0.2, 1000: 0.05, 2000: 0.05}.items()
    ]
    table = rows(sparse("dense", test_error=0.05), *own, **laptop)
    assert judged("EP-F1.2", table).answer == judging.HOLDS
    for claim in ("EP-F1.4", "EP-F4.5"):
        own = table.assign(perturbation="shuffle") if claim == "EP-F4.5" else table
        found = judged(claim, own)
        # No command supplies it.
        assert "k = 1000 alone" in found.lacking and found.command == ""


def test_the_worst_k_is_that_of_replicates_with_all():
    """Of the first replicate the bad k is not known: it would seem to match."""
    table = by_k({0: 0.1, 200: 0.05, 800: 0.1})
    is_known = (table["rewind_iteration"] != 800) | (table["replicate"] != 1)
    found = judged("EP-F1.3", table[is_known])
    assert (found.answer, found.num_replicates) == (judging.FAILS, 2)


@pytest.mark.parametrize(
    ("claim", "table", "options"),
    [
        ("EP-A1.4", by_k({0: 0.1, 5000: 0.1}), _GRID),
        ("EP-F1.2", by_k({0: 0.1, 5000: 0.1}), _GRID),
        ("EP-F1.4", by_k({0: 0.3, 800: 0.05}), _GRID),
        ("EP-F3.10", fraction(0.9).iloc[:6], " --iterations=100%"),
    ],
)
def test_the_command_measures_what_is_missing(claim, table, options):
    """Not every recipe's grid of k has these, nor telemetry's iterations the end."""
    assert judged(claim, table).command.endswith(options)


def test_every_k_is_several():
    found = judged("EP-F1.3", by_k({0: 0.1, 200: 0.05}))
    assert found.answer == judging.NOT_ENOUGH and "k = 200 alone" in found.lacking


def test_a_trend_is_that_of_replicates_that_were_followed():
    """One iteration of a replicate rises as little as it falls."""
    table = growing(0.5)
    lost = (table["replicate"] == 1) & (table["iteration"] > 0)
    found = judged("EP-F3.13", table[~lost])
    assert (found.answer, found.value, found.num_replicates) == (judging.HOLDS, 1, 2)
    # Some of its places, from the first to the last, are a whole trend.
    lost = (table["replicate"] == 1) & table["iteration"].between(1, 3000)
    lost |= (table["replicate"] == 2) & (table["iteration"] > 3000)
    assert judged("EP-F3.13", table[~lost]).value == pytest.approx(1)


@pytest.mark.parametrize("claim", ["EP-F3.11", "EP-F3.13", "EP-A1.3"])
def test_what_is_asked_of_4000_iterations_is_not_told_of_2000(claim):
    table = growing(-0.5 if claim == "EP-A1.3" else 0.5)
    found = judged(claim, table[table["iteration"] <= 2000])
    assert found.answer == judging.NOT_ENOUGH and "4000" in found.lacking
    found = judged(claim, table.assign(training_iterations=2000))
    assert "for 2,000 iterations, not 4,000" in found.lacking and not found.command


def test_what_falls_does_not_rise_ever_more_slowly():
    found = judged("EP-F3.12", growing(-0.5))
    assert found.answer == judging.NOT_ENOUGH and "does not rise" in found.lacking
    # No command makes it rise.
    assert found.command == ""


@pytest.mark.parametrize("k", [1000, 2000])
def test_what_is_claimed_of_500_is_not_asked_of_another_k(k):
    own = {"model": "resnet20", "variant": "early_phase", "dataset": "cifar10"}
    changes = [
        change(one, k=k, error=0.05)
        for one in (COMPARISONS["F5.4"][1], early_phase_perturbations.TICKET)
    ]
    table = rows(*changes, **own, training_iterations=62_500)
    table = table.assign(axis_density=0.8**8, level=8)
    found = judged("EP-F5.4", table)
    assert found.answer == judging.NOT_ENOUGH and "k = 500" in found.lacking
    # In a shorter training another stands for it.
    if k == 1000:
        short = table.assign(training_iterations=9000)
        assert judged("EP-F5.4", short).num_replicates == 3


def test_a_tenth_of_40_epochs_is_not_40():
    """Where an epoch is known, here 400 of the iterations."""
    short = pretrained("random_labels", {2: START, 10: 0.05})
    short = short.assign(epoch_iterations=400)
    found = judged("EP-F9.2", short.assign(training_iterations=64_000))
    assert found.answer == judging.NOT_ENOUGH and "10 epochs" in found.lacking
    assert judged("EP-F9.2", short.assign(training_iterations=16_000)).value > 0
    # Then 10 is one of those up to 10.
    found = judged("EP-F9.1", short.assign(training_iterations=64_000))
    assert found.value == pytest.approx(2.5, abs=0.1)


def test_sparse_pretraining_is_compared_at_one_k():
    table = pretrained("rotation", {40: 0.06}, is_sparse=True, k=2000)
    later = pretrained("rotation", {}, late=0.05)
    later = later[later["rewind_iteration"] == 200].assign(rewind_iteration=2000)
    found = judged("EP-F10.4", pandas.concat([table, later], ignore_index=True))
    # Beside those of 2,000, not of 200.
    assert found.value == pytest.approx(-1, abs=0.1)


def test_the_points_of_another_density_are_of_another_figure():
    table = points(1, k=200)
    other = points(-1, k=200).assign(axis_density=0.8**6, test_error_mean=0.9)
    told = judged("EP-F8.1", pandas.concat([table, other], ignore_index=True))
    assert told.value == judged("EP-F8.1", table).value
    # A change after which all diverged is a point less.
    table.loc[3, "test_error_mean"] = float("nan")
    assert judged("EP-F8.1", table).answer == judging.HOLDS


def test_a_change_is_compared_without_tickets_of_0():
    table = perturbed(0, {COMPARISONS["F4.4"][1]: 0.08})
    assert judged("EP-F4.4", table[table["rewind_iteration"] > 0]).value is not None
