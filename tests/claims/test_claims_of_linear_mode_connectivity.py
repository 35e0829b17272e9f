"""Each claim of LMC on a made table where it holds, and on one where it fails."""

import pandas
import pytest
from made_tables import judged, pair, points, rows, sparse

from tflottery.claims import judging


def of_dense(*instabilities):
    """Returns pairs of dense copies at k = 0, 100, ..."""
    return rows(*(pair(k=100 * at, test=one) for at, one in enumerate(instabilities)))


def over_epochs(*instabilities, k=0, ends=0.1):
    """Returns pairs of dense copies at epochs of a training."""
    return [
        pair(k=k, test=one, iteration=1000 * at, ends=ends)
        for at, one in enumerate(instabilities, start=1)
    ]


def of_tickets(*instabilities, kind="imp", dense=None, **columns):
    """Returns pairs of subnetworks at k = 0, 100, ..., and of dense ones."""
    own = [
        pair(kind, k=100 * at, test=one, **columns)
        for at, one in enumerate(instabilities)
    ]
    return rows(
        *own, *(pair(k=100 * at, test=one) for at, one in enumerate(dense or ()))
    )


def networks(*, imp=0.02, pruning=0.03, reinit=0.03, **columns):
    """Returns trained networks of every kind, by their test errors."""
    return rows(
        sparse("dense", test_error=0.02),
        sparse("imp", test_error=imp, **columns),
        sparse("random_pruning", test_error=pruning, **columns),
        sparse("random_reinit", test_error=reinit, **columns),
    )


def best(*, imp, level):
    """Returns tickets of two k, of which the second is better, at two levels."""
    return rows(
        sparse("dense", test_error=0.02),
        sparse(test_error=0.02),
        *(
            sparse(test_error=error, k=k, level=level, density=0.8**level)
            for k, error in ((0, imp + 0.1), (100, imp))
        ),
    )


def ratio(imp, *, k=0, test=0.001):
    """Returns pairs with the distance of tickets beside random reinit's 40."""
    own = {"imp": imp, "random_reinit": 40.0}
    return rows(*(pair(one, k=k, l2_distance=own[one], test=test) for one in own))


def rewound(kind, errors):
    """Returns pairs at k = 0, 100, ... with these errors of both ends."""
    return rows(*(pair(kind, k=100 * at, ends=one) for at, one in enumerate(errors)))


EPOCHS = (over_epochs(0.1, 0.3, 0.5), over_epochs(0.5, 0.3, 0.1))
# k = 500 of 24,000 is 2.1%, and 800 are 3.3%.
LATE = (over_epochs(0.01, 0.01, k=800), over_epochs(0.01, 0.3, k=800))

