"""Executing a component, from where an interrupted execution left it."""

import json
import time

from etils import epath

from tflottery.components.component import Component, Context
from tflottery.core import fingerprints
from tflottery.execution.bench import FINISHED, STOPPED, Bench
from tflottery.execution.jobs import Make

_PARTIAL_FILE = "partial.json"


class _Stop(Exception):
    """The execution ends here for now."""


def make(job: Make, bench: Bench) -> str:
    """Puts a component's artifact into the store. Returns how that ended."""
    component, store = job.component, bench.store
    if store.has(component.address, component.files):
        bench.made(component.address)
        return FINISHED
    partial = _Partial(component, bench)
    inputs = {name: store.open(one.address) for name, one in component.inputs.items()}
    try:
        with store.writing(component.address, _description(component)) as output:
            component.execute(
                Context(inputs, output, bench.runtime, partial.read(), partial.remember)
            )
            _check_promises(component, output)
    except _Stop:
        return STOPPED
    partial.remove()
    bench.made(component.address)
    return FINISHED


class _Partial:
    """The partial results of a component, kept in the store now and then."""

    def __init__(self, component: Component, bench: Bench):
        self._of = component.address
        self._address = f"partial/{component.key}"
        self._bench = bench
        self._saved = time.monotonic()

    def read(self) -> object | None:
        """Returns what an interrupted execution left, if any."""
        if not self._bench.store.has(self._address, (_PARTIAL_FILE,)):
            return None
        folder = self._bench.store.open(self._address)
        return json.loads((folder / _PARTIAL_FILE).read_text())

    def remember(self, value: object, share: float) -> None:
        """Keeps partial results when it is time to; stops when it is asked to."""
        self._bench.progressed(share)
        stop = self._bench.stopping()
        age = time.monotonic() - self._saved
        if stop or age > self._bench.checkpoint_seconds:
            with self._bench.store.writing(self._address, {"of": self._of}) as folder:
                (folder / _PARTIAL_FILE).write_text(json.dumps(value))
            self._saved = time.monotonic()
        if stop:
            raise _Stop

    def remove(self) -> None:
        """Removes what was kept."""
        self._bench.store.remove(self._address)


def _check_promises(component: Component, output: epath.Path) -> None:
    """Raises RuntimeError if a component did not write what it promises."""
    lacking = [one for one in component.files if not (output / one).exists()]
    if lacking:
        raise RuntimeError(
            f"{type(component).__name__} promised {lacking} and did not write them: "
            "its `execute` and its `FILES` disagree."
        )


def _description(component: Component) -> dict[str, object]:
    """Returns what a component's manifest says of its derivation."""
    return {
        "component": type(component).__name__,
        "version": component.VERSION,
        "parameters": fingerprints.fields(component),
        "inputs": {name: one.address for name, one in component.inputs.items()},
    }
