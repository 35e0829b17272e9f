"""The address of a Ray cluster, and whether it answers there."""

import subprocess

import pytest

from tflottery.core.environment import SetupError
from tflottery.execution import ray_address


@pytest.fixture(autouse=True)
def variable(monkeypatch):
    monkeypatch.delenv(ray_address.VARIABLE, raising=False)
    monkeypatch.setattr(ray_address.socket, "create_connection", connected)
    return lambda value: monkeypatch.setenv(ray_address.VARIABLE, value)


def connected(address, timeout):
    del address, timeout
    return ray_address.socket.socket()


@pytest.fixture
def health_check(monkeypatch):
    """Has Ray's health check answer as told; returns the arguments it was given."""
    asked = []

    def answer(what):
        def run(command, **options):
            asked.append((command[4:], ray_address.os.environ.get("RAY_ADDRESS")))
            if what is not None:
                raise what

        monkeypatch.setattr(ray_address.subprocess, "run", run)
        return asked

    return answer


SOUND = [None, "auto", "local", "first:6379", "10.0.0.1:1", "[::1]:6379"]
UNSOUND = ["", " ", "first", "first:", ":6379", "first:x", "first:0", "first:65536"]
UNSOUND += ["::1:6379", "[::1]", "LOCAL", "a b:6379", "first:6379 "]


@pytest.mark.parametrize("address", SOUND)
def test_what_can_be_an_address_is_taken(address):
    ray_address.validate(address)


@pytest.mark.parametrize("address", UNSOUND)
def test_what_can_be_none_is_refused_at_the_door(address):
    with pytest.raises(ValueError, match="has to be HOST:PORT, as in") as refusal:
        ray_address.validate(address)
    assert f"--ray_address={address!r}" in str(refusal.value)


def test_what_the_environment_names_is_called_so(variable):
    variable("http://first:8265")
    with pytest.raises(ValueError, match=r"\$RAY_ADDRESS='http.*ray job submit"):
        ray_address.validate(None)
    # What the command says goes first.
    ray_address.validate("first:6379")


def test_a_head_that_is_there_and_silent_is_not_waited_for(health_check, variable):
    health_check(subprocess.TimeoutExpired("ray", 30))
    for address in (None, "auto", "first:6379"):
        with pytest.raises(SetupError, match="nothing answers within 30 s"):
            ray_address.is_there(address)
    variable("first:6379")
    with pytest.raises(SetupError, match=r"used at \$RAY_ADDRESS='first:6379'"):
        ray_address.is_there(None)


def test_without_a_cluster_on_this_machine_one_may_be_started(health_check):
    text = "ConnectionError: Could not find any running Ray instance. Please specify"
    health_check(subprocess.CalledProcessError(1, "ray", stderr=f"Traceback\n{text}"))
    assert not ray_address.is_there(None)
    with pytest.raises(SetupError, match="--ray_address='auto': ConnectionError"):
        ray_address.is_there("auto")


def test_auto_is_the_cluster_of_this_machine_whatever_the_environment_says(
    health_check, variable
):
    asked = health_check(None)
    variable("second:6379")
    assert ray_address.is_there("auto") and ray_address.is_there(None)
    assert asked == [([], None), (["--address", "second:6379"], None)]