# By claim: a table on which it holds, one on which it fails.
TABLES = {
    "LMC-D.1": (
        rows(*(pair(k=k, l2_distance=80.0 - k) for k in (0, 10, 20))),
        rows(*(pair(k=k, l2_distance=80.0 + k) for k in (0, 10, 20))),
    ),
    "LMC-E.1": (ratio(40.0, test=0.1), ratio(10.0, test=0.1)),
    "LMC-E.2": (ratio(10.0, k=100), ratio(40.0, k=100)),
    "LMC-F2.1": (of_dense(0.003), of_dense(0.03)),
    "LMC-F2.2": (rows(*points(highest=0.88)), rows(*points(highest=0.5))),
    "LMC-F2.3": (rows(*points(highest=0.88)), rows(*points(highest=0.5))),
    "LMC-F3.1": (of_dense(0.5, 0.1, 0.02), of_dense(0.02, 0.1, 0.5)),
    "LMC-F3.2": (rows(pair(k=800, test=0.01)), rows(pair(k=800, test=0.1))),
    "LMC-F3.3": (rows(pair(k=4800, test=0.01)), rows(pair(k=4800, test=0.1))),
    "LMC-F3.4": (
        rows(pair(test=0.1, train=0.11)),
        rows(pair(test=0.1, train=0.2)),
    ),
    "LMC-F3.5": (
        rows(pair(test=0.1, train=0.12)),
        rows(pair(test=0.12, train=0.1)),
    ),
    "LMC-F4.1": tuple(rows(*own) for own in EPOCHS),
    "LMC-F4.2": (
        rows(
            pair(test=0.1, ends=0.6, iteration=1000),
            pair(test=0.3, ends=0.4, iteration=2000),
            pair(test=0.5, ends=0.2, iteration=3000),
        ),
        rows(
            pair(test=0.5, ends=0.6, iteration=1000),
            pair(test=0.3, ends=0.4, iteration=2000),
            pair(test=0.1, ends=0.2, iteration=3000),
        ),
    ),
    "LMC-F4.3": (of_dense(0.5, 0.1, 0.02), of_dense(0.02, 0.1, 0.5)),
    "LMC-F4.4": tuple(rows(*own) for own in LATE),
    "LMC-F4.5": (rows(*over_epochs(0.7)), rows(*over_epochs(0.7, ends=0.5))),
    "LMC-F5.1": (networks(), networks(imp=0.05)),
    "LMC-F5.2": (networks(), networks(imp=0.05)),
    "LMC-F5.3": (networks(), networks(imp=0.05)),
    "LMC-F5.4": (networks(imp=0.05), networks()),
    "LMC-F5.5": (networks(imp=0.03), networks(imp=0.1)),
    "LMC-F5.6": (networks(imp=0.03), networks(imp=0.1)),
    "LMC-F6.1": (of_tickets(0.005), of_tickets(0.1)),
    "LMC-F6.2": (of_tickets(0.1), of_tickets(0.005)),
    "LMC-F6.3": (
        rows(*points("random_pruning", highest=0.88)),
        rows(*points("random_pruning", highest=0.5)),
    ),
    "LMC-F6.4": (
        rows(*points("random_reinit", highest=0.88)),
        rows(*points("random_reinit", highest=0.5)),
    ),
    "LMC-F6.5": (
        of_tickets(0.01, kind="random_pruning"),
        of_tickets(0.1, kind="random_pruning"),
    ),
    "LMC-F6.6": (
        of_tickets(0.01, kind="random_reinit"),
        of_tickets(0.1, kind="random_reinit"),
    ),
    "LMC-F7.1": (
        rows(pair("imp", k=200, test=0.01)),
        rows(pair("imp", k=200, test=0.1)),
    ),
    "LMC-F7.2": (
        rows(pair("imp", k=400, test=0.01)),
        rows(pair("imp", k=400, test=0.1)),
    ),
    "LMC-F7.3": (
        rows(pair("imp", k=1000, test=0.01)),
        rows(pair("imp", k=1000, test=0.1)),
    ),
    "LMC-F7.4": (
        of_tickets(0.1, 0.01, 0.01, dense=(0.5, 0.1, 0.01)),
        of_tickets(0.1, 0.1, 0.01, dense=(0.5, 0.01, 0.01)),
    ),
    "LMC-F7.5": (of_tickets(0.01, matching=True), of_tickets(0.1, matching=True)),
    "LMC-F7.6": (of_tickets(0.1, 0.01), of_tickets(0.1, 0.01, ends=0.05)),
    "LMC-F7.7": (
        of_tickets(0.5, 0.1, kind="random_pruning"),
        of_tickets(0.5, 0.01, kind="random_pruning"),
    ),
    "LMC-F7.8": (
        of_tickets(0.5, 0.1, kind="random_reinit"),
        of_tickets(0.5, 0.01, kind="random_reinit"),
    ),
    "LMC-F7.9": (
        rewound("random_pruning", (0.1, 0.05)),
        rewound("random_pruning", (0.1, 0.02)),
    ),
    "LMC-F7.10": (
        rewound("random_reinit", (0.1, 0.05)),
        rewound("random_reinit", (0.1, 0.02)),
    ),
    "LMC-F7.11": (rewound("imp", (0.02, 0.04)), rewound("imp", (0.04, 0.02))),
    "LMC-F8.1": (best(imp=0.02, level=15), best(imp=0.05, level=15)),
    "LMC-F8.2": (best(imp=0.05, level=16), best(imp=0.02, level=16)),
}


@pytest.mark.parametrize(
    ("claim", "table", "more_helps"),
    [
        # Nobody knows which becomes stable first.
        ("LMC-F7.4", of_tickets(0.3, 0.1, dense=(0.5, 0.3)), True),
        ("LMC-E.1", ratio(10.0, test=0.001), False),
        # Those of a later k may be stable.
        ("LMC-E.2", ratio(40.0, k=100, test=0.3), True),
    ],
)
def test_what_is_claimed_of_other_tickets_is_not_asked(claim, table, more_helps):
    found = judged(claim, table)
    assert found.answer == judging.NOT_ENOUGH and "stable" in found.lacking
    assert bool(found.command) == more_helps


@pytest.mark.parametrize(
    ("claim", "table"),
    [
        ("LMC-F7.7", of_tickets(0.5, kind="random_pruning")),
        ("LMC-F7.9", rewound("random_pruning", (0.1,))),
        ("LMC-F8.1", networks(imp=0.05)),
        ("LMC-F8.2", networks(imp=0.05, level=16)),
    ],
)
def test_no_k_is_several(claim, table):
    if claim == "LMC-F8.2":
        table = pandas.concat([networks(), table])
    found = judged(claim, table)
    assert found.answer == judging.NOT_ENOUGH and "k = 0 alone" in found.lacking


def test_tickets_that_match_at_one_k_match_at_some():
    assert judged("LMC-F8.1", networks()).answer == judging.HOLDS


