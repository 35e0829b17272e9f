"""A store of the test's own."""

import pytest

from tflottery.store.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")
