"""Training through the package against PyTorch, and against the machine's ceiling.

    python -m benchmarks.training --data_dir=FOLDER [--model=lenet --model=resnet20]

The two run one after the other, several times; medians are printed. FOLDER holds MNIST
and CIFAR-10 prepared by tensorflow-datasets. With --sparse both train pruned networks,
the work of iterative magnitude pruning; with --nofused the peer takes PyTorch's
optimizers as they come.
"""

import statistics

from absl import app, flags

from benchmarks import conditions, package_path, tasks, torch_peer
from benchmarks.lengths import LENGTHS, PEER_LENGTHS
from tflottery.core import hardware

# Operations of one image, forward and backward (three forward passes).
FLOPS_PER_IMAGE = {"lenet": 1.6e6, "resnet20": 0.245e9, "vgg16": 1.88e9}

_MODELS = flags.DEFINE_multi_enum(
    "model", ["lenet", "resnet20", "vgg16"], sorted(LENGTHS), "networks to train"
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "prepared tensorflow-datasets")
_SPARSE = flags.DEFINE_bool("sparse", False, "train pruned networks")
_FUSED = flags.DEFINE_bool("fused", True, "give the peer PyTorch's fused optimizers")
_TRIALS = flags.DEFINE_integer("trials", 3, "times each is measured", lower_bound=1)


def main(arguments: list[str]) -> None:
    """Prints a line per network."""
    del arguments
    cores = hardware.visible_cores()
    print(conditions.line())
    print(f"{cores} processes of one thread each, medians of {_TRIALS.value}")
    print("model      package it/s   PyTorch it/s   ratio   ratios          of ceiling")
    for model in _MODELS.value:
        lengths = _lengths(LENGTHS[model], cores)
        peer_lengths = _lengths(PEER_LENGTHS[model], cores)
        ours, peers, ceilings = [], [], []
        for _ in range(_TRIALS.value):
            ours.append(
                package_path.measure(
                    model, data_dir=_DATA_DIR.value, sparse=_SPARSE.value, **lengths
                )
            )
            peers.append(
                torch_peer.measure(
                    model, masked=_SPARSE.value, fused=_FUSED.value, **peer_lengths
                )
            )
            ceilings.append(torch_peer.matrix_product_rate(processes=cores))
        ratios = [mine / peer for mine, peer in zip(ours, peers, strict=True)]
        flops = FLOPS_PER_IMAGE[model] * tasks.task_of(model).batch_size
        share = statistics.median(ours) * flops / statistics.median(ceilings)
        print(
            f"{model:10} {statistics.median(ours):12.2f} "
            f"{statistics.median(peers):14.2f} {statistics.median(ratios):7.2f}   "
            f"{min(ratios):.2f} to {max(ratios):.2f} {share:12.2f}",
            flush=True,
        )


def _lengths(length: tuple[int, int], processes: int) -> dict[str, int]:
    """Returns the arguments of a measurement."""
    return {"iterations": length[0], "warmup": length[1], "processes": processes}


if __name__ == "__main__":
    app.run(main)
