"""Networks of a store, built from what their manifests say."""

import dataclasses
import json
from collections.abc import Sequence

import keras
import numpy as np

from tflottery import layers
from tflottery.components.accuracies import ACCURACY_FILE
from tflottery.components.runs import MASK_FILE, WEIGHTS_FILE
from tflottery.core.identities import Data, Network
from tflottery.core.initializers import Initializers
from tflottery.core.registry import MODELS
from tflottery.datasets import pipeline
from tflottery.export import networks, plain_models, resolving
from tflottery.export.networks import ExportedNetwork
from tflottery.export.plain_models import Scaling
from tflottery.export.resolving import NORMALIZED, PIXELS, StoredNetwork
from tflottery.models import weights as model_weights
from tflottery.models.architecture import architecture
from tflottery.models.flops import kernel_flops
from tflottery.pruning import masks as pruning_masks
from tflottery.store.origins import Origins, Reference
from tflottery.training import checkpoints
from tflottery.training.distribution import Placement
from tflottery.training.runtime import OtherData, Runtime, UnusableData

_NUM_EXAMPLES = 32
_PIXELS_TOLD = (
    "pixels from 0 to 255, of images brought to this shape as the package brings those "
    "of the data set; the layer 'scaling' makes of them what the network was trained on"
)


def open_network(
    found: StoredNetwork, *, data_dir: str | None = None, inputs: str = PIXELS
) -> ExportedNetwork:
    """Returns a network of a store, as it is exported.

    Args:
      found: where it is.
      data_dir: where tensorflow-datasets keeps prepared data.
      inputs: `PIXELS`: the exported network takes what the data set gives, and is
        compared on test images; `NORMALIZED`: it takes what the trained one does, no
        data set is needed, and it is compared on random numbers.

    Raises:
      ValueError: its data set or its model are not here, or other ones are.
      StoreError: what it is made of is not there, or damaged.
    """
    origins, address = found.origins, found.address
    fields = origins.fields(address)
    network, data = _network(fields), _data(fields)
    model = _built(network)
    weights = checkpoints.read_weights(origins.store.open(address))
    masks = _masks(origins, fields)
    model_weights.assign(model, weights)
    layers.set_masks(model, masks)
    shown, seen, scaling = _examples(network, data, data_dir=data_dir, inputs=inputs)
    rewound = _rewound(origins, fields, model, masks)
    model = _measured_part(model)
    expected = np.asarray(model(seen, training=False))
    flops = kernel_flops(model)
    before = list(model_weights.variable_shapes(model))
    exported = plain_models.plain(model, scaling)
    after = [one.path for one in exported.weights]
    description = _described(found, fields, network, data, masks) | {
        "inputs": {
            "shape": list(network.input_shape),
            "dtype": "float32",
            "are": _PIXELS_TOLD if scaling else "normalized images",
        },
        "outputs": _outputs_told(data),
    }
    return ExportedNetwork(
        name=resolving.name_of(found),
        model=exported,
        examples=shown,
        expected=expected,
        masks=networks.renamed(_among(before, masks), before, after),
        rewound=rewound and networks.renamed(_among(before, rewound), before, after),
        flops=networks.renamed(flops, before, after),
        # As it will be read back.
        description=json.loads(json.dumps(description)),
    )


def _network(fields: dict[str, object]) -> Network:
    return Network(**_part(fields, "network"))


def _data(fields: dict[str, object]) -> Data:
    return Data(**_part(fields, "data"))


def _part(fields: dict[str, object], prefix: str) -> dict[str, object]:
    """Returns the fields of a part of a derivation; lists are tuples."""
    return {
        name.removeprefix(f"{prefix}."): tuple(value)
        if isinstance(value, list)
        else value
        for name, value in fields.items()
        if name.startswith(f"{prefix}.")
    }


def _built(network: Network) -> object:
    """Returns the model as the package builds it, if it is the one that was trained."""
    if network.model not in MODELS:
        raise ValueError(
            f"The network is a {network.model!r}, which is not registered here: name "
            f"its module with --plugins. Known: {', '.join(MODELS.names())}."
        )
    model = MODELS[network.model].function(
        input_shape=network.input_shape, num_classes=network.num_classes
    )
    if network.architecture not in ("", architecture(model)):
        raise ValueError(
            f"Model {network.model!r} is another network now than when it was trained: "
            f"architecture {architecture(model)}, expected {network.architecture}. "
            "Export it with the version of its code that trained it."
        )
    return model


def _measured_part(model: keras.Model) -> keras.Model:
    """Returns the part of a model whose outputs are measured: no auxiliary heads."""
    if len(model.outputs) == 1:
        return model
    return keras.Model(networks.input_of(model), model.outputs[0], name=model.name)