def test_trainings_that_diverged_are_not_stable():
    lost, known = (
        of_tickets(0.1, 0.1, 0.01, dense=(one, 0.1, 0.01)) for one in (0.5, 0.01)
    )
    is_first = (lost["rewind_iteration"] == 0) & (lost["subnetwork"] == "imp")
    lost.loc[is_first, "test_instability"] = float("nan")
    assert judged("LMC-F7.4", lost).answer == judging.NOT_ENOUGH
    assert judged("LMC-F7.4", known).answer == judging.HOLDS


@pytest.mark.parametrize(
    ("claim", "table"),
    [
        ("LMC-F7.7", of_tickets(0.5, 0.01, kind="random_pruning")),
        ("LMC-F7.9", rewound("random_pruning", (0.1, 0.02))),
    ],
)
def test_no_k_is_none_of_those_that_each_replicate_has(claim, table):
    """The k at which it is stable, or matches, was not measured of replicate 1."""
    is_known = (table["rewind_iteration"] == 0) | (table["replicate"] != 1)
    found = judged(claim, table[is_known])
    assert (found.answer, found.num_replicates) == (judging.FAILS, 2)


def test_how_much_earlier_is_told_within_a_replicate():
    """By one k in each, whenever a replicate becomes stable."""
    early, late = (
        of_tickets(*own, dense=other)
        for own, other in (
            ((0.1, 0.01, 0.01, 0.01), (0.5, 0.1, 0.01, 0.01)),
            ((0.1, 0.1, 0.01, 0.01), (0.5, 0.1, 0.1, 0.01)),
        )
    )
    parts = [early[early["replicate"] < 3], late[late["replicate"] == 3]]
    found = judged("LMC-F7.4", pandas.concat(parts, ignore_index=True))
    assert (found.value, found.interval_low, found.answer) == (1, 1, judging.HOLDS)


@pytest.mark.parametrize(("k", "answer"), [(100, judging.NOT_ENOUGH), (500, "holds")])
def test_the_last_k_up_to_a_part_of_the_training_counts(k, answer):
    """Unless it is far before."""
    table = rows(pair(k=k, test=0.01))
    assert judged("LMC-F3.2", table).answer == answer
    both = rows(pair(k=k, test=0.1), pair(k=800, test=0.01))
    assert judged("LMC-F3.2", both).answer == judging.HOLDS


def test_tickets_are_stable_from_a_k_on():
    """Not by chance before, nor where they match later."""
    pairs = [
        pair("imp", k=k, test=test, ends=ends)
        for k, test, ends in (
            (0, 0.01, 0.01),
            (100, 0.1, 0.01),
            (200, 0.01, 0.05),
            (300, 0.01, 0.01),
        )
    ]
    found = judged("LMC-F7.6", rows(*pairs))
    assert found.answer == judging.FAILS and found.value < -2


def test_tickets_that_do_not_match_may_be_unstable():
    pairs = [
        pair("imp", k=k, test=test, matching=test < 0.02)
        for k, test in ((0, 0.1), (100, 0.01))
    ]
    assert judged("LMC-F7.5", rows(*pairs)).answer == judging.HOLDS


@pytest.mark.parametrize("claim", ["LMC-F7.5", "LMC-F7.6"])
def test_what_was_not_measured_is_said(claim):
    table = of_tickets(float("nan"), float("nan"), matching=None)
    assert "known" in (told := judged(claim, table).lacking) or "measured" in told
    if claim == "LMC-F7.5":
        none = of_tickets(0.1, matching=False)
        assert "no pair of tickets matches" in judged(claim, none).lacking


def test_the_best_k_is_one_of_those_that_most_replicates_have():
    table = best(imp=0.02, level=15)
    lucky = table[table["rewind_iteration"] == 100].iloc[:1]
    lucky = lucky.assign(rewind_iteration=500, test_error=0.0)
    found = judged("LMC-F8.1", pandas.concat([table, lucky], ignore_index=True))
    assert (found.answer, found.num_replicates) == (judging.HOLDS, 3)


def test_instability_of_a_later_k_is_that_of_the_same_epochs():
    """Copies that part later have no pairs before, when all are near each other."""
    early = over_epochs(0.1, 0.5, 0.9)
    late = [over_epochs(0, 0.4, 0.8, k=2000)[1:], over_epochs(0, 0, 0.7, k=3000)[2:]]
    table = rows(*early, *late[0], *late[1])
    assert judged("LMC-F4.3", table).answer == judging.HOLDS


def test_the_next_level_is_asked_for():
    """Recipes of one pruning, as ImageNet's, do not come to it."""
    found = judged("LMC-F8.2", networks())
    assert found.command.endswith(
        ".lottery --model=lenet --variant=standard --dataset=mnist --levels=15,16"
    )


def test_random_subnetworks_that_do_not_rise_do_not_rise_a_little():
    table = of_tickets(-0.01, kind="random_reinit")
    assert judged("LMC-F6.6", table).answer == judging.FAILS
