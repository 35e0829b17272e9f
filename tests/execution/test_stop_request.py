"""What a signal asks of a command, and when it is obeyed."""

import os
import signal
import sys
import threading

import pytest

from tflottery.core import stopping
from tflottery.execution import stop_request
from tflottery.execution.stop_request import StopRequest


class Workers:
    """Stands for a pool: whether it is busy, and whether it was asked to stop."""

    def __init__(self, *, is_busy=True):
        self.is_busy, self.stopped = is_busy, False

    def stop(self):
        self.stopped = True


def send(number):
    os.kill(os.getpid(), number)


@pytest.fixture
def at_once(monkeypatch):
    """Signals one after the other are requests of their own."""
    monkeypatch.setattr(stop_request, "_SAME_REQUEST_SECONDS", -1.0)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 75)]
    + [(signal.SIGHUP, 75), (signal.SIGUSR1, 75)],
)
def test_busy_workers_are_asked_to_stop(number, code, capsys):
    before = signal.getsignal(number)
    workers = Workers()
    with StopRequest(workers) as stop:
        assert not stop.is_set()
        send(number)
        assert stop.is_set() and workers.stopped
        assert stop.exit_code == code
    assert "Stopping after a checkpoint" in capsys.readouterr().err
    assert signal.getsignal(number) == before


def test_what_is_no_workers_is_interrupted():
    with pytest.raises(KeyboardInterrupt) as raised:
        with StopRequest(Workers(is_busy=False)):
            send(signal.SIGTERM)
    assert raised.value.args == (signal.SIGTERM,)


def test_an_interrupt_without_a_number_gets_that_of_the_signal():
    with pytest.raises(KeyboardInterrupt) as raised:
        with StopRequest(Workers()):
            send(signal.SIGUSR1)
            raise KeyboardInterrupt
    assert raised.value.args == (signal.SIGUSR1,)


def test_a_second_signal_ends_at_once(at_once):
    with pytest.raises(KeyboardInterrupt) as raised:
        with StopRequest(Workers()):
            send(signal.SIGTERM)
            send(signal.SIGINT)
    assert raised.value.args == (signal.SIGINT,)


def test_two_signals_of_one_sender_are_one_request():
    """To the process and to its group, or a hangup and a termination."""
    with StopRequest(Workers()) as stop:
        send(signal.SIGHUP)
        send(signal.SIGTERM)
    assert stop.exit_code == stopping.TRY_AGAIN


def test_a_hangup_that_takes_the_terminal_along_is_obeyed(monkeypatch, tmp_path):
    class Gone:
        def write(self, text):
            raise OSError("Input/output error")

        flush = write

    replaced = []
    monkeypatch.setattr(sys, "stderr", Gone())
    monkeypatch.setattr(os, "dup2", lambda _, descriptor: replaced.append(descriptor))
    with StopRequest(Workers()) as stop:
        send(signal.SIGHUP)
    assert stop.is_set()
    assert replaced == [1, 2]


def test_in_another_thread_signals_stay_as_they_are():
    found = []

    def work():
        with StopRequest(Workers()) as stop:
            found.append((signal.getsignal(signal.SIGTERM), stop.is_set()))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(before, False)]
