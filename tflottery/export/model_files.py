"""Networks of files: a masked model of one's own, or a bundle."""

import pathlib

import keras
import numpy as np

from tflottery import layers
from tflottery.core import key_mismatch, numpy_files
from tflottery.export import bundles, networks, plain_models
from tflottery.export.networks import ExportedNetwork
from tflottery.export.resolving import BUNDLE, ModelFile
from tflottery.models import weights as model_weights
from tflottery.models.flops import kernel_flops
from tflottery.pruning import masks as pruning_masks
from tflottery.store import manifests
from tflottery.training import tickets


def open_file(
    found: ModelFile, *, examples: str | None = None, ticket: str | None = None
) -> ExportedNetwork:
    """Returns the network of a file, as it is exported.

    Args:
      found: the file.
      examples: a .npy or .npz file of inputs of a .keras file that are compared; None:
        numbers drawn at random. A bundle has its own.
      ticket: a file as `tickets.save` writes it, with the weights that the training of
        a masked model began from; None: they are not known.

    Raises:
      ValueError: the file is damaged, the model has no masks, or what it takes cannot
        be made up.
    """
    path = pathlib.Path(found.path)
    if found.kind == BUNDLE:
        return bundles.opened(path)
    model = plain_models.opened(path)
    masks = layers.masks(model)
    if not masks:
        raise ValueError(
            f"{found.path!r} has no masked layers, so nothing says what is pruned: "
            "Keras opens it as it is. Masked models are those of tflottery.mask(model) "
            "and find_ticket."
        )
    inputs = networks.made_examples(model) if examples is None else _read(examples)
    expected = networks.outputs_of(model, inputs)
    before = list(model_weights.variable_shapes(model))
    known = None if ticket is None else _ticket(ticket, before, masks)
    flops = kernel_flops(model)
    exported = plain_models.plain(model)
    # Keras gives only what was called once a form of TensorFlow's.
    networks.outputs_of(exported, inputs)
    after = [one.path for one in exported.weights]
    return ExportedNetwork(
        name=path.stem,
        model=exported,
        examples=inputs,
        expected=expected,
        masks=networks.renamed(masks, before, after),
        rewound=known and networks.renamed(known.weights, before, after),
        flops=networks.renamed(flops, before, after),
        description={
            "model": model.name,
            **networks.density_described(masks),
            "rewind_iteration": known and known.rewind_iteration,
            "inputs": [_told(one) for one in keras.tree.flatten(inputs)],
            "outputs": "as the model puts them out",
            "environment": manifests.environment(),
        },
    )


def _told(examples: np.ndarray) -> dict[str, object]:
    return {"shape": list(examples.shape[1:]), "dtype": str(examples.dtype)}


def _read(path: str) -> object:
    """Returns the inputs in a file; raises ValueError if there are none."""
    try:
        return numpy_files.read(path)
    except ValueError as error:
        raise ValueError(
            f"--examples={path!r} cannot be read ({error}): expected a .npy file of "
            "[examples, ...], or .npz with such arrays by the names of the inputs."
        ) from error


def _ticket(path: str, before: list[str], masks: pruning_masks.Masks) -> tickets.Ticket:
    """Returns the ticket that a model was trained from; raises ValueError if another's.

    Args:
      path: of its file.
      before: paths of the model's weights.
      masks: of the model.
    """
    try:
        found = tickets.load(path)
    except FileNotFoundError as error:
        raise ValueError(f"--ticket={path!r}: {error}") from error
    # A model that was loaded may have left its own name out of the paths.
    names = {
        name: [one for one in before if f"/{name}".endswith(f"/{one}")]
        for name in found.weights
    }
    paths = {name: one[0] for name, one in names.items() if len(one) == 1}
    if differing := key_mismatch.differing(paths.values(), expected=before):
        raise ValueError(f"--ticket={path!r} is of another model: {differing}.")
    theirs = {paths[name]: one for name, one in found.masks.items()}
    if any(not np.array_equal(one, theirs.get(p)) for p, one in masks.items()):
        raise ValueError(
            f"--ticket={path!r} has other masks than the model: expected the ticket "
            "that this model was trained from."
        )
    weights = {paths[name]: one for name, one in found.weights.items()}
    return tickets.Ticket(weights, theirs, found.rewind_iteration)
