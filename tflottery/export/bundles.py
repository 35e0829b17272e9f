"""Ticket bundles: a ticket with all that is known of it, to be read without tflottery.

A bundle is a folder or a zip file:

    bundle.json             what it is: recipe, seeds, lineage, density, data set, the
                            errors that were measured, costs, and what each file holds
    model.json              the network, as Keras writes it
    mask.safetensors        0 or 1 by the path of the kernel
    rewind.safetensors      the weights that its training began from, pruned ones 0.0
    final.safetensors       the weights that it ended with
    examples.safetensors    some inputs, and the outputs on them
"""

import dataclasses
import hashlib
import json
import pathlib
import zipfile
from collections.abc import Mapping

import keras
import numpy as np
import safetensors
import safetensors.numpy

from tflottery.core import key_mismatch
from tflottery.export import costs
from tflottery.export.networks import ExportedNetwork, input_of, outputs_of
from tflottery.export.resolving import BUNDLE_FILE

MODEL_FILE, MASK_FILE, REWIND_FILE = (
    "model.json",
    "mask.safetensors",
    "rewind.safetensors",
)
FINAL_FILE, EXAMPLES_FILE = "final.safetensors", "examples.safetensors"
ZIP = ".zip"
_FORMAT, _VERSION = "tflottery ticket bundle", 1
_HOLDS = {
    MODEL_FILE: "the network, for keras.models.model_from_json",
    MASK_FILE: "uint8, 1 keeps and 0 prunes, by the path of the kernel; none if dense",
    REWIND_FILE: "the weights that its training began from, by path",
    FINAL_FILE: "the weights that it ended with, by path, in the order of 'variables'",
    EXAMPLES_FILE: "inputs as input/0, ..., and its outputs on them as output/0, ...",
}
_MOST_EXAMPLE_BYTES = 2**20


def write(network: ExportedNetwork, path: pathlib.Path) -> tuple[str, ...]:
    """Writes a network as a bundle; returns what its report says.

    Args:
      network: what is exported.
      path: of the zip file, or of the folder.

    Changes: what is at `path`.
    """
    files = {
        MODEL_FILE: network.model.to_json().encode(),
        MASK_FILE: _packed({p: np.uint8(mask) for p, mask in network.masks.items()}),
        FINAL_FILE: _packed(network.weights),
        EXAMPLES_FILE: _packed(_examples(network)),
    }
    if network.rewound is not None:
        files[REWIND_FILE] = _packed(network.rewound)
    found = costs.measured(network)
    described = {
        "format": _FORMAT,
        "version": _VERSION,
        **network.description,
        "variables": list(network.weights),
        "flops": network.flops,
        "costs": dataclasses.asdict(found),
        "report": found.told,
        "files": {
            name: {
                "holds": _HOLDS[name],
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            for name, data in files.items()
        },
    }
    files[BUNDLE_FILE] = json.dumps(described, indent=1).encode()
    if path.suffix == ZIP:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        path.mkdir()
        for name, data in files.items():
            (path / name).write_bytes(data)
    without = (
        ()
        if network.rewound is not None
        else ("without the weights that its training began from, which are not known",)
    )
    return (*found.told, *without)


def run(path: pathlib.Path, network: ExportedNetwork) -> dict[str, object]:
    """Returns the outputs of what is in a bundle, on a network's examples."""
    return {"Keras with the arrays": outputs_of(opened(path).model, network.examples)}


def opened(path: pathlib.Path) -> ExportedNetwork:
    """Returns the network of a bundle, with its own examples.

    Raises:
      ValueError: it is damaged.
    """
    try:
        files = _files(path)
        described = json.loads(files[BUNDLE_FILE])
        _validate(files, described)
        arrays = {
            name: safetensors.numpy.load(data)
            for name, data in files.items()
            if name.endswith(".safetensors")
        }
        model = keras.models.model_from_json(files[MODEL_FILE].decode())
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        safetensors.SafetensorError,
    ) as error:
        raise ValueError(
            f"{str(path)!r} is no whole bundle: {error}. Copy it again, or export it "
            "again from where it came."
        ) from error
    names = described["variables"]
    model.set_weights([arrays[FINAL_FILE][name] for name in names])
    after = [one.path for one in model.weights]
    paths = dict(zip(names, after, strict=True))
    inputs, outputs = (_given(arrays[EXAMPLES_FILE], n) for n in ("input", "output"))
    rewound = arrays.get(REWIND_FILE)
    kept = ("format", "version", "variables", "flops", "costs", "report", "files")
    return ExportedNetwork(
        name=path.stem,
        model=model,
        examples=_packed_as(model, inputs),
        expected=outputs[0] if len(outputs) == 1 else outputs,
        masks=_by(paths, arrays[MASK_FILE]),
        rewound=None if rewound is None else _by(paths, rewound),
        flops=_by(paths, described["flops"]),
        description={n: v for n, v in described.items() if n not in kept},
    )


