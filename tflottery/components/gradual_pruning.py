"""A network that tensorflow-model-optimization pruned while it trained.

The baseline that practitioners know (Zhu and Gupta, 2017): no rewinding, one training
of the usual length, whose sparsity rises from nothing to a level's by the library's own
schedule. Each kernel is pruned alike, as the library does, to as many weights in total
as a level keeps.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from tflottery.components.component import Absent, Component, Context
from tflottery.components.masking import Kernels
from tflottery.components.metadata import Facts
from tflottery.components.runs import MASK_FILE, WEIGHTS_FILE, Run
from tflottery.core import recipes
from tflottery.core.identities import Network
from tflottery.models import weights as model_weights
from tflottery.pruning import counts
from tflottery.training import checkpoints

# Of a training: until when masks change, and how often at most.
_LAST_FRACTION = 0.75
_FREQUENCY, _FEWEST_CHANGES = 100, 15
_PASSES_PER_UPDATE = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradualPruning(Component):
    """The end of a training that prunes.

    Attributes:
      run: the dense training with the same data, initial weights and order; its recipe
        is followed by optimizers of `tf_keras`, in float32 and each batch as a whole.
      iterations: its length.
      kernels: those that are pruned.
      num_survivors: how many of their weights are kept in the end.
      begin: the update before which masks first change.
      end: likewise last.
      frequency: updates from one change to the next.
    """

    KIND = "gradual_pruning"
    VERSION = 1
    FOLDER = "gradual_pruning"
    FILES = (WEIGHTS_FILE, MASK_FILE)

    run: Run
    iterations: int
    kernels: Kernels
    num_survivors: int
    begin: int
    end: int
    frequency: int

    def execute(self, context: Context) -> None:
        """Writes weights, pruned ones 0.0, and masks.

        An interrupted execution begins anew.

        Raises:
          ValueError: `tf_keras` is not told how to build a layer of the network.
          Absent: the training diverged, or there are fewer weights to keep than one of
            each kernel, which the library never empties.
        """
        if self.num_survivors < len(self.kernels):
            raise Absent(
                f"{self.num_survivors} weights are to survive of {len(self.kernels)} "
                "kernels, each of which keeps one at least."
            )
        from tflottery.datasets import pipeline
        from tflottery.datasets.stream import stream_of
        from tflottery.training import tfmot_pruning
        from tflottery.training.trainer import Diverged

        run, recipe = self.run, recipes.simplified(self.run.recipe)
        source = context.runtime.source_of(run.data, run.network)
        model = context.runtime.evaluator(run.network, run.data).model
        stream = stream_of(
            source.train.labels,
            recipe.batch_size,
            data_order_seed=run.data_order_seed,
            augmentation_seed=run.augmentation_seed,
        )
        batches = pipeline.as_dataset(
            source,
            stream,
            augmentation=recipe.augmentation,
            pretext=run.data.pretext,
            pretext_seed=run.data.pretext_seed,
        )
        initial = run.initial
        try:
            weights, masks = tfmot_pruning.trained(
                model,
                model_weights.initial_weights(
                    model, initial.seed, initial.initializers
                ),
                batches,
                recipe=dataclasses.replace(recipe, training_iterations=self.iterations),
                survivors=self.survivors(),
                times=tfmot_pruning.PruningTimes(self.begin, self.end, self.frequency),
                between=lambda done: context.remember(None, done),
            )
        except Diverged as ending:
            diverged = ending.iteration
            reason = f"The training diverged at iteration {diverged}."
            raise Absent(reason, diverged_iteration=diverged) from None
        source.check_unchanged()
        checkpoints.write(context.output, weights)
        small = {path: mask.astype(np.uint8) for path, mask in masks.items()}
        checkpoints.write_arrays(context.output / MASK_FILE, small)

    def survivors(self) -> dict[str, int]:
        """Returns how many weights of each kernel are kept: all kernels alike."""
        sizes = {path: math.prod(shape) for path, shape in self.kernels}
        return counts.divided(self.num_survivors, sizes)

    def flops(self, facts: Mapping[Network, Facts]) -> float:
        """Returns about what executing this costs."""
        num_images = self.iterations * self.run.recipe.batch_size
        per_image = facts[self.run.network].flops_per_example
        return float(_PASSES_PER_UPDATE * num_images * per_image)

    def num_bytes(self, facts: Mapping[Network, Facts]) -> int:
        """Returns about what weights and masks take on disk."""
        return 5 * facts[self.run.network].num_weights


def gradual_pruning(
    run: Run, *, iterations: int, kernels: Kernels, num_survivors: int
) -> GradualPruning:
    """Returns what prunes in the first three quarters of a training.

    Every 100 updates, or more often where the training is short. The paper lets
    sparsity rise while rates are high, and the rest recovers.
    """
    most = max(1, math.floor(_LAST_FRACTION * iterations))
    frequency = max(1, min(_FREQUENCY, most // _FEWEST_CHANGES))
    return GradualPruning(
        run=run,
        iterations=iterations,
        kernels=kernels,
        num_survivors=num_survivors,
        begin=0,
        end=most // frequency * frequency,
        frequency=frequency,
    )
