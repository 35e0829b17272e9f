"""Every claim on its made tables: one where it holds, one where it fails, and no rows.

The tables stand in the file of each paper's tests.
"""

import pytest
import test_claims_of_early_phase
import test_claims_of_limited_supervision
import test_claims_of_linear_mode_connectivity
from made_tables import judged

from tflottery.claims import judging
from tflottery.core.registry import CLAIMS

TABLES = {
    **test_claims_of_early_phase.TABLES,
    **test_claims_of_linear_mode_connectivity.TABLES,
    **{
        f"LS-{name}": tables
        for name, tables in test_claims_of_limited_supervision.TABLES.items()
    },
}
_each_claim = pytest.mark.parametrize("claim", TABLES)


def test_every_claim_is_tried():
    assert set(CLAIMS.names()) == TABLES.keys()


@_each_claim
def test_a_claim_holds_or_fails_by_its_table(claim):
    holding, failing = TABLES[claim]
    assert judged(claim, holding).answer == judging.HOLDS
    assert judged(claim, failing).answer == judging.FAILS


@_each_claim
def test_without_its_rows_there_is_not_enough_data(claim):
    found = judged(claim, TABLES[claim][0].iloc[:0])
    assert found.answer == judging.NOT_ENOUGH
    assert found.lacking and found.value is None
    assert found.command.startswith("python -m tflottery.experiments.")
