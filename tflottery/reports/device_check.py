"""Does this machine train as it should, and how fast? To be run first on a new one.

    python -m tflottery.reports.device_check [--distribute=mirrored|tpu] [--tpu=local]
        [--models=lenet,resnet20,resnet50] [--store=FOLDER] [--dataset=imagenet2012]

Step by step, a line each: which devices there are; whether the store can be written;
whether the images of --dataset are there; whether a few updates of each network end
where the processor's do, and as many images are misclassified; how many images a second
they take, on accelerators in bfloat16 too; whether as many can be decoded. Where a step
goes wrong it says what to do, and the program ends with exit code 1. Some five minutes;
nothing is kept.
"""

import dataclasses
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags, logging

from tflottery.core import command_line, hardware, recipes
from tflottery.core.environment import SetupError
from tflottery.core.registry import MODELS
from tflottery.datasets.arrays import Source
from tflottery.execution import notes
from tflottery.reports.device_trials import Rates, Trial
from tflottery.store.errors import StoreError
from tflottery.store.store import Store
from tflottery.training import distribution, process
from tflottery.training.distribution import Placement
from tflottery.training.precisions import FLOAT32, PRECISIONS

_WRONG = 1
_SEED = 1
_USUAL = {"cpu": ("lenet", "resnet20"), "gpu": ("lenet", "resnet20", "resnet50")}
# What says by itself what is wrong, and what to do.
_TOLD = (SetupError, StoreError, ValueError, FileNotFoundError)
_DECODED_BATCHES, _DECODED_BATCH_SIZE = 8, 32


@dataclasses.dataclass(frozen=True)
class Finding:
    """What came of a step.

    Attributes:
      step: what was tried.
      told: what was found, or what went wrong and what to do.
      is_sound: whether it went as it should; None where it was not tried.
    """

    step: str
    told: str
    is_sound: bool | None

    def __str__(self) -> str:
        word = {True: "ok", False: "WRONG", None: "not tried"}[self.is_sound]
        return f"{word:9}  {self.step}: {self.told}"


def findings(
    placement: Placement,
    *,
    models: Sequence[str],
    precisions: Sequence[str] = (FLOAT32,),
    store: str | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
) -> Iterator[Finding]:
    """Yields what comes of each step, as it is done, what takes no time first.

    After devices that cannot be used nothing more is tried.

    Args:
      placement: the devices.
      models: names of registered networks.
      precisions: in which speed is told.
      store: folder or URL; None: the user's.
      dataset: prepared images of many sizes to decode; None: none are.
      data_dir: where it is.
    """
    devices = _tried("devices", functools.partial(_devices, placement))
    yield devices
    if not devices.is_sound:
        return
    yield _tried("store", functools.partial(_store, store))
    found = None
    if dataset is not None:
        load = functools.cache(functools.partial(_loaded, dataset, data_dir))
        found = _tried("data", lambda: _described(load()))
        yield found
    rates: Rates = {}
    for name in models:
        trial = Trial(name, placement)
        yield _tried(f"{name} trains", trial.compared_updates)
        yield _tried(f"{name} is measured", trial.compared_errors)
        for precision in precisions:
            step = f"{name}'s speed"
            if precision != FLOAT32:
                step += f" in {precision}"
            yield _tried(step, functools.partial(trial.speed, rates, precision))
    if found is None:
        told = "name images of many sizes with --dataset and --data_dir"
        yield Finding("input", told, None)
    elif not found.is_sound:
        yield Finding("input", "the data cannot be read, as told above", None)
    else:
        yield _tried("input", lambda: _decoding(load(), rates))


def _tried(step: str, function: Callable[[], str]) -> Finding:
    """Returns what comes of a step; whatever it raises went wrong."""
    try:
        return Finding(step, function(), True)
    except Exception as error:
        # Of which kind depends on the library that fails.
        text = " ".join(str(error).split())
        known = isinstance(error, _TOLD)
        told = text if known else f"{type(error).__name__}: {text[:500]}"
        return Finding(step, told, False)


def _devices(placement: Placement) -> str:
    """Returns which devices there are. Raises SetupError if they cannot be used."""
    distribution.validate_tpu(placement)
    import tensorflow as tf

    distribution.validate(placement)
    count = distribution.num_devices_of(distribution.strategy(placement))
    kind = {"cpu": "processor", "gpu": "GPU", "tpu": "TPU core"}[placement.device]
    found = f"{count} {kind}{'s' * (count > 1)}"
    cores = hardware.visible_cores()
    untried = ""
    if placement.device != "tpu" and hardware.may_have_tpu():
        untried = "; there may be a TPU, which --distribute=tpu tries"
    return (
        f"{found}; {cores} core{'s' * (cores > 1)} of {hardware.processor()} "
        f"({hardware.instruction_set()}); TensorFlow {tf.__version__}{untried}"
    )


def _loaded(dataset: str, data_dir: str | None) -> Source:
    """Returns a data set; raises what `datasets.source.load` does."""
    from tflottery.datasets import source

    return source.load(dataset, data_dir=data_dir)


