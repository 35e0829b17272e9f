"""Whether there is a network to download from: known within seconds, whatever is wrong.

Downloading itself would try for minutes before it says that there is none.
"""

import socket
import urllib.parse
import urllib.request

from tflottery.core.timed_calls import Call

TIMEOUT_SECONDS = 5.0
_STORAGE = ("storage.googleapis.com", 443)


def connected(
    address: tuple[str, int], *, timeout_seconds: float = TIMEOUT_SECONDS
) -> bool:
    """Returns whether a host answers within the time, name look-up included."""

    def connect() -> None:
        socket.create_connection(address, timeout=timeout_seconds).close()

    try:
        # Looking up a name knows no time limit.
        Call(connect).answer(timeout_seconds)
    except (OSError, UnicodeError):
        # Or what is asked for is no name of a host at all.
        return False
    return True


def download_address() -> tuple[str, int]:
    """Returns the first host a download talks to: the proxy, if there is one."""
    proxy = urllib.request.getproxies().get("https")
    if not proxy or urllib.request.proxy_bypass(_STORAGE[0]):
        return _STORAGE
    url = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return url.hostname or _STORAGE[0], url.port or 80
