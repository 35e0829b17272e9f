"""The forms in which a network leaves: each is written, opened again and compared."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator

import keras
import numpy as np
import safetensors
import safetensors.numpy

from tflottery.export import bundles, plain_models, sizes, tflite
from tflottery.export.networks import (
    ExportedNetwork,
    ExportError,
    first_line,
    input_names,
    outputs_of,
)

_MODEL, _DESCRIPTION = "model", "description"


@dataclasses.dataclass(frozen=True)
class Written:
    """What was exported.

    Attributes:
      path: the file or folder.
      difference: of its outputs from those measured, at most.
      size: of what is at the path.
      notes: what else there is to say, in sentences.
    """

    path: pathlib.Path
    difference: float
    size: sizes.Size
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Format:
    """A form in which a network leaves.

    Attributes:
      write: writes it to a path; returns notes.
      run: opens what is at the path, and returns its outputs on the network's
        examples, by each that can run it.
    """

    write: Callable[[ExportedNetwork, pathlib.Path], tuple[str, ...]]
    run: Callable[[pathlib.Path, ExportedNetwork], dict[str, object]]


def export(network: ExportedNetwork, form: Format, path: pathlib.Path) -> Written:
    """Writes a network, opens it again and compares it with what was measured.

    Args:
      network: what is exported.
      form: in which form.
      path: where; nothing may be there.

    Changes: what is at `path`; nothing at all if this raises.

    Raises:
      ExportError: its outputs are others.
      OSError: it cannot be written.
    """
    import tensorflow as tf

    draft = path.parent / f".{uuid.uuid4().hex[:8]}_{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with quiet():
            notes = form.write(network, draft)
            outputs = form.run(draft, network)
        try:
            differences = [network.difference(one) for one in outputs.values()]
        except ExportError as error:
            raise ExportError(f"{path.name} was not kept. {error}") from error
        # Before it is there: who stops this is told that nothing was written.
        size = sizes.of_files(draft)
        if path.exists():
            raise ExportError(
                f"There is a {str(path)!r} now, which was written meanwhile: it stays."
            )
        os.rename(draft, path)
    except (OSError, tf.errors.OpError) as error:
        raise OSError(
            f"{str(path)!r} cannot be written ({first_line(error)}). Is there room, "
            f"and may you write, in its folder and in {tempfile.gettempdir()!r}?"
        ) from error
    finally:
        if draft.is_dir():
            shutil.rmtree(draft)
        draft.unlink(missing_ok=True)
    ran = f"compared as run by {' and '.join(outputs)}"
    return Written(path, max(differences), size, (*notes, ran))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps from the screen what TensorFlow's converters print, from C++ too."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, one in enumerate(kept, 1):
            os.dup2(one, number)
            os.close(one)


def _write_keras(network: ExportedNetwork, path: pathlib.Path) -> tuple[str, ...]:
    network.model.save(path)
    plain_models.refuse_ours(path)
    return ()


def _run_keras(path: pathlib.Path, network: ExportedNetwork) -> dict[str, object]:
    model = plain_models.opened(path)
    return {"Keras": outputs_of(model, network.examples)}


def _write_saved_model(network: ExportedNetwork, path: pathlib.Path) -> tuple[str, ...]:
    network.model.export(str(path), format="tf_saved_model", verbose=False)
    return ()


def _run_saved_model(path: pathlib.Path, network: ExportedNetwork) -> dict[str, object]:
    import tensorflow as tf

    opened = tf.saved_model.load(str(path))
    outputs = opened.serve(keras.tree.map_structure(tf.constant, network.examples))
    return {"TensorFlow": keras.tree.map_structure(np.asarray, outputs)}


def _write_tflite(network: ExportedNetwork, path: pathlib.Path) -> tuple[str, ...]:
    converted = tflite.converted(network.model, is_sparse=bool(network.masks))
    path.write_bytes(converted.data)
    zeros = (converted.told,) if network.masks else ()
    return (*zeros, *tflite.missing())


def _run_tflite(path: pathlib.Path, network: ExportedNetwork) -> dict[str, object]:
    names = input_names(network.model)
    return tflite.run(path, network.examples, names=names)


def _write_safetensors(network: ExportedNetwork, path: pathlib.Path) -> tuple[str, ...]:
    # What safetensors keeps beside arrays is text.
    texts = {
        _MODEL: network.model.to_json(),
        _DESCRIPTION: json.dumps(network.description),
    }
    path.write_bytes(safetensors.numpy.save(network.weights, metadata=texts))
    return ()


def _run_safetensors(path: pathlib.Path, network: ExportedNetwork) -> dict[str, object]:
    with safetensors.safe_open(path, framework="numpy") as file:
        model = keras.models.model_from_json(file.metadata()[_MODEL])
        arrays = [file.get_tensor(name) for name in _paths(model)]
    model.set_weights(arrays)
    return {"Keras with the arrays": outputs_of(model, network.examples)}


def _paths(model: keras.Model) -> list[str]:
    return [one.path for one in model.weights]


FORMATS = {
    "keras": Format(_write_keras, _run_keras),
    "savedmodel": Format(_write_saved_model, _run_saved_model),
    "tflite": Format(_write_tflite, _run_tflite),
    "safetensors": Format(_write_safetensors, _run_safetensors),
    "bundle": Format(bundles.write, bundles.run),
}
