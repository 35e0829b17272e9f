"""Which networks fit a Cloud TPU? What trains and measures them, compiled without one.

    python -m tflottery.reports.tpu [--models=lenet,resnet20] [--output=FILE.csv]
        [--topologies=v5e:2x2,v6e:2x2] [--precision=mixed_bfloat16]

For each network of the papers, at its recipe's batch, an update and a call of
measuring as `--distribute=tpu` has each chip run them: TensorFlow makes the programs
(`tpu_programs`), and the compiler for TPUs compiles them on this machine's processor
(`tpu_compiler`; pip install -e '.[tpu-check]'). A line each says how long that took,
the memory of a chip, sums over all chips, and transfers that wait for the host. It
proves that a TPU would take the program, and nothing of numbers or speed. LeNet takes
a minute, deep networks take many each.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence

from absl import flags

from tflottery.core import command_line, recipes, tables
from tflottery.core.recipes import Recipe, Setting
from tflottery.core.registry import MODELS
from tflottery.reports import device_trials, saving, tpu_compiler
from tflottery.reports.tpu_compiler import Compiled
from tflottery.training import precisions, process

TRAINING, MEASURING = "training", "measuring"
_TOPOLOGIES = ("v5e:2x2", "v6e:2x2")
# Of a chip, by Google's documentation of Cloud TPU.
_MEMORY_GIB = {"v5e": 16, "v6e": 32}
_NUM_CLASSES = {"imagenet2012": 1000, "places365_small": 365}
# Enough to name some; durations in epochs do not enter a program.
_NUM_EXAMPLES = 1000
_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Row:
    """A program of a network, on the chips of a topology.

    Attributes:
      step: "training" or "measuring".
      batch_size: images that pass together, on all chips.
      chip_images: of these, on a chip.
      chip_parts: in how many parts, one after another, each normalized by itself.
      available_bytes: memory of a chip; None where it is not known.
      fits: whether it compiles and fits into that.
      Others are those of `Compiled`.
    """

    model: str
    variant: str
    precision: str
    step: str
    topology: str
    batch_size: int
    chip_images: int
    chip_parts: int
    fits: bool
    available_bytes: int | None
    memory_bytes: int | None
    temporary_bytes: int | None
    num_all_reduces: int | None
    num_all_to_alls: int | None
    num_host_transfers: int | None
    compile_seconds: float
    fault: str | None

    def __str__(self) -> str:
        images = f"{self.chip_images} images a chip"
        if self.chip_parts > 1:
            images += f" in {self.chip_parts} parts"
        what = f"{self.model:18} {self.step:9} {self.topology}  {images}: "
        if self.fault:
            return f"{what}does NOT compile ({self.fault})"
        of = f" of {self.available_bytes / _MIB:,.0f}" if self.available_bytes else ""
        return (
            f"{what}{'fits' if self.fits else 'does NOT fit'}, "
            f"{self.memory_bytes / _MIB:,.0f}{of} MiB, "
            f"{self.num_all_reduces} all-reduces, "
            f"{self.num_host_transfers} host transfers ({self.compile_seconds:.0f} s)"
        )


def rows(
    models: Sequence[str],
    *,
    topologies: Sequence[str],
    precision: str = precisions.FLOAT32,
) -> Iterator[Row]:
    """Yields what comes of each program, as it is compiled.

    Args:
      models: names of registered networks.
      topologies: such as "v5e:2x2", all of as many chips.
      precision: in what networks compute while they train.
    """
    from tflottery.reports import tpu_programs

    strategy = tpu_programs.strategy_without_tpu(num_chips(topologies))
    for model in models:
        variant, recipe = _recipe(model)
        for step in (TRAINING, MEASURING):
            try:
                program, sizes = _program(
                    model, recipe, step, strategy=strategy, precision=precision
                )
                hlo, fault = program.hlo(), None
            except ValueError as error:
                # Such as of a batch that so many chips cannot share.
                hlo, fault = b"", str(error)
                sizes = _sizes(recipe.batch_size, 0, num_parts=0)
            for topology in topologies:
                if fault:
                    found = Compiled(seconds=0.0, fault=fault)
                else:
                    found = tpu_compiler.compiled(hlo, topology)
                yield _row(
                    found,
                    model=model,
                    variant=variant,
                    precision=precision if step == TRAINING else precisions.FLOAT32,
                    step=step,
                    topology=topology,
                    **sizes,
                )


def num_chips(topologies: Sequence[str]) -> int:
    """Returns how many chips each of some topologies has.

    Raises:
      ValueError: one is no topology, or they differ in that.
    """
    counts = {}
    for one in topologies:
        if not re.fullmatch(r"v\d+\w*:\d+(x\d+)*", one):
            raise ValueError(
                f"--topologies names {one!r}: expected a kind of TPU and its chips, "
                "such as v5e:2x2."
            )
        counts[one] = math.prod(map(int, one.partition(":")[2].split("x")))
    if len(set(counts.values())) != 1:
        raise ValueError(
            f"--topologies are of {counts} chips: expected the same number of each, "
            "and one at least. Ask for others in another run."
        )
    return next(iter(counts.values()))


def _recipe(model: str) -> tuple[str, Recipe]:
    """Returns the variant and recipe that a network is trained by as a rule."""
    entry = MODELS[model]
    variant, recipe = recipes.recipe_of(
        entry["recipes"], model=model, variant=None, setting=Setting(entry["dataset"])
    )
    return variant, recipes.resolved(recipe, num_examples=10**6)


def _program(
    model: str, recipe: Recipe, step: str, *, strategy: object, precision: str
) -> tuple[object, dict[str, int]]:
    """Returns a program of a network, and its sizes as of `Row`."""
    import tensorflow as tf

    from tflottery.reports.tpu_programs import CoreProgram
    from tflottery.training.evaluation import Evaluator
    from tflottery.training.trainer import Trainer

    dataset, num_cores = MODELS[model]["dataset"], strategy.num_replicas_in_sync
    network = {"num_classes": _NUM_CLASSES.get(dataset, 10)}
    source = device_trials.made_up(model, num_examples=_NUM_EXAMPLES, **network)
    if step == MEASURING:
        evaluator = Evaluator(model, source, **network, strategy=strategy)
        given = evaluator.counter_arguments("test", evaluator.examples("test", 1))
        specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, given)
        size = evaluator.batch_size
        program = CoreProgram(strategy, evaluator.counter("test"), *specs)
        return program, _sizes(size * num_cores, size, num_parts=1)
    part = recipe.replica_batch_size
    num_replicas = recipe.batch_size // part if part else num_cores
    trainer = Trainer(
        model,
        recipe,
        source,
        **network,
        sparse=True,
        strategy=strategy,
        num_replicas=num_replicas,
        precision=precision,
    )
    size = recipe.batch_size // num_cores
    program = CoreProgram(
        strategy,
        trainer.replica_update,
        tf.TensorSpec((size, *source.image_shape)),
        tf.TensorSpec((size,), tf.int32),
    )
    num_parts = num_replicas // num_cores
    return program, _sizes(recipe.batch_size, size, num_parts=num_parts)


def _sizes(batch_size: int, chip_images: int, *, num_parts: int) -> dict[str, int]:
    """Returns the sizes of a `Row`."""
    return {
        "batch_size": batch_size,
        "chip_images": chip_images,
        "chip_parts": num_parts,
    }


def _row(found: Compiled, *, topology: str, **said: object) -> Row:
    """Returns the row of what came of a program."""
    gib = _MEMORY_GIB.get(topology.partition(":")[0])
    available = gib * 2**30 if gib else None
    values = dataclasses.asdict(found)
    is_small = not available or (found.memory_bytes or 0) <= available
    return Row(
        topology=topology,
        available_bytes=available,
        fits=found.fault is None and is_small,
        compile_seconds=round(values.pop("seconds"), 1),
        **said,
        **values,
    )


def main() -> None:
    """Runs the report as a program: defines its flags, parses them, exits."""
    flags.DEFINE_list("models", None, "networks to compile; None: all of the papers")
    flags.DEFINE_list("topologies", list(_TOPOLOGIES), "kinds of TPU and their chips")
    flags.DEFINE_enum(
        "precision", precisions.FLOAT32, precisions.PRECISIONS, "of training"
    )
    flags.DEFINE_string("output", None, "a CSV file for the table; None: none")
    saving.run(_told)


def _told(arguments: Sequence[str]) -> str:
    """Prints a line a program; returns which networks fit.

    Raises:
      ValueError: something is asked that is not there.
    """
    given = flags.FLAGS
    command_line.refuse_arguments(arguments)
    models = given.models or list(MODELS.names())
    for name in models:
        MODELS[name]
    path = given.output and saving.path_of(given.output, endings=[".csv"])
    tpu_compiler.validate_installed()
    # As where a TPU trains, with a processor for each chip.
    process.configure(logical_cpus=num_chips(given.topologies), tpu=True)
    found = []
    for row in rows(models, topologies=given.topologies, precision=given.precision):
        print(row, flush=True)
        found.append(row)
        if path:
            with saving.writing(path, output=given.output):
                tables.write(found, path)
    return summary(found)


def summary(found: Sequence[Row]) -> str:
    """Returns which networks fit which TPU, in a line each."""
    lines = []
    for topology in dict.fromkeys(one.topology for one in found):
        own = [one for one in found if one.topology == topology]
        failing = {one.model for one in own if not one.fits}
        fitting = [name for name in dict.fromkeys(one.model for one in own)]
        fitting = [name for name in fitting if name not in failing]
        line = f"{topology}: {', '.join(fitting) or 'none'} fit"
        lines.append(line + (f"; not {', '.join(sorted(failing))}" * bool(failing)))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
