"""Telemetry of a network in training: how far its weights are, how large its gradients.

*The Early Phase of Neural Network Training*, Figure 3; error and loss of the same
iteration are an `Accuracy`.
"""

import dataclasses
import json
import typing

from etils import epath

from tflottery.analysis import movement, statistics
from tflottery.components import measuring
from tflottery.components.component import Component, Context, Passes
from tflottery.components.runs import State
from tflottery.training import checkpoints

if typing.TYPE_CHECKING:
    from tflottery.training.evaluation import Evaluator

TELEMETRY_FILE = "telemetry.json"
# A gradient costs about three forward passes.
_PASSES_PER_GRADIENT = 3


@dataclasses.dataclass(frozen=True)
class Telemetry(Component):
    """A state of a run, compared with its first and its last one.

    Attributes:
      of: the network measured.
      initial: the same run at initialization.
      final: the same run at the end of training.
      gradient_examples: training images over which gradients are measured, a fixed
        random choice, in whole batches of the recipe's size.
      chosen_seed: decides which weights are noted one by one.
    """

    KIND = "telemetry"
    VERSION = 3
    FOLDER = "telemetry"
    FILES = (TELEMETRY_FILE,)

    of: State
    initial: State
    final: State
    gradient_examples: int
    chosen_seed: int

    def execute(self, context: Context) -> None:
        """Writes telemetry.json: a number each, and a list of chosen weights."""
        from tflottery import layers

        evaluator = context.runtime.evaluator(self.of.run.network, self.of.run.data)
        paths = list(layers.masks(evaluator.model))
        weights = {
            name: checkpoints.read_weights(folder)
            for name, folder in context.inputs.items()
        }
        # Kernels alone: biases and batch norm are no weights in the paper's sense.
        own, initial, final = (
            {path: weights[name][path] for path in paths}
            for name in ("of", "initial", "final")
        )
        evaluator.assign(weights["of"])
        gradients = self._gradients(evaluator, context)
        chosen = movement.chosen_weights(
            {path: kernel.shape for path, kernel in own.items()}, seed=self.chosen_seed
        )
        result = {
            **gradients,
            "mean_weight_magnitude": movement.mean_magnitude(own),
            "fraction_of_signs_changed": movement.fraction_of_signs_changed(
                own, initial
            ),
            "l2_from_initial": movement.l2_distance(own, initial),
            "l2_from_final": movement.l2_distance(own, final),
            "cosine_to_initial": movement.cosine(own, initial),
            "cosine_to_final": movement.cosine(own, final),
            "weights": [
                {"path": path, "position": at, "value": float(own[path].flat[at])}
                for path, at in chosen
            ],
        }
        (context.output / TELEMETRY_FILE).write_text(json.dumps(result))

    def _gradients(self, evaluator: "Evaluator", context: Context) -> dict[str, float]:
        """Returns the columns on gradients, means over batches; remembers each."""
        batches = evaluator.whole_batches(
            self.gradient_examples, batch_size=self.of.run.recipe.batch_size
        )
        counts = measuring.Counts(context, of=batches.shape, total=len(batches))
        for batch in batches[len(counts.values) :]:
            counts.add(dataclasses.astuple(evaluator.gradient_magnitudes(batch)))
        norms, means = zip(*counts.values, strict=True)
        return {
            "gradient_examples": batches.size,
            "gradient_norm": statistics.mean(norms),
            "mean_gradient_magnitude": statistics.mean(means),
        }

    def passes(self) -> Passes:
        """Returns the forward passes that executing this takes."""
        images = min(self.gradient_examples, self.of.run.data.num_train)
        return Passes(self.of.run, _PASSES_PER_GRADIENT * images)


def read(folder: epath.Path) -> dict[str, object]:
    """Returns what `Telemetry.execute` wrote: numbers by name, and `weights`."""
    return json.loads((folder / TELEMETRY_FILE).read_text())