def _packed_as(model: keras.Model, inputs: list[np.ndarray]) -> object:
    """Returns inputs as a model takes them; a model that is code is called on them."""
    if getattr(model, "inputs", None) is not None:
        return keras.tree.pack_sequence_as(input_of(model), inputs)
    examples = inputs[0] if len(inputs) == 1 else inputs
    outputs_of(model, examples)
    return examples


def _by(paths: Mapping[str, str], values: Mapping) -> dict:
    return {paths[name]: value for name, value in values.items()}


def _files(path: pathlib.Path) -> dict[str, bytes]:
    """Returns the contents of a bundle's files by name."""
    if path.is_dir():
        return {one.name: one.read_bytes() for one in path.iterdir() if one.is_file()}
    with zipfile.ZipFile(path) as archive:
        # Whoever packed it may have packed the folder around it too.
        return {
            pathlib.PurePosixPath(name).name: archive.read(name)
            for name in archive.namelist()
            if not name.endswith("/")
        }


def _validate(files: Mapping[str, bytes], described: Mapping) -> None:
    """Raises ValueError unless all files are there, and as they were written."""
    if not isinstance(described, dict):
        raise ValueError(f"{BUNDLE_FILE} is a {type(described).__name__}")
    if (described.get("format"), described.get("version")) != (_FORMAT, _VERSION):
        raise ValueError(
            f"{BUNDLE_FILE} is of format {described.get('format')!r}, version "
            f"{described.get('version')!r}; expected {_FORMAT!r}, {_VERSION}"
        )
    listed = described["files"]
    missing = listed.keys() - files.keys()
    if missing:
        told = key_mismatch.differing(files.keys() & listed.keys(), expected=listed)
        raise ValueError(f"of its files, {told}")
    for name, one in listed.items():
        if hashlib.sha256(files[name]).hexdigest() != one["sha256"]:
            raise ValueError(f"{name} was changed")


def _examples(network: ExportedNetwork) -> dict[str, np.ndarray]:
    """Returns inputs and outputs by name, as many as are not large."""
    found: dict[str, np.ndarray] = {}
    inputs = keras.tree.flatten(network.examples)
    size = sum(one.nbytes for one in inputs) / len(inputs[0])
    count = min(len(inputs[0]), max(1, int(_MOST_EXAMPLE_BYTES / size)))
    for name, values in (("input", inputs), ("output", network.expected)):
        for number, one in enumerate(keras.tree.flatten(values)):
            found[f"{name}/{number}"] = np.asarray(one)[:count]
    return found


def _given(arrays: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    count = sum(one.startswith(f"{name}/") for one in arrays)
    return [arrays[f"{name}/{number}"] for number in range(count)]


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    # safetensors writes memory as it lies: transposed arrays would come back wrong.
    return safetensors.numpy.save(
        {name: np.asarray(one, order="C") for name, one in arrays.items()}
    )
