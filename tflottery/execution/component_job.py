"""Executing a component, from where an interrupted execution left it."""

import json
import time

from etils import epath

from tflottery.components.component import Component, Context
from tflottery.core import fingerprints
from tflottery.execution import work
from tflottery.execution.job_context import FINISHED, JobContext

_PARTIAL_FILE = "partial.json"


def execute(component: Component, context: JobContext) -> str:
    """Puts a component's artifact into the store. Returns how that ended.

    Raises:
      Stopped: it was asked to stop; partial results are kept.
    """
    store = context.store
    # Another process may have made it meanwhile.
    if store.has(component.address, component.files):
        context.made(component.address)
        return FINISHED
    store.refuse_damaged(component.address)
    # Partial results stay beside the artifact until it is whole.
    partial, remembered = f"partial/{component.key}", None
    if store.has(partial, (_PARTIAL_FILE,)):
        remembered = json.loads((store.open(partial) / _PARTIAL_FILE).read_text())
    store.refuse_damaged(partial)

    manifest, started = _description(component), time.monotonic()

    def remember(value: object, fraction: float) -> None:
        """Tells how far the job is; keeps partial results when it is time to."""

        def save() -> None:
            with store.writing(partial, {"of": component.address}) as folder:
                (folder / _PARTIAL_FILE).write_text(json.dumps(value))

        context.progressed(fraction, save=save)

    # Inputs stay put while they are read; the output counts once it is whole.
    sources = [one.address for one in component.inputs.values()]
    with (
        store.reading(*sources) as folders,
        store.writing(component.address, manifest) as output,
    ):
        inputs = dict(zip(component.inputs, folders, strict=True))
        component.execute(
            Context(inputs, output, context.runtime, remembered, remember)
        )
        _check_promises(component, output)
        passes = component.passes()
        # What goes on from partial results tells nothing of the whole.
        if passes is not None and remembered is None:
            kind, seconds = work.measuring(passes.run), time.monotonic() - started
            manifest["work"] = work.done(kind, passes.number, seconds)
    store.remove(partial)
    context.made(component.address)
    return FINISHED


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
