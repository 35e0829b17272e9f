"""Whether there is a network is known soon, whatever is wrong with it."""

import socket

from tflottery.datasets import network


def closed_port():
    """Returns an address where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()


def test_connected_to_a_host_that_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert network.connected(server.getsockname())
    assert not network.connected(closed_port())
    # No name of a host at all.
    assert not network.connected(("a..b", 80))


def test_a_proxy_is_what_a_download_talks_to(monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert network.download_address() == ("storage.googleapis.com", 443)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert network.download_address() == ("proxy.example", 3128)
    monkeypatch.setenv("no_proxy", ".googleapis.com")
    assert network.download_address() == ("storage.googleapis.com", 443)
