"""A call is waited for as long as one likes, whatever it does."""

import threading

import pytest

from tflottery.core.timed_calls import Call


def test_what_a_call_comes_to_is_its_answer():
    assert Call(lambda: 3).answer(10) == 3

    def fail():
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        Call(fail).answer(10)


def test_a_call_that_does_not_return_is_given_up_and_may_be_asked_again():
    returns = threading.Event()
    call = Call(returns.wait)
    with pytest.raises(TimeoutError):
        call.answer(0.01)
    returns.set()
    assert call.answer(10)