def _described(data: Source) -> str:
    """Returns how much there is of a data set, and in which form."""
    form = "encoded in their files" if data.is_encoded else "as arrays in memory"
    return (
        f"{len(data.train.labels):,} images of {data.name} to train on and "
        f"{len(data.test.labels):,} to measure, {form}"
    )


def _decoding(data: Source, rates: Rates) -> str:
    """Returns how many images a second all cores decode, and whether that is enough.

    Raises:
      SetupError: the network with the largest images takes more.
    """
    from tflottery.datasets import encoded_batches, pipeline
    from tflottery.datasets.stream import Stream

    if not data.is_encoded:
        return f"images of {data.name!r} lie in memory, and are not decoded"
    stream = Stream(
        len(data.train.labels),
        _DECODED_BATCH_SIZE,
        data_order_seed=_SEED,
        augmentation_seed=_SEED,
    )
    windows = encoded_batches.Windows(
        data.train.images, augmentation=recipes.RESIZED_CROP
    )
    batches = iter(
        encoded_batches.as_dataset(
            windows, lambda: pipeline.rows(stream, 0), batch_size=_DECODED_BATCH_SIZE
        )
    )
    next(batches)
    began, cpu_began = time.perf_counter(), time.process_time()
    for _ in range(_DECODED_BATCHES):
        next(batches)
    count = _DECODED_BATCHES * _DECODED_BATCH_SIZE
    rate = count / (time.perf_counter() - began)
    per_core = count / (time.process_time() - cpu_began)
    told = f"{rate:,.0f} images a second, {per_core:,.0f} by each core"
    large = [one for one in rates if MODELS[one[0]]["dataset"] == "imagenet2012"]
    if not large:
        return told
    fastest = max(large, key=rates.get)
    named = " in ".join(fastest)
    if rate < rates[fastest]:
        raise SetupError(
            f"{told}; {named} takes {rates[fastest]:,.0f}. The devices will wait for "
            f"images: {rates[fastest] / per_core:.0f} cores would be enough"
        )
    return f"{told}; enough for {named}"


def _store(root: str | None) -> str:
    """Returns where results go. Raises StoreError or OSError if they cannot."""
    store = Store(root)
    store.ensure_root()
    began = time.perf_counter()
    store.ensure_writable()
    return f"{store.root!r} can be written ({time.perf_counter() - began:.2g} s)"


def _gpu(placement: Placement) -> str | None:
    """Returns which GPUs this process uses, as `process.configure` takes it."""
    if placement.device != "gpu":
        return None
    return "all" if placement.num_devices > 1 else hardware.visible_gpus()[0]


def main() -> None:
    """Runs the report as a program: defines its flags, parses them, exits."""
    kinds = [one for one in distribution.KINDS if one != distribution.MULTI_WORKER]
    flags.DEFINE_enum("distribute", "none", kinds, "over which devices of this host")
    flags.DEFINE_string("tpu", "local", "a TPU's name; local: that of this machine")
    flags.DEFINE_list("models", None, "networks to try; None: some, by the device")
    flags.DEFINE_string("store", None, "folder or URL of results; None: the usual one")
    flags.DEFINE_string("dataset", None, "prepared images to decode: imagenet2012")
    flags.DEFINE_string("data_dir", None, "where they are; None: the usual folder")
    app.run(_main, flags_parser=command_line.parsed)


def _main(arguments: Sequence[str]) -> int:
    """Prints a line a step; returns the exit code."""
    given = flags.FLAGS
    # What is noted meanwhile, such as what is copied from a bucket, is told as the rest
    # is. As a program, absl would print that and what libraries say in its own form.
    logging.get_absl_handler().setLevel("ERROR")
    notes.forward(lambda text: print(f"           {text}", flush=True))
    try:
        command_line.refuse_arguments(arguments)
        if given.data_dir and not given.dataset:
            raise ValueError(
                f"--data_dir={given.data_dir!r} says where data are, and nothing says "
                "which: add --dataset=imagenet2012, or another that is prepared there."
            )
        placement = distribution.placement(given.distribute, tpu=given.tpu)
        usual = _USUAL["cpu" if placement.device == "cpu" else "gpu"]
        models = given.models or usual
        for name in models:
            MODELS[name]
        is_mirrored_cpu = placement.device == "cpu" and placement.num_devices > 1
        process.configure(
            gpu=_gpu(placement),
            logical_cpus=placement.num_devices if is_mirrored_cpu else 1,
            tpu=placement.device == "tpu",
        )
    except (ValueError, SetupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return command_line.WRONG_INPUT
    is_sound = True
    for finding in findings(
        placement,
        models=models,
        precisions=(FLOAT32,) if placement.device == "cpu" else PRECISIONS,
        store=given.store and os.path.expanduser(given.store),
        dataset=given.dataset,
        data_dir=given.data_dir,
    ):
        print(finding, flush=True)
        is_sound &= finding.is_sound is not False
    return 0 if is_sound else _WRONG


if __name__ == "__main__":
    main()
