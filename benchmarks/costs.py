"""What each command of the README costs: its plan, at rates that were measured.

    python -m benchmarks.costs [README.md ...]

Every command of an experiment in the named pages is planned with an empty store, for
data sets of the papers' sizes, and nothing is trained. Core hours are those of one core
of a 2.5 GHz CPU with AVX-512, by the rates below, measured with one thread per worker.
GPU hours are an estimate that nothing was measured for: a tenth of the peak of an H100
in float32, and half a millisecond an update at least.
"""

import dataclasses
import functools
import importlib
import re
import shlex
import sys
import tempfile
import types
from collections.abc import Sequence

import numpy as np

from tflottery.components.metadata import Facts, inspect
from tflottery.core.identities import Network
from tflottery.core.recipes import Setting
from tflottery.core.registry import MODELS, PRETEXTS
from tflottery.datasets import selection
from tflottery.datasets.arrays import Source, Split
from tflottery.execution.jobs import Advance
from tflottery.execution.plan import Plan, plan_of
from tflottery.store.store import Store
from tflottery.studies import program
from tflottery.studies.config import Config
from tflottery.studies.study import Study, study_of
from tflottery.training import process
from tflottery.training.distribution import Placement
from tflottery.training.runtime import Runtime

# Operations a second of one core, training and measuring: of the dense network (XLA),
# and of those with convolutions (ResNet-20: 183 to 215 images a second, VGG-16: 24).
_DENSE_RATES = 32e9, 32e9
_CONVOLUTIONAL_RATES = 45e9, 75e9
_GPU_RATE = 6.7e12
_GPU_SECONDS_PER_UPDATE = 0.5e-3
# Training and test images, and their shape.
_DATA = {
    "mnist": (60_000, 10_000, (28, 28, 1), 10),
    "cifar10": (50_000, 10_000, (32, 32, 3), 10),
    "imagenet2012": (1_281_167, 50_000, (224, 224, 3), 1000),
    "places365_small": (1_803_460, 36_500, (224, 224, 3), 365),
}
# Images of many sizes, of which networks are shown parts of one size.
_SHOWN_AS_LARGE_AS_ASKED = ("imagenet2012", "places365_small")
# A network is tried with so many, whatever their number.
_MOST_IMAGES = 2000
_COMMAND = re.compile(r"python -m (tflottery\.experiments\.\w+[^`\n|]*)")


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a command takes.

    Attributes:
      iterations: updates.
      core_hours: on one core of the CPU.
      gpu_hours: on one GPU, not measured.
    """

    iterations: int
    core_hours: float
    gpu_hours: float


class SizedRuntime(Runtime):
    """Knows how large data sets are, and holds none of their images."""

    def source(self, dataset: str, *, model: str) -> Source:
        """Returns black images of the data set's number and shape."""
        if dataset not in _DATA:
            return super().source(dataset, model=model)
        num_train, num_test, shape, num_classes = _DATA[dataset]
        if dataset in _SHOWN_AS_LARGE_AS_ASKED:
            shape = (*[MODELS[model]["image_size"]] * 2, shape[-1])
        return Source(
            name=dataset,
            version="1",
            digest="0" * 16,
            train=_black(_classes(num_train, num_classes), shape),
            test=_black(_classes(num_test, num_classes), shape),
            num_classes=num_classes,
            mean=(0.5,) * shape[-1],
            std=(0.25,) * shape[-1],
        )

    def learned(self, setting: Setting, *, model: str) -> Source:
        """Returns the first images of what is learned, in its shape and classes."""
        if setting.dataset not in _DATA:
            return super().learned(setting, model=model)
        part = self._part(setting, model)
        like = self.source(setting.shaped_like or setting.dataset, model=model)
        train, test = (
            _black(split.labels[:_MOST_IMAGES], like.image_shape)
            for split in (part.train, part.test)
        )
        return dataclasses.replace(
            part, train=train, test=test, mean=like.mean, std=like.std
        )

    def subset(self, setting: Setting, *, model: str) -> str | None:
        """Returns the part that is asked for: those of the papers leave images out."""
        return setting.subset

    @functools.cache  # noqa: B019 - a runtime lives with its process
    def facts(self, model: str, setting: Setting) -> Facts:
        """Returns the facts of a network on a data set of its full size."""
        return self.sized(inspect(model, setting, self), setting)

    def sized(self, facts: Facts, setting: Setting) -> Facts:
        """Returns facts with as many images as there are, not those of `learned`."""
        if setting.dataset not in _DATA:
            return facts
        part = self._part(setting, facts.network.model)
        sizes = {"num_train": len(part.train.labels), "num_test": len(part.test.labels)}
        data = dataclasses.replace(facts.data, **sizes)
        return dataclasses.replace(facts, data=data)

    def _part(self, setting: Setting, model: str) -> Source:
        """Returns what is learned, of each image a pixel."""
        source = self.source(setting.dataset, model=model)
        pixels = dataclasses.replace(
            source, train=_cropped(source.train), test=_cropped(source.test)
        )
        unlabeled = bool(setting.pretext and PRETEXTS[setting.pretext]["unlabeled"])
        return selection.of(pixels, setting.subset, unlabeled=unlabeled)


