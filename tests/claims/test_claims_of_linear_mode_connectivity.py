"""Each claim of LMC on a made table where it holds, and on one where it fails."""

import made_tables
import pytest
from made_tables import pair, points, rows

from tflottery.claims import judging
from tflottery.core.registry import CLAIMS


def of_dense(*instabilities):
    """Returns pairs of dense copies at k = 0, 100, ..."""
    return rows(*(pair(k=100 * at, test=one) for at, one in enumerate(instabilities)))


# By claim: a table on which it holds, one on which it fails.
TABLES = {
    "LMC-F2.1": (of_dense(0.003), of_dense(0.03)),
    "LMC-F2.2": (rows(*points(highest=0.88)), rows(*points(highest=0.5))),
    "LMC-F2.3": (rows(*points(highest=0.88)), rows(*points(highest=0.5))),
    "LMC-F3.1": (of_dense(0.5, 0.1, 0.02), of_dense(0.02, 0.1, 0.5)),
}


def judged(claim, table):
    setting = {
        name: value
        for name, value in made_tables.SETTING.items()
        if name != "num_classes"
    }
    return judging.judged(
        CLAIMS[claim], table, setting=setting, about="another network"
    )


def test_every_claim_is_tried():
    own = {name for name in CLAIMS.names() if name.startswith("LMC-")}
    assert own == TABLES.keys()


@pytest.mark.parametrize("claim", TABLES)
def test_a_claim_holds_or_fails_by_its_table(claim):
    holding, failing = TABLES[claim]
    assert judged(claim, holding).answer == judging.HOLDS
    assert judged(claim, failing).answer == judging.FAILS


@pytest.mark.parametrize("claim", TABLES)
def test_without_its_rows_there_is_not_enough_data(claim):
    found = judged(claim, TABLES[claim][0].iloc[:0])
    assert found.answer == judging.NOT_ENOUGH
    assert found.lacking and found.value is None
    assert found.command.startswith("python -m tflottery.experiments.")
