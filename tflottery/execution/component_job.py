"""Executing a component, from where an interrupted execution left it."""

import json
import time
from collections.abc import Callable

from etils import epath

from tflottery.components.component import Absent, Component, Context
from tflottery.core import fingerprints
from tflottery.execution import work
from tflottery.execution.job_context import ABSENT, FINISHED, JobContext
from tflottery.execution.run_index import DIVERGED_ITERATION, absence_address

_PARTIAL_FILE = "partial.json"


def execute(component: Component, context: JobContext) -> str:
    """Puts a component's artifact into the store, or a record that there is none.

    Returns:
      How that ended.

    Raises:
      Stopped: it was asked to stop; partial results are kept.
    """
    store = context.store
    # Another process may have made it meanwhile.
    if store.has(component.address, component.files):
        context.made(component.address)
        return FINISHED
    store.refuse_damaged(component.address)
    absence = absence_address(component)
    if store.has(absence):
        return ABSENT
    store.refuse_damaged(absence)
    # Partial results stay beside the artifact until it is whole.
    partial, remembered = f"partial/{component.key}", None
    if store.has(partial, (_PARTIAL_FILE,)):
        remembered = json.loads((store.open(partial) / _PARTIAL_FILE).read_text())
    store.refuse_damaged(partial)

    manifest = _description(component)
    manifest["num_devices"] = context.runtime.num_measuring

    def remember(value: object, fraction: float) -> None:
        """Reports how far the job is; saves partial results when that is due."""

        def save() -> None:
            if value is None:
                return
            with store.writing(partial, {"of": component.address}) as folder:
                (folder / _PARTIAL_FILE).write_text(json.dumps(value))

        context.progressed(fraction, save=save)

    try:
        _make(component, context, manifest, remembered=remembered, remember=remember)
    except Absent as reason:
        manifest["reason"] = str(reason)
        manifest[DIVERGED_ITERATION] = reason.diverged_iteration
        with store.writing(absence, manifest):
            pass
        return ABSENT
    store.remove(partial)
    context.made(component.address)
    return FINISHED


def _make(
    component: Component,
    context: JobContext,
    manifest: dict[str, object],
    *,
    remembered: object | None,
    remember: Callable[[object, float], None],
) -> None:
    """Executes a component and puts what it makes into the store.

    Changes: the manifest says how long that took.
    """
    store, started = context.store, time.monotonic()
    # Inputs stay put while they are read; the output counts once it is whole.
    sources = [one.address for one in component.sources]
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
            seconds = time.monotonic() - started
            kind = work.measuring(passes.run, num_devices=context.runtime.num_measuring)
            manifest["work"] = work.done(kind, passes.number, seconds)


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
