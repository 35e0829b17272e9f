"""What the package logs in a worker reaches the user."""

import logging

import pytest

from tflottery.execution import notes


@pytest.fixture
def sent():
    """What is sent on; the package's logger is put back afterwards."""
    logger = logging.getLogger("tflottery")
    before = logger.level, list(logger.handlers)
    found = []
    notes.forward(found.append)
    yield found
    logger.setLevel(before[0])
    logger.handlers[:] = before[1]


def test_what_the_package_logs_is_sent_on(sent):
    logging.getLogger("tflottery.datasets.cache").warning("%s is damaged", "a [copy]")
    logging.getLogger("tflottery.training").info("twice")
    logging.getLogger("tflottery.training").debug("a detail")
    logging.getLogger("another").warning("of another package")
    assert sent == ["a [copy] is damaged", "twice"]