def cost_of(command: str, runtime: SizedRuntime) -> Cost:
    """Returns what a command of an experiment takes from an empty store."""
    name, *arguments = shlex.split(command, comments=True)
    module = importlib.import_module(name)
    config = program.config_of(module, arguments)
    studies = studies_of(module, config, runtime)
    facts = networks_of(studies)
    goals = [goal for study in studies for goal in module.plan(study)]
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(goals, Store(folder), facts=facts)
    convolutional = any(
        len(shape) == 4
        for known in facts.values()
        for shape in known.kernel_shapes.values()
    )
    rates = _CONVOLUTIONAL_RATES if convolutional else _DENSE_RATES
    training, measuring = _flops(plan)
    seconds = training / rates[0] + measuring / rates[1]
    launching = plan.num_iterations * _GPU_SECONDS_PER_UPDATE
    gpu_seconds = max(plan.flops / _GPU_RATE, launching)
    return Cost(plan.num_iterations, seconds / 3600, gpu_seconds / 3600)


def studies_of(
    module: types.ModuleType, config: Config, runtime: SizedRuntime
) -> list[Study]:
    """Returns the studies of an experiment's Config."""
    members = module.members(config) if hasattr(module, "members") else (config,)
    return [study_of(one.named(), runtime.facts, Placement()) for one in members]


def networks_of(studies: Sequence[Study]) -> dict[Network, Facts]:
    """Returns the facts of every network that takes part."""
    return {
        one.facts.network: one.facts
        for study in studies
        for one in (study, *study.related.values())
    }


def _flops(plan: Plan) -> tuple[float, float]:
    """Returns the operations of training and those of everything else."""
    training = sum(one.flops for one in plan.steps if isinstance(one.job, Advance))
    return training, plan.flops - training


def _black(labels: np.ndarray, shape: tuple[int, ...]) -> Split:
    """Returns black images that take no memory."""
    images = np.broadcast_to(np.uint8(0), (len(labels), *shape))
    return Split(images, labels)


def _classes(count: int, num_classes: int) -> np.ndarray:
    """Returns labels, as many of each class."""
    return np.arange(count, dtype=np.int32) % num_classes


def _cropped(split: Split) -> Split:
    """Returns the corner of each image."""
    return Split(split.images[:, :1, :1, :1], split.labels)


def readable(hours: float) -> str:
    """Returns a number of hours to one or two digits, in the unit that suits it."""
    for unit, size in (("years", 24 * 365), ("days", 24), ("hours", 1)):
        if hours >= 1.5 * size:
            return f"{float(f'{hours / size:.2g}'):g} {unit}"
    return f"{max(round(60 * hours), 1)} minutes"


def main() -> None:
    """Prints a line for each command of the pages."""
    process.configure()
    runtime = SizedRuntime(data_dir=None, placement=Placement())
    for page in sys.argv[1:] or ["README.md"]:
        with open(page) as file:
            commands = dict.fromkeys(_COMMAND.findall(file.read()))
        for command in commands:
            cost = cost_of(command, runtime)
            print(
                f"{cost.iterations:14,} iterations, {readable(cost.core_hours)} of a "
                f"core, {readable(cost.gpu_hours)} of a GPU  {command}",
                flush=True,
            )


if __name__ == "__main__":
    main()
