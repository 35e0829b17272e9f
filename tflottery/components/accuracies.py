"""The accuracy of a trained network: error and loss on training and test images."""

import dataclasses
import json
from collections.abc import Callable

from etils import epath

from tflottery.components import measuring
from tflottery.components.component import Component, Context, Passes
from tflottery.components.gradual_pruning import GradualPruning
from tflottery.components.runs import State
from tflottery.training import checkpoints

ACCURACY_FILE = "accuracy.json"


@dataclasses.dataclass(frozen=True)
class Accuracy(Component):
    """Errors and losses of a state, as trained: batch norm by its moving statistics.

    Attributes:
      of: the network measured: a state, or what else has weights and says in `run`
        which network they are of, and its data.
      evaluation_examples: images measured of each split, a fixed random choice; None
        is all of them.
      splits: which are measured, of `measuring.SPLITS` and in that order.
    """

    KIND = "accuracy"
    VERSION = 2
    FOLDER = "accuracies"
    FILES = (ACCURACY_FILE,)

    of: State | GradualPruning
    evaluation_examples: int | None = None
    splits: tuple[str, ...] = measuring.SPLITS

    def execute(self, context: Context) -> None:
        """Writes accuracy.json: error and loss of each split measured."""
        evaluator = context.runtime.evaluator(self.of.run.network, self.of.run.data)
        weights = checkpoints.read_weights(context.inputs["of"])

        def assign(meanwhile: Callable[[], None]) -> None:
            del meanwhile
            evaluator.assign(weights)

        (measured,) = measuring.measure(
            [assign],
            evaluator,
            context,
            examples=self.evaluation_examples,
            splits=self.splits,
        )
        result = {
            f"{split}_{name}": value
            for split, found in measured.items()
            for name, value in dataclasses.asdict(found).items()
        }
        (context.output / ACCURACY_FILE).write_text(json.dumps(result))

    def passes(self) -> Passes:
        """Returns the forward passes that executing this takes."""
        images = measuring.num_images(
            self.of.run.data, self.evaluation_examples, self.splits
        )
        return Passes(self.of.run, images)


def read(folder: epath.Path) -> dict[str, float]:
    """Returns what `Accuracy.execute` wrote: test_error, test_loss and so on."""
    return json.loads((folder / ACCURACY_FILE).read_text())
