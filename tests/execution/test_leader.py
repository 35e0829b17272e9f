"""Commands of several hosts, as threads: who is admitted, and how a loss is noticed."""

import contextlib
import os
import socket
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import pytest

from tflottery.core.environment import SetupError
from tflottery.core.training_hosts import Hosts
from tflottery.execution import follower, leader, links
from tflottery.execution.follower import Follower
from tflottery.execution.leader import HostCommand, Leader, LostWorker
from tflottery.execution.links import Link
from tflottery.execution.worker import Message

_OPTIONS = {"--levels": "3", "keras": "3.15"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(leader, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(follower, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(leader, "_FAREWELL_SECONDS", 0.2)


@pytest.fixture
def command(told):
    """Returns the commands of two hosts, which are both this machine, by number."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    workers = tuple(f"127.0.0.1:{port}" for port in ports)

    def of(index, *, options=_OPTIONS, seconds=300.0):
        return HostCommand(Hosts(workers, index), options, told.append, seconds)

    return of


@pytest.fixture
def told():
    return []


@pytest.fixture
def together(command):
    """Returns a leader and the function of a thread that joins it, with its outcome."""

    def make(*, seconds=5.0, options=_OPTIONS):
        found = types.SimpleNamespace(error=None)
        one = Follower(command(1, options=options, seconds=seconds))

        def join():
            try:
                found.orders = one._admitted()
                found.code = one._chiefs_ending()
            except Exception as error:
                found.error = error

        found.thread = threading.Thread(target=join)
        found.follower = one
        chief = Leader(command(0, seconds=seconds))
        return chief, found

    return make


def soon(condition):
    last = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < last
        time.sleep(0.01)


def test_followers_get_orders_and_end_as_the_chief_does(together):
    chief, joined = together()
    joined.thread.start()
    with chief:
        (orders,) = chief.orders
        orders.send("train")
        assert chief.watch() is None
        joined.follower._tell("stop", 15)
        soon(lambda: chief.watch() == 15)
        chief.exit_code = 75
    joined.thread.join()
    assert joined.error is None
    assert (joined.orders.recv(), joined.code) == ("train", 75)


def test_other_flags_are_refused_on_both_sides(together, told):
    chief, joined = together(seconds=0.5, options=_OPTIONS | {"--levels": "4"})
    joined.thread.start()
    fact = (
        "worker 1 of 2 .*, refused since --levels is 4 on worker 1 and 3 on the chief"
    )
    with pytest.raises(SetupError, match=fact), chief:
        pass
    joined.thread.join()
    assert isinstance(joined.error, SetupError)
    assert "chief refuses this command: --levels is 4 on worker 1" in str(joined.error)
    assert any("worker 1 was refused: --levels" in text for text in told)


def test_who_comes_a_second_time_is_refused_also_late(together, command):
    chief, joined = together()
    joined.thread.start()
    with chief:
        for _ in range(2):
            late = Follower(command(1, seconds=5.0))
            with pytest.raises(SetupError, match="there is one of that number already"):
                late._admitted()
        assert chief.watch() is None
    joined.thread.join()
    assert (joined.error, joined.code) == (None, 1)


def test_one_that_does_not_come_is_named(command, told):
    chief = Leader(command(0, seconds=0.1))
    with pytest.raises(SetupError, match=r"within 0 s from worker 1 of 2 \(127"), chief:
        pass
    assert "Waiting at 127.0.0.1" in told[1]


def test_a_chief_that_does_not_come_is_named(command, told):
    alone = Follower(command(1, seconds=0.1))
    with pytest.raises(SetupError, match="chief, worker 0 of 2 .* answers at 127"):
        alone.follow(None)
    assert "Waiting for the chief's command" in told[1]


def test_another_key_is_refused(together, told, monkeypatch):
    chief, joined = together(seconds=0.5)
    keys = iter([b"ours", b"theirs"])
    monkeypatch.setattr(links, "_key", lambda: next(keys))
    joined.thread.start()
    with pytest.raises(SetupError, match="No command came"), chief:
        pass
    joined.thread.join()
    assert "has another $TFLOTTERY_CLUSTER_KEY" in str(joined.error)
    fact = "A caller from 127.0.0.1 was refused: it has another $TFLOTTERY_CLUSTER_KEY"
    assert any(text.startswith(fact) for text in told)


def test_a_stranger_that_says_nothing_keeps_nobody_out(together, command):
    chief, joined = together()
    strangers = []

    def call():
        while not strangers:
            with contextlib.suppress(OSError):
                strangers.append(
                    socket.create_connection(command(0).hosts.meeting_point)
                )
        joined.thread.start()

    stranger = threading.Thread(target=call)
    stranger.start()
    with chief:
        assert len(chief.orders) == 1
    joined.thread.join()
    stranger.join()
    assert joined.error is None


def test_who_stops_talking_while_greeted_is_waited_for_no_longer(monkeypatch):
    monkeypatch.setattr(links, "_GREETING_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        address = server.getsockname()
        # Both ends hear half of how long a message is.
        with socket.create_connection(address) as stranger:
            stranger.sendall(b"\0\0")
            assert links.greeted(server.accept()[0]) is None
        calling = pool.submit(links.connected, address, "greeting", seconds=0.05)
        with server.accept()[0] as chief:
            chief.sendall(b"\0\0")
            with pytest.raises(OSError):
                calling.result()


def test_who_is_not_known_yet_is_believed_no_pickle():
    class Program:
        def __reduce__(self):
            return pytest.fail, ("a stranger's program was run",)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        address, key = server.getsockname(), links._key()
        calling = pool.submit(lambda: links.greeted(server.accept()[0]))
        with Connection(socket.create_connection(address).detach()) as stranger:
            links._prove_key(stranger, key, own=b"calls", others=b"is called")
            stranger.send(Program())
            assert calling.result() is None


def test_connections_are_kept_alive_and_wait_without_end_once_greeted():
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        address = server.getsockname()
        calling = pool.submit(links.connected, address, "greeting", seconds=0.2)
        other, greeting = links.greeted(server.accept()[0])
        assert greeting == "greeting"
        for one in (other, calling.result()):
            own = socket.socket(fileno=os.dup(one.fileno()))
            with own, one:
                assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
                waits = own.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
                assert not any(waits)


def test_a_follower_whose_orders_end_is_no_use(command, told, monkeypatch):
    monkeypatch.setattr(follower, "_FAREWELL_SECONDS", 0.1)
    one = Follower(command(1))
    reports = iter([[(0, Message("ended", "finished"))]])
    pool = types.SimpleNamespace(
        submit=lambda *_: None, messages=lambda _: next(reports, [])
    )
    stop = types.SimpleNamespace(is_set=lambda: False)
    began = time.monotonic()
    failure = one._followed(pool, stop)
    assert (failure.kind, time.monotonic() - began > 0.1) == ("failed", True)
    assert "gives no orders any more" in failure.value
    # As at the end of a command.
    one.have_ended = True
    assert one._followed(pool, stop) is None


def test_a_follower_that_is_gone_is_named(together):
    chief, joined = together()
    joined.thread.start()
    with chief:
        joined.follower._link.close()
        soon(lambda: next(iter(chief._links.values())).fault)
        fact = "worker 1 of 2 .* is lost: its connection ended.*go on from the last"
        with pytest.raises(LostWorker, match=fact):
            chief.watch()
    joined.thread.join()
    assert "The chief, worker 0 of 2" in str(joined.error)


@pytest.mark.parametrize(
    ("kind", "error", "fact"),
    [
        ("failed", LostWorker, "worker 1 of 2 .* failed: no memory"),
        ("refused", ValueError, "worker 1 of 2 .*: no memory"),
    ],
)
def test_what_a_follower_says_of_its_end_is_told(together, kind, error, fact):
    chief, joined = together()
    joined.thread.start()
    with chief:
        joined.follower._tell(kind, "no memory")
        joined.follower._link.close()

        def watched():
            with pytest.raises(error, match=fact):
                chief.watch()
            return True

        soon(lambda: next(iter(chief._links.values())).fault)
        assert watched()
    joined.thread.join()


def test_a_port_in_use_is_refused(command, told):
    _, port = command(0).hosts.own
    with socket.create_server(("", port)):
        fact = f"Port {port} of this host cannot be listened at"
        with pytest.raises(SetupError, match=fact):
            Leader(command(0)).__enter__()


def test_silence_is_a_fault_and_a_heartbeat_is_not():
    ours, theirs = socket.socketpair()
    link = Link(Connection(ours.detach()), beat_seconds=0.02, silent_seconds=0.1)
    other = Link(Connection(theirs.detach()), beat_seconds=0.02, silent_seconds=0.1)
    time.sleep(0.3)
    assert link.fault is None and other.fault is None
    # From now on it hears and says nothing, as one that is frozen.
    other._ended.set()
    soon(lambda: link.fault)
    assert link.fault == "no sign of life for 0 s"
    link.close()
    other.close()


def test_a_host_that_is_taken_for_another_is_told(told, monkeypatch):
    addresses = ("192.0.2.7:4000", "[2001:db8::7]:4000")
    for index in range(2):
        monkeypatch.setattr(leader, "_listening", lambda *_: contextlib.nullcontext())
        HostCommand(Hosts(addresses, index), {}, told.append).introduce()
    assert told == [
        "This is worker 0 of 2 (192.0.2.7:4000), the chief. But 192.0.2.7 is no "
        "address of this machine: is the index right?",
        "This is worker 1 of 2 ([2001:db8::7]:4000), which follows worker 0. But "
        "2001:db8::7 is no address of this machine: is the index right?",
    ]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="has no IPv6")
@pytest.mark.parametrize(
    ("at", "host"), [("", "::1"), ("", "127.0.0.1"), ("::1", "::1")]
)
def test_commands_meet_by_either_protocol(at, host):
    with leader._listening(at, 0) as server, ThreadPoolExecutor() as pool:
        address = (host, server.getsockname()[1])
        calling = pool.submit(links.connected, address, "greeting", seconds=5.0)
        other, greeting = links.greeted(server.accept()[0])
        assert greeting == "greeting"
        other.close()
        calling.result().close()


def test_commands_meet_where_md5_is_barred(monkeypatch):
    def barred(*_, **__):
        raise ValueError("[digital envelope routines] unsupported")

    monkeypatch.setattr("hmac.new", barred)
    monkeypatch.setattr("hashlib.md5", barred)
    with leader._listening("127.0.0.1", 0) as server, ThreadPoolExecutor() as pool:
        address = server.getsockname()
        calling = pool.submit(links.connected, address, "greeting", seconds=5.0)
        other, _ = links.greeted(server.accept()[0])
        other.close()
        calling.result().close()


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(15), 75), (ValueError("no such data"), 2), (KeyError(), 1)],
)
def test_followers_end_as_a_chief_does_that_ends_early(together, error, code):
    chief, joined = together()
    joined.thread.start()
    with pytest.raises(type(error)), chief:
        raise error
    joined.thread.join()
    assert (joined.error, joined.code) == (None, code)


def test_a_follower_whose_chief_stops_while_it_waits_ends_as_well(together, command):
    chief, joined = together()
    chief._admit = lambda: (_ for _ in ()).throw(KeyboardInterrupt(2))
    ours, theirs = socket.socketpair()
    chief._links[1] = Link(Connection(ours.detach()))
    joined.follower._link = Link(Connection(theirs.detach()))
    with pytest.raises(KeyboardInterrupt):
        chief.__enter__()
    assert not joined.follower._is_told("begin", time.monotonic() + 5)
    assert joined.follower._chiefs_ending() == 130