def _among(
    paths: Sequence[str], arrays: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    return {path: value for path, value in arrays.items() if path in paths}


def _masks(origins: Origins, fields: dict[str, object]) -> pruning_masks.Masks:
    """Returns the masks that a run was trained with; {} if none."""
    mask = fields.get("mask")
    if not isinstance(mask, Reference):
        return {}
    if mask.address is None:
        raise ValueError(
            f"The network's mask {mask.key} is not in {origins.store.root!r} any more. "
            "The command that trained it makes it again."
        )
    return checkpoints.read_arrays(origins.store.open(mask.address) / MASK_FILE)


def _rewound(
    origins: Origins,
    fields: dict[str, object],
    model: object,
    masks: pruning_masks.Masks,
) -> model_weights.Weights | None:
    """Returns the weights that a run began from, pruned; None if they are gone."""
    initial = fields.get("initial")
    if initial is None and "initial.seed" in fields:
        initializers = Initializers(**_part(fields, "initial.initializers"))
        weights = model_weights.initial_weights(
            model, fields["initial.seed"], initializers
        )
    elif (
        isinstance(initial, Reference)
        and initial.address
        and WEIGHTS_FILE in origins.manifest(initial.address).get("files", {})
    ):
        weights = checkpoints.read_weights(origins.store.open(initial.address))
    else:
        return None
    return pruning_masks.apply(weights, masks)


def _examples(
    network: Network, data: Data, *, data_dir: str | None, inputs: str
) -> tuple[np.ndarray, np.ndarray, Scaling | None]:
    """Returns inputs of the exported network and of the trained one, and what scales.

    Raises:
      ValueError: the data set is not there, or another one is.
    """
    if inputs == NORMALIZED:
        generator = np.random.default_rng(0)
        shape = (_NUM_EXAMPLES, *network.input_shape)
        made = generator.standard_normal(shape).astype(np.float32)
        return made, made, None
    instead = (
        f"Say with --data_dir where it is, or export with --inputs={NORMALIZED}, which "
        "needs no data."
    )
    try:
        runtime = Runtime(data_dir=data_dir, placement=Placement())
        source = runtime.source_of(data, network)
    except OtherData as error:
        raise ValueError(
            f"The data set {data.name!r} here is not the one that the network was "
            f"trained on, whose digest is {data.digest}. {instead}"
        ) from error
    except UnusableData as error:
        raise ValueError(f"{error} {instead}") from error
    count = min(_NUM_EXAMPLES, len(source.test.labels))
    indices = np.arange(count, dtype=np.int32)
    load = pipeline.loader(source, split="test", augmentation="none")
    pixels = load.read(indices, np.zeros_like(indices))
    seen, _ = load.show(pixels, indices, np.zeros_like(indices))
    shown = np.asarray(pixels).astype(np.float32)
    return shown, np.asarray(seen), Scaling(source.mean, source.std)


def _outputs_told(data: Data) -> str:
    """Returns what a network puts out, in words."""
    if data.pretext:
        return f"what the pretext task {data.pretext!r} asks for (tflottery.pretexts)"
    of = f" of the subset {data.subset}, in its own numbering" if data.subset else ""
    return f"one logit for each class{of}, before softmax"


def _described(
    found: StoredNetwork,
    fields: dict[str, object],
    network: Network,
    data: Data,
    masks: pruning_masks.Masks,
) -> dict[str, object]:
    """Returns what is known of a network, in plain values."""
    origins, address = found.origins, found.address
    manifest = origins.manifest(address)
    return {
        "model": network.model,
        "data": dataclasses.asdict(data),
        **networks.density_described(masks),
        "iteration": manifest["iteration"],
        "rewind_iteration": _rewind_iteration(origins, fields),
        "first_iteration_of_schedule": fields["first_iteration"],
        "recipe": _part(fields, "recipe"),
        "seeds": {n: v for n, v in fields.items() if n.endswith("seed")},
        "accuracy": _accuracy(origins, address),
        "row": found.columns or None,
        "address": address,
        "lineage": _lineage(origins, address),
        "environment": manifest["environment"],
    }


def _rewind_iteration(origins: Origins, fields: dict[str, object]) -> int | None:
    """Returns the iteration of the weights that a run began from; None: not known."""
    initial, first = fields.get("initial"), fields["first_iteration"]
    if not isinstance(initial, Reference):
        return first
    start = {} if initial.address is None else origins.manifest(initial.address)
    # A schedule that goes on is where the weights are, one that began anew is at 0.
    return start.get("iteration", first or None)


def _accuracy(origins: Origins, address: str) -> dict[str, float] | None:
    """Returns errors and losses that were measured of a state; None if none were."""
    measured: dict[str, float] = {}
    for one in sorted(origins.listing):
        if one.startswith("accuracies/"):
            fields = origins.fields(one)
            of = fields.get("of")
            whole = fields.get("evaluation_examples") is None
            if isinstance(of, Reference) and of.address == address and whole:
                text = (origins.store.open(one) / ACCURACY_FILE).read_text()
                measured |= json.loads(text)
    return measured or None


def _lineage(origins: Origins, address: str) -> list[dict[str, object]]:
    """Returns what a network was made from, with what, down to the beginning."""
    found: dict[str, dict[str, object]] = {}
    waiting = [address]
    while waiting:
        one = waiting.pop(0)
        if one in found:
            continue
        inputs = {
            name: value
            for name, value in origins.fields(one).items()
            if isinstance(value, Reference)
        }
        found[one] = {
            "address": one,
            "made_from": {name: str(value) for name, value in inputs.items()},
            "seeds": {
                name: value
                for name, value in origins.fields(one).items()
                if name.endswith("seed") and isinstance(value, int)
            },
        }
        waiting += [value.address for value in inputs.values() if value.address]
    return list(found.values())
