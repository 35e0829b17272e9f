"""A folder that hosts share and each remembers by itself, as they do over NFS.

What one host publishes others do not see for some seconds. As on NFS they see it before
if they open the folders on the way anew; or, where `forgets` is false, only then.
"""

import collections
import contextlib
import dataclasses
import itertools
import time

from tflottery.execution.inline import InlinePool
from tflottery.store import backends


class Names:
    """What was published in a folder, by whom and when; has this process be a host.

    Attributes:
      num_published: how often, by address.
    """

    def __init__(self, monkeypatch, *, seconds, asks):
        """Args:
        seconds: for how long others do not see a name.
        asks: whether a folder that is opened anew tells of what is new.
        """
        self.seconds, self.asks, self.host = seconds, asks, "command"
        self.num_published = collections.Counter()
        self._published, self._seen = {}, set()
        monkeypatch.setattr(backends, "backend_of", lambda root: View(root, self))

    @contextlib.contextmanager
    def on(self, host):
        before, self.host = self.host, host
        try:
            yield
        finally:
            self.host = before

    def published(self, address, host):
        self.num_published[address] += 1
        self._published[address] = host, time.monotonic()
        self._seen -= {one for one in self._seen if one[1] == address}

    def hides(self, address, host):
        by, at = self._published.get(address, (host, 0.0))
        if by == host or (host, address) in self._seen:
            return False
        return time.monotonic() - at < self.seconds

    def looked(self, address, host):
        if self.asks:
            self._seen.add((host, address))


class View(backends.Local):
    """The folder as one host sees it."""

    def __init__(self, root, names):
        super().__init__(root)
        self._names, self._host = names, names.host

    def manifest(self, address):
        if self._names.hides(address, self._host):
            return None
        return super().manifest(address)

    def publish(self, draft, address, **named):
        super().publish(draft, address, **named)
        self._names.published(address, self._host)

    def look_anew(self, address):
        super().look_anew(address)
        self._names.looked(address, self._host)

    def _walked(self, prefix):
        found = super()._walked(prefix)
        hidden = {one for one in found if self._names.hides(one, self._host)}
        # What is opened on the way is not remembered.
        if not prefix or hidden < found.keys():
            for one in hidden:
                self._names.looked(one, self._host)
        return {
            one: names
            for one, names in found.items()
            if not self._names.hides(one, self._host)
        }


class NodesPool:
    """Workers on two hosts, each under the claim of the command; they take turns."""

    is_elsewhere, is_busy, size = True, False, 2

    def __init__(self, settings, names, holder, **set_up):
        settings = dataclasses.replace(settings, holder=holder)
        self._names, self._told = names, []
        self._pools = [InlinePool(settings, **set_up) for _ in range(self.size)]
        self._turn = itertools.cycle(range(self.size))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def idle(self):
        return [] if self._told else [next(self._turn)]

    def submit(self, number, job):
        with self._names.on(f"node{number}"):
            self._pools[number].submit(number, job)
        self._told += self._pools[number].messages(0)

    def messages(self, timeout):
        if not self._told:
            time.sleep(timeout)
        told, self._told = self._told, []
        return told

    def stop(self):
        pass

    def close(self):
        pass
