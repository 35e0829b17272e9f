"""The accuracy of a trained network: error and loss on both splits."""

import dataclasses
import functools
import json
from collections.abc import Mapping

from etils import epath

from tflottery.components import measuring
from tflottery.components.component import Component, Context
from tflottery.components.metadata import Facts
from tflottery.components.runs import State
from tflottery.core.identities import Network
from tflottery.training import checkpoints

ACCURACY_FILE = "accuracy.json"


@dataclasses.dataclass(frozen=True)
class Accuracy(Component):
    """Errors and losses of a state, as trained: batch norm by its moving statistics.

    Attributes:
      of: the network measured.
      evaluation_examples: images measured of each split, a fixed random choice; None
        is all of them.
    """

    KIND = "accuracy"
    VERSION = 1
    FOLDER = "accuracies"
    FILES = (ACCURACY_FILE,)

    of: State
    evaluation_examples: int | None = None

    def execute(self, context: Context) -> None:
        """Writes accuracy.json: error and loss of each split."""
        evaluator = context.runtime.evaluator(self.of.run.network, self.of.run.data)
        weights = checkpoints.read_weights(context.inputs["of"])
        (measured,) = measuring.measure(
            [functools.partial(evaluator.assign, weights)],
            evaluator,
            context,
            examples=self.evaluation_examples,
        )
        result = {
            f"{split}_{name}": value
            for split, found in measured.items()
            for name, value in dataclasses.asdict(found).items()
        }
        (context.output / ACCURACY_FILE).write_text(json.dumps(result))

    def flops(self, facts: Mapping[Network, Facts]) -> float:
        """Returns about what executing this costs."""
        known = facts[self.of.run.network]
        images = measuring.num_images(self.of.run.data, self.evaluation_examples)
        return float(images * known.flops_per_example)


def read(folder: epath.Path) -> dict[str, float]:
    """Returns what `Accuracy.execute` wrote: train_error, train_loss and so on."""
    return json.loads((folder / ACCURACY_FILE).read_text())
