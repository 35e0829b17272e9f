"""Whether there is a network to download from: known within seconds, whatever is wrong.

Downloading itself would try for minutes before it says that there is none.
"""

import contextlib
import socket
import threading
import urllib.parse
import urllib.request

TIMEOUT_SECONDS = 5.0
_STORAGE = ("storage.googleapis.com", 443)


def connected(
    address: tuple[str, int], *, timeout_seconds: float = TIMEOUT_SECONDS
) -> bool:
    """Returns whether a host answers within the time, name look-up included."""
    answered = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError):
            socket.create_connection(address, timeout=timeout_seconds).close()
            answered.set()

    # In a thread because looking up a name knows no time limit.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    return answered.is_set()


def download_address() -> tuple[str, int]:
    """Returns the first host a download talks to: the proxy, if there is one."""
    proxy = urllib.request.getproxies().get("https")
    if not proxy or urllib.request.proxy_bypass(_STORAGE[0]):
        return _STORAGE
    url = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return url.hostname or _STORAGE[0], url.port or 80
