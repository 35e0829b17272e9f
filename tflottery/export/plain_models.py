"""A network as a model of Keras's own layers, from the pixels that a data set gives."""

import dataclasses
import json
import pathlib
import re
import tempfile
import zipfile

import keras
import numpy as np

from tflottery import layers
from tflottery.export.networks import first_line, input_of

_CONFIG = "config.json"
# A module of ours, or a class that we registered; not a module called tflottery_x.
_OURS = re.compile(r"tflottery([.>]|$)")
_SCALING = "scaling"
_BRIGHTEST = 255.0


@dataclasses.dataclass(frozen=True)
class Scaling:
    """How pixels become inputs: (pixel / 255 - mean) / std.

    Attributes:
      mean: of each channel, of images in [0, 1].
      std: likewise.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


def plain(model: keras.Model, scaling: Scaling | None = None) -> keras.Model:
    """Returns a new model like one with masks, of Keras's own layers.

    Args:
      model: built. Changes: its layers are Keras's own afterwards.
      scaling: what comes before its first layer; None: nothing does.

    Raises:
      ValueError: it cannot be saved without this package.
    """
    layers.unmask(model)
    if scaling is not None:
        model = _from_pixels(model, scaling)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "plain.keras"
        # What Keras saves is all there is: nothing of ours hides in attributes.
        model.save(path, include_optimizer=False)
        refuse_ours(path)
        return opened(path)


def opened(path: str | pathlib.Path) -> keras.Model:
    """Returns the model of a .keras file, not compiled.

    Raises:
      ValueError: the file is damaged, or has layers of somebody's own.
    """
    try:
        return keras.models.load_model(path, compile=False)
    # Of which kind depends on where Keras fails.
    except Exception as error:
        raise ValueError(
            f"{str(path)!r} cannot be opened as a Keras model: {first_line(error)} Is "
            "it whole? Modules with layers of your own are named by --plugins."
        ) from error


def refuse_ours(path: str | pathlib.Path) -> None:
    """Raises ValueError if a .keras file needs this package to be opened."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read(_CONFIG))
    found = sorted(_needing_ours(config))
    if found:
        raise ValueError(
            f"The model needs tflottery to be opened, for {', '.join(found)}: layers "
            "that have no counterpart in Keras cannot be exported."
        )


def _needing_ours(config: object) -> set[str]:
    """Returns the classes of ours that a configuration names."""
    if isinstance(config, list):
        return set().union(*map(_needing_ours, config))
    if not isinstance(config, dict):
        return set()
    found = set().union(*map(_needing_ours, config.values()))
    named = (config.get("module"), config.get("registered_name"))
    if any(isinstance(one, str) and _OURS.match(one) for one in named):
        found.add(str(config.get("class_name")))
    return found


def _from_pixels(model: keras.Model, scaling: Scaling) -> keras.Model:
    """Returns a model that scales the pixels it is given, and then does as another."""
    std = np.float64(scaling.std)
    pixels = keras.Input(input_of(model).shape[1:], name="pixels")
    scaled = keras.layers.Rescaling(
        (1 / (std * _BRIGHTEST)).tolist(),
        (-np.float64(scaling.mean) / std).tolist(),
        name=_SCALING,
    )(pixels)
    # Layer by layer where it is a graph of layers, so that they stay one graph.
    is_graph = hasattr(model, "operations")
    outputs = model.call(scaled) if is_graph else model(scaled)
    return keras.Model(pixels, outputs, name=model.name)
